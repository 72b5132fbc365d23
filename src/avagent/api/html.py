"""How a clip shows itself in a notebook: players, pictures, waveform and spectrogram, all of them encoded anew."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from avagent.core.clip import Clip as Sample
from avagent.core.errors import AVAgentError
from avagent.core.media import Waveform
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision
from avagent.media.container import probe
from avagent.media.decoder_process import process_decoder
from avagent.media.preview import PlayerChoice, encode_webp, make_players
from avagent.report.pictures import COLUMNS, Drawn, draw
from avagent.shards.formats import ShardOptions

if TYPE_CHECKING:
    from avagent.api.clip import Clip

LONGEST_S = 30.0
"""Of a clip, only so much is shown: its beginning. A notebook keeps what it shows."""
_CHOICE = PlayerChoice(seconds=LONGEST_S, picture_rate=200_000, sound_rate=64_000, max_side=320, stills=6)
_STYLE = (
    ".avagent figure{margin:0 0 .8em}.avagent figcaption{font-weight:600}.avagent .strip img{height:72px;margin:0 3px}"
    ".avagent video,.avagent .wave,.avagent .spectrum{width:480px;max-width:100%;display:block}"
    ".avagent .wave{height:60px}.avagent .wave path{fill:currentColor}"
)


def show(clip: Clip, shards: ShardOptions) -> str:
    """HTML of a clip. What cannot be shown is said."""
    try:
        media = "".join(_media(clip, shards))
    except AVAgentError as error:
        media = f"<p>It cannot be shown: {escape(str(error))}</p>"
    edits = f": {' + '.join(action.kind for action in clip.actions)}" if clip.actions else ""
    head = f"<p><b>{escape(clip.key)}</b>{edits}</p>"
    told = "" if clip.decision is None else _decided(clip.decision)
    return f'<div class="avagent"><style>{_STYLE}</style>{head}{told}{media}</div>'


def _media(clip: Clip, shards: ShardOptions) -> Iterator[str]:
    decoder, limits = process_decoder(shards.decoding), shards.media
    video = Sample(key=clip.key, members=clip.members).video()
    titled = dict(_sounds(clip))
    titles, sounds = list(titled), list(titled.values())
    durations = [sound.duration for sound in sounds]
    if video is not None and not durations:
        durations = [decoder.run(probe, video.data, limits=limits).video_duration or 0.0]
    seconds = min(max(durations, default=0.0), LONGEST_S) or LONGEST_S
    choice = replace(_CHOICE, seconds=seconds)
    made = decoder.run(make_players, video.data if video else None, tuple(sounds), choice, limits=limits)
    if made["stills"]:
        yield f'<div class="strip">{"".join(_strip(made["stills"], made["times"]))}</div>'
    drawn = draw(sounds, seconds)[1] if sounds else []
    kind = f'video poster="{_uri(made["stills"][0], "image/webp")}"' if made["stills"] else "audio"
    for title, picture, player in zip(titles, drawn, made["players"], strict=True):
        yield _figure(title, picture, kind, player)
    if not sounds:
        yield "<p>There is no sound.</p>"
    if max(durations, default=0.0) > seconds:
        yield f"<p>The first {seconds:.0f} s are shown.</p>"


def _sounds(clip: Clip) -> Iterator[tuple[str, Waveform]]:
    """The sound as it came and, if there are edits, as they make it; nothing where there is none."""
    both = {"before": clip.original, "after": clip} if clip.actions else {"sound": clip}
    for title, each in both.items():
        if (sound := each.audio) is not None and sound.length:
            yield title, sound


def _strip(stills: Sequence[bytes], times: Sequence[float]) -> Iterator[str]:
    for data, time in zip(stills, times, strict=True):
        yield f'<img alt="Picture at {time:.1f} s" title="{time:.1f} s" src="{_uri(data, "image/webp")}">'


def _figure(title: str, drawn: Drawn, player: str, data: bytes) -> str:
    kind = player.partition(" ")[0]
    spectrum = _uri(encode_webp(drawn.pixels), "image/webp")
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<{player} controls preload="none" src="{_uri(data, f"{kind}/webm")}"></{kind}>'
        f'<svg class="wave" viewBox="0 0 {COLUMNS} 100" preserveAspectRatio="none" role="img" aria-label="Waveform">'
        f'<path d="{drawn.path}"/></svg>'
        f'<img class="spectrum" alt="Spectrogram, 60 Hz to 16 kHz at most" src="{spectrum}"></figure>'
    )


def _decided(decision: ClipDecision) -> str:
    rows = [("outcome", f"{decision.outcome}: {decision.reason}")]
    if decision.history is not None:
        before, after = decision.history.original, decision.history.best_scores
        rows += [(name, _change(name, before, after)) for name in ("alignment", "synchronization")]
        rows.append(("rounds", str(len(decision.history.rounds))))
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<table>{cells}</table>"


def _change(name: str, before: Scores, after: Scores) -> str:
    old, new = (getattr(scores, name) for scores in (before, after))
    if old is None or new is None:
        return f"not evaluable: {getattr(before, f'{name}_note') or 'no evidence'}"
    return f"{old:.2f}" if old == new else f"{old:.2f} before, {new:.2f} after"


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
