"""What a planner LLM reads: a short text with captions as quoted data, measured facts, scores, and what may be chosen.

The wording lies in `prompts/`; its version and hash belong to the planner's fingerprint and to an adapter's card, since
an adapter is worth something only under the prompt that it was trained on.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from string import Template

from avagent.core.captions import Caption
from avagent.core.facts import Estimate, Facts, NoiseColour
from avagent.core.history import Base, History, Round
from avagent.core.ports import PlanRequest
from avagent.core.scores import Scores
from avagent.models.llm.admissible import LEAST_LAG_MS, NONE, REVISION, admissible, choice_of

VERSION = 1
CAPTION_CHARACTERS = 160
"""Longer captions are cut at a word: about 40 tokens."""
AUDIBLE_SNR_DB = 30.0
"""Above it noise is masked or inaudible beside the programme."""
USUAL_LUFS = (-30.0, -12.0)

_READ = 20 * CAPTION_CHARACTERS
"""Of a longer text only the beginning is looked at."""
_TRUST = ((0.95, "certain"), (0.7, "likely"), (0.5, "possible"), (0.25, "unsure"), (-1.0, "doubtful"))
_FILES = {"rank": ("system", "request"), "generate": ("system", "request", "generate", "repair")}
_BARE_NUMBER = re.compile(r"\s*\(\s*[\d.]+\s*\)")
"""A tag's confidence, such as `(0.98)`: six tokens that say little."""
_KEPT_MARKS = frozenset(".,;!?'()-%/&+")


def system_text(decoding: str = "rank") -> str:
    """The instruction, the same for every clip; `generate` says as well how a plan is written."""
    text = _file(f"system_v{VERSION}.txt").strip()
    return f"{text}\n{_file(f'generate_v{VERSION}.txt').strip()}" if decoding == "generate" else text


def repair_text(answer: str, reason: str) -> str:
    """What is added where an answer was refused; both are data."""
    return Template(_file(f"repair_v{VERSION}.txt").strip()).substitute(
        answer=neutralized(answer), reason=neutralized(reason)
    )


def render(request: PlanRequest) -> str:
    """The text about one clip, without the instruction; lines of which nothing is known are left out."""
    choices = admissible(request)
    values = {
        "heard": quoted(request.captions.audio),
        "seen": quoted(request.captions.video),
        "sound": describe(request.facts),
        "scores": _scores(request.history.best_scores),
        "tried": "; ".join(_round(r) for r in request.history.rounds),
        "filters": _names(c.noise for c in choices),
        "actions": _names(c.coordination for c in choices),
    }
    lines = (_filled(line, values) for line in _file(f"request_v{VERSION}.txt").splitlines())
    text = "\n".join(line for line in lines if line)
    kept = _kept(request.history, request.base)
    return f"{text}\nKept: {kept}" if kept else text


def prompt_fingerprint(decoding: str = "rank") -> str:
    """Version and hash of the wording and of the answers: an adapter's card names the one that it was trained on."""
    digest = hashlib.sha256(f"{VERSION},{REVISION},{CAPTION_CHARACTERS}\n".encode())
    for name in _FILES[decoding]:
        digest.update(_file(f"{name}_v{VERSION}.txt").encode())
    return f"prompt-v{VERSION}@{digest.hexdigest()[:12]}"


def quoted(caption: Caption | None) -> str:
    """A caption as data: one line of letters, digits and a few marks; empty: nothing to quote.

    It can close no quotation and form no special token, role or template of any model.
    """
    return "" if caption is None else neutralized(_BARE_NUMBER.sub("", caption.text[:_READ]))


def neutralized(text: str) -> str:
    """Any text as harmless data, cut at :data:`CAPTION_CHARACTERS`."""
    text = " ".join("".join(_neutral(c) for c in unicodedata.normalize("NFKC", text[:_READ])).split())
    if len(text) <= CAPTION_CHARACTERS:
        return text
    return text[: CAPTION_CHARACTERS + 1].rpartition(" ")[0] or text[:CAPTION_CHARACTERS]


def _neutral(character: str) -> str:
    if character == '"':
        return "'"
    if character == ":":
        return ","
    if character in _KEPT_MARKS or unicodedata.category(character)[0] in "LNM":
        return character
    return " "


def describe(facts: Facts | None) -> str:
    """Measured facts in few words, rounded; what is as usual is left out."""
    if facts is None:
        return "no sound"
    if facts.muted:
        return "silent"
    return ", ".join(_facts(facts)) or "nothing stands out"


def _facts(facts: Facts) -> Iterator[str]:
    if facts.snr is not None and facts.snr.value < AUDIBLE_SNR_DB:
        colour = "" if facts.noise_colour is NoiseColour.UNKNOWN else f" {facts.noise_colour}"
        yield f"SNR {facts.snr.value:.0f} dB{colour} {_trust(facts.snr)}"
    if facts.hum is not None and facts.hum_level is not None:
        yield f"hum {facts.hum.value:.0f} Hz {facts.hum_level:.0f} dB {_trust(facts.hum)}"
    if facts.gap_count:
        yield f"{facts.gap_count} dropouts"
    if facts.clipping >= 0.0005:
        yield f"clipped {100.0 * facts.clipping:.1f}%"
    if facts.loudness is not None and facts.true_peak is not None:
        low, high = USUAL_LUFS
        if not low <= facts.loudness <= high or facts.true_peak > 0.0:
            yield f"loudness {facts.loudness:.0f} LUFS peak {facts.true_peak:.0f} dB"
    if facts.lag is not None and abs(facts.lag.value) >= LEAST_LAG_MS:
        yield f"lag {round(facts.lag.value, -1):.0f} ms {_trust(facts.lag)}"
    if facts.duration_mismatch is not None:
        yield from _mismatch(facts.duration, facts.duration_mismatch)


def _mismatch(duration: float, mismatch: float) -> Iterator[str]:
    """The share by which the sound is longer than the picture, where it can be told from rounding."""
    picture = duration - mismatch
    if picture > 0.0 and abs(share := 100.0 * mismatch / picture) >= 0.5:
        yield f"{abs(share):.0f}% too {'long' if share > 0.0 else 'short'}"


def _trust(estimate: Estimate) -> str:
    """Confidence in words: a word is one token, a number four."""
    return next(word for least, word in _TRUST if estimate.confidence >= least)


def _scores(scores: Scores) -> str:
    pairs = (("alignment", scores.alignment), ("synchronization", scores.synchronization))
    return ", ".join(f"{name} {value:.1f}" if value is not None else f"{name} unknown" for name, value in pairs)


def _round(done: Round) -> str:
    return f"{choice_of(done.plan.actions).answer} ({'better' if done.accepted else 'not better'})"


def _kept(history: History, base: Base) -> str:
    """What the sound that was measured carries already."""
    if base is Base.ORIGINAL:
        return ""
    return ", ".join(dict.fromkeys(action.kind for action in history.best_actions))


def _names(kinds: Iterator[str | None]) -> str:
    return ", ".join(dict.fromkeys(kind or NONE for kind in kinds))


def _filled(line: str, values: dict[str, str]) -> str:
    """The line with its value in place; empty if there is none."""
    name = line.partition("$")[2].rstrip('"')
    return Template(line).substitute(values) if values[name] else ""


@cache
def _file(name: str) -> str:
    return (importlib.resources.files("avagent.models.llm.prompts") / name).read_text("utf-8")
