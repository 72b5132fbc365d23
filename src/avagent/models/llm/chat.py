"""A prompt as token ids, in the chat format of the model at hand.

The text about a clip is encoded by itself, with special tokens switched off: whatever a caption holds, it becomes
ordinary text inside the user's turn. Training and inference both go through here.
"""

from __future__ import annotations

import importlib.resources
from typing import Any

from avagent.core.errors import RecipeError

_HERE = "\u0000"
"""Marks where the clip's text goes; it cannot be in it."""
TEMPLATES = ("model", "vicuna", "plain")
"""`model`: the tokenizer's own chat template (plain without one); `vicuna`: that of Vicuna 1.1 to 1.5."""

_FIXED = {"date_string": "26 Jul 2024", "enable_thinking": False}
"""Llama 3 tells the date of the day unless it is given (this is its own default); Qwen 3 would think first."""


def encode_prompt(tokenizer: Any, system: str, text: str, template: str = "model") -> list[int]:
    """Token ids up to where the answer begins.

    Args:
        tokenizer: of transformers.
        system: the instruction; it joins the user's turn where the template knows no system role.
        text: about one clip.
        template: one of :data:`TEMPLATES`.
    """
    head, tail = _frame(tokenizer, system, template)
    return [*_ids(tokenizer, head, special=True), *_ids(tokenizer, text), *_ids(tokenizer, tail, special=True)]


def encode_answer(tokenizer: Any, answer: str) -> list[int]:
    """Token ids of an answer, without the end of the turn."""
    return _ids(tokenizer, answer)


def end_of_turn(tokenizer: Any) -> list[int]:
    """Token ids that close an answer: what training appends."""
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def chat_template(tokenizer: Any, name: str) -> str | None:
    """The Jinja text of a template; None: no chat format.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in TEMPLATES:
        raise RecipeError(f"template must be one of {', '.join(TEMPLATES)}, got {name!r}")
    if name == "vicuna":
        return (importlib.resources.files("avagent.models.llm.prompts") / "vicuna_chat.jinja").read_text("utf-8")
    return tokenizer.chat_template if name == "model" else None


def _frame(tokenizer: Any, system: str, name: str) -> tuple[str, str]:
    """What stands before and after the clip's text."""
    template = chat_template(tokenizer, name)
    if template is None:
        return f"{tokenizer.bos_token or ''}{system}\n", "\nAnswer: "
    turns = [{"role": "system", "content": system}, {"role": "user", "content": _HERE}]
    whole = _apply(tokenizer, template, turns)
    if whole is None or system not in whole:
        whole = _apply(tokenizer, template, [{"role": "user", "content": f"{system}\n{_HERE}"}])
    if whole is None or whole.count(_HERE) != 1:
        raise RecipeError("the tokenizer's chat template does not repeat a user's text once: set `template: plain`")
    head, _, tail = whole.partition(_HERE)
    if name == "vicuna" and tokenizer.bos_token and not head.startswith(tokenizer.bos_token):
        head = tokenizer.bos_token + head
    return head, tail


def _apply(tokenizer: Any, template: str, turns: list[dict[str, str]]) -> str | None:
    """The chat as text; None where the template refuses the turns."""
    from jinja2.exceptions import TemplateError  # noqa: PLC0415  comes with the extra `hf`

    try:
        return tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=True, **_FIXED
        )
    except TemplateError:
        return None


def _ids(tokenizer: Any, text: str, *, special: bool = False) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special))
