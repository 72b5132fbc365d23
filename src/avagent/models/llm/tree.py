"""Answers as a tree of tokens: what they share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avagent.core.errors import ParameterError

ROOT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTree:
    """Token ids of several answers, packed: every node once, a parent before its children.

    Attributes:
        tokens: token id of each node.
        parents: node that comes before; :data:`ROOT`: the prompt does.
        depths: number of nodes before it on its path, from 0.
        paths: nodes of each answer, in order.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.tokens)

    def siblings(self, node: int) -> tuple[int, ...]:
        """All nodes with the same parent, itself included."""
        return tuple(i for i, parent in enumerate(self.parents) if parent == self.parents[node])


def pack_answers(answers: Sequence[Sequence[int]]) -> AnswerTree:
    """The tree of these token ids.

    Raises:
        ParameterError: an answer without tokens, or the same twice.
    """
    nodes: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    paths: list[tuple[int, ...]] = []
    for answer in answers:
        path: list[int] = []
        for depth, token in enumerate(answer):
            parent = path[-1] if path else ROOT
            node = nodes.setdefault((parent, token), len(tokens))
            if node == len(tokens):
                tokens.append(token)
                parents.append(parent)
                depths.append(depth)
            path.append(node)
        paths.append(tuple(path))
    if not all(paths) or len(set(paths)) < len(paths):
        raise ParameterError("answers must differ and have at least one token each")
    return AnswerTree(tokens=tuple(tokens), parents=tuple(parents), depths=tuple(depths), paths=tuple(paths))
