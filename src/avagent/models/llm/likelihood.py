"""How likely an LLM finds each answer of a finite set: one forward pass per prompt, whatever the number of answers.

The prompt and all answers are packed into one sequence: the answers as a tree of tokens, each node seeing the prompt
and its own ancestors only (a 4-D attention mask), at the position that it would have if its answer stood alone. So
the prompt, and what answers share, is computed once (tree attention: Miao et al. 2024, doi:10.1145/3620666.3651335).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from avagent.core.errors import RecipeError
from avagent.models.hf.loading import require
from avagent.models.llm.loading import LanguageModel
from avagent.models.llm.tree import ROOT, AnswerTree, pack_answers

DoubleArray = npt.NDArray[np.float64]

Normalization = Literal["sum", "mean", "tree"]
"""`sum`: log-likelihood of the answer; `mean`: per token; `tree`: of its branches, each among its siblings."""
NORMALIZATIONS = get_args(Normalization)

Nodes = tuple[DoubleArray, DoubleArray]
"""Log-likelihood of each node's token: among all tokens, and among its siblings'."""

_TOLERANCE = 0.02
"""Nats by which a packed and a plain pass may differ: bfloat16 rounds at the third digit."""


def score_packed(model: LanguageModel, prompts: Sequence[Sequence[int]], trees: Sequence[AnswerTree]) -> list[Nodes]:
    """Log-likelihoods of every node of each tree after its prompt, in one forward pass.

    Args:
        model: the LLM.
        prompts: token ids, not empty.
        trees: the answers to each prompt.
    """
    torch = require("torch")
    width = max(len(p) for p in prompts)
    longest = width + max(t.size for t in trees)
    ids = np.zeros((len(prompts), longest), np.int64)
    positions = np.zeros_like(ids)
    visible = np.zeros((len(prompts), longest, longest), np.bool_)
    for row, (prompt, tree) in enumerate(zip(prompts, trees, strict=True)):
        _pack(ids[row], positions[row], visible[row], prompt, tree, width)
    keep = sorted({width - 1} | {width + parent for tree in trees for parent in tree.parents if parent != ROOT})
    device, dtype = model.device, model.network.dtype
    mask = torch.zeros(visible.shape, dtype=dtype)
    mask.masked_fill_(torch.from_numpy(~visible), torch.finfo(dtype).min)
    with torch.inference_mode():
        logits = model.network(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=mask[:, None].to(device),
            position_ids=torch.from_numpy(positions).to(device),
            use_cache=False,
            logits_to_keep=torch.tensor(keep, device=device),
        ).logits.float()
        totals = torch.logsumexp(logits, dim=-1)
    column = {position: i for i, position in enumerate(keep)}
    return [_nodes(tree, logits[row], totals[row], column, width) for row, tree in enumerate(trees)]


def _pack(ids: Any, positions: Any, visible: Any, prompt: Sequence[int], tree: AnswerTree, width: int) -> None:
    """Write one prompt, its end at `width`, and its tree behind it; what is left over sees itself only."""
    begin = width - len(prompt)
    ids[begin:width] = prompt
    positions[begin:width] = np.arange(len(prompt))
    np.fill_diagonal(visible, val=True)
    visible[begin:width, begin:width] = np.tri(len(prompt), dtype=np.bool_)
    for node, (token, parent, depth) in enumerate(zip(tree.tokens, tree.parents, tree.depths, strict=True)):
        at = width + node
        ids[at] = token
        positions[at] = len(prompt) + depth
        if parent == ROOT:
            visible[at, begin:width] = True
        else:
            visible[at] |= visible[width + parent]


def _nodes(tree: AnswerTree, logits: Any, totals: Any, column: dict[int, int], width: int) -> Nodes:
    torch = require("torch")
    rows = [column[width - 1 if parent == ROOT else width + parent] for parent in tree.parents]
    chosen = logits[rows, list(tree.tokens)]
    free = chosen - totals[rows]
    among: list[Any] = [None] * tree.size
    for node in range(tree.size):
        if among[node] is None:
            family = list(tree.siblings(node))
            shares = torch.log_softmax(chosen[family], dim=0)
            for member, share in zip(family, shares, strict=True):
                among[member] = share
    return free.cpu().double().numpy(), torch.stack(among).cpu().double().numpy()


def score_each(model: LanguageModel, prompt: Sequence[int], tree: AnswerTree) -> Nodes:
    """What :func:`score_packed` gives for one prompt, by a plain pass for each answer: slow, for any architecture."""
    torch = require("torch")
    free = np.zeros(tree.size)
    among = np.zeros(tree.size)
    for path in tree.paths:
        sequence = [*prompt, *(tree.tokens[node] for node in path)]
        with torch.inference_mode():
            ids = torch.tensor([sequence], device=model.device)
            logits = model.network(input_ids=ids, use_cache=False, logits_to_keep=len(path) + 1).logits[0, :-1].float()
        for row, node in zip(logits, path, strict=True):
            family = tree.siblings(node)
            chosen = row[[tree.tokens[i] for i in family]]
            free[node] = float(row[tree.tokens[node]] - torch.logsumexp(row, dim=0))
            among[node] = float(row[tree.tokens[node]] - torch.logsumexp(chosen, dim=0))
    return free, among


def answer_scores(tree: AnswerTree, nodes: Nodes, normalization: Normalization) -> DoubleArray:
    """One score an answer: float64 [answers], the higher the likelier.

    Raises:
        RecipeError: an unknown normalization.
    """
    free, among = nodes
    match normalization:
        case "sum":
            return np.array([free[list(path)].sum() for path in tree.paths])
        case "mean":
            return np.array([free[list(path)].mean() for path in tree.paths])
        case "tree":
            return np.array([among[list(path)].sum() for path in tree.paths])
        case _:
            raise RecipeError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}")


def shares(scores: DoubleArray) -> DoubleArray:
    """Softmax over answers: float64 [answers], sums to 1."""
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def honours_packing(model: LanguageModel) -> bool:
    """Whether a packed pass gives what plain ones do.

    A recurrent network, or one that makes its own mask, would answer without a complaint and wrongly.
    """
    vocabulary = int(model.network.config.get_text_config().vocab_size)
    prompt = [(7 * i + 3) % vocabulary for i in range(6)]
    tree = pack_answers([[(11 * i + j) % vocabulary for j in range(3)] for i in range(1, 4)])
    packed, _ = score_packed(model, [prompt], [tree])[0]
    plain, _ = score_each(model, prompt, tree)
    return bool(np.abs(packed - plain).max() <= _TOLERANCE * max(1.0, float(np.abs(plain).max())))
