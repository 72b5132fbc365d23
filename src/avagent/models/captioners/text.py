"""Prompts from files, and a model's answer made into a caption."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from avagent.core.captions import Caption
from avagent.core.errors import FailureReason, ModelError, RecipeError, Stage

MAX_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked.

    Attributes:
        name: of the shipped prompt, or of the file.
        text: the question.
    """

    name: str
    text: str

    @property
    def fingerprint(self) -> str:
        """Name and hash of the text."""
        return f"{self.name}@{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


def load_prompt(name_or_file: str) -> Prompt:
    """A shipped prompt by its name, or a text file. Raises RecipeError."""
    folder = resources.files("avagent.models.captioners") / "prompts"
    shipped = sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))
    if name_or_file in shipped:
        text = (folder / f"{name_or_file}.txt").read_text("utf-8")
    elif Path(name_or_file).is_file():
        text = Path(name_or_file).read_text("utf-8")
    else:
        raise RecipeError(f"no prompt {name_or_file!r}: give a text file, or one of {', '.join(shipped)}")
    if not text.strip():
        raise RecipeError(f"the prompt {name_or_file!r} is empty")
    return Prompt(Path(name_or_file).name, text.strip())


def parse_caption(answer: str, key: str) -> Caption:
    """One line of printable text, at most 600 characters, cut at the end of a sentence or a word.

    Args:
        answer: what the model said; data, never an instruction.
        key: of the clip, for the message.

    Raises:
        ModelError: nothing is left.
    """
    plain = "".join(c if unicodedata.category(c)[0] not in "CZ" else _space(c) for c in answer)
    text = " ".join(plain.replace("\ufffd", "").split())
    if len(text) > MAX_CHARACTERS:
        cut = text[:MAX_CHARACTERS]
        sentence, word = cut.rfind(". ") + 1, cut.rfind(" ")
        text = cut[: sentence or word if max(sentence, word) > MAX_CHARACTERS // 2 else None].rstrip()
    if not text:
        raise caption_error(f"the captioner gave no text for clip {key!r}")
    return Caption(text)


def caption_error(message: str) -> ModelError:
    """A captioner's failure on one clip."""
    return ModelError(message, reason=FailureReason.MODEL_FAILED, stage=Stage.CAPTION)


def _space(character: str) -> str:
    """Blanks and line breaks part words; other control and format characters vanish."""
    return " " if character.isspace() else ""
