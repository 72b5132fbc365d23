"""All that can be told of one clip, for `avagent inspect --key`: as plain values, as text, and as a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from avagent.core.clip import AUDIO_SUFFIXES, VIDEO_SUFFIXES, Clip
from avagent.core.errors import ClipError, MissingModelError
from avagent.core.media import Frames, Waveform
from avagent.core.state import ClipState
from avagent.media.decoder_process import process_decoder
from avagent.media.describe import describe_media, try_repair
from avagent.media.store import MediaStore
from avagent.pipelines.recipe import Recipe
from avagent.records.decisions import dump
from avagent.report.pictures import LOWEST_HZ, RANGE_DB, draw
from avagent.shards.formats import ShardOptions
from avagent.shards.record_member import record_of
from avagent.shards.samples import LoadedClip

_MEDIA = (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES)


def clip_facts(item: LoadedClip, recipe: Recipe, *, models: bool = False) -> dict[str, Any]:
    """A clip's place, members, containers, streams, measured facts and record; what fails is told in its place.

    Args:
        item: the clip.
        recipe: by which it is read, and whose models are asked.
        models: whether to caption and score it, where no record tells what was found.
    """
    options, ref = recipe.shard_options(), item.ref
    store = clip_store(item, recipe, options)
    text = record_of(item.clip)
    found: dict[str, Any] = {
        "key": ref.key,
        "shard": ref.shard,
        "index": ref.index,
        "offset": ref.offset,
        "length": ref.length,
        "content_sha256": ref.content_sha256,
        "members": [_member(member.name, member.suffix, member.data, options) for member in item.clip.members],
        "repair": _or_fault(lambda: _repair(item.clip, recipe, options)),
        "facts": _or_fault(lambda: _as_dict(store.view(ref).facts())),
        "record": json.loads(text) if text else None,
    }
    if models and not text:
        found |= _asked(item, recipe, store)
    return json.loads(dump(found))


def clip_store(item: LoadedClip, recipe: Recipe, options: ShardOptions) -> MediaStore:
    """A store that holds the clip."""
    store = MediaStore(
        max_bytes=recipe.worker.cache_mib << 20,
        read_clip=lambda _: item.clip,
        limits=options.media,
        decoder=process_decoder(options.decoding),
    )
    store.put(item.ref, item.clip)
    return store


def _member(name: str, suffix: str, data: bytes, options: ShardOptions) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "suffix": suffix, "bytes": len(data)}
    if suffix.rpartition(".")[2] in _MEDIA or suffix in _MEDIA:
        decoder = process_decoder(options.decoding)
        found["media"] = _or_fault(lambda: decoder.run(describe_media, data, limits=options.media))
    return found


def _repair(clip: Clip, recipe: Recipe, options: ShardOptions) -> dict[str, Any]:
    sound = clip.sound()
    suffix, codec = sound.suffix.rpartition(".")[2], recipe.output.audio_codec
    decoder = process_decoder(options.decoding)
    return decoder.run(try_repair, sound.data, suffix=suffix, audio_codec=codec, limits=options.media)


def _asked(item: LoadedClip, recipe: Recipe, store: MediaStore) -> dict[str, Any]:
    """What the recipe's models say of it."""
    from avagent.pipelines.wiring import wire  # noqa: PLC0415  (it loads Beam and models: seconds)
    from avagent.transforms.stages import caption_clips, score_originals  # noqa: PLC0415

    try:
        loop = wire(recipe).loop
        states = caption_clips([ClipState(ref=item.ref)], loop.captioner(), store)
        (state,) = score_originals(states, loop.scorer(), store)
    except MissingModelError as error:
        return {"captions": {"fault": str(error)}, "scores": None}
    if state.failure is not None:
        return {"captions": {"fault": state.failure.message}, "scores": None}
    return {"captions": _as_dict(state.captions), "scores": _as_dict(state.scores)}


def _or_fault(make: Any) -> Any:
    try:
        return make()
    except ClipError as error:
        return {"fault": str(error), "reason": str(error.reason)}


def _as_dict(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def clip_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    place = f"{found['length']:,} bytes at {found['offset']:,}"
    yield f"{found['key']}: sample {found['index']} of {found['shard']}, {place}"
    for member in found["members"]:
        yield f"  {member['name']}: {member['bytes']:,} bytes"
        if (media := member.get("media")) is not None:
            yield from (f"    {line}" for line in _media_lines(media, found["repair"]))
    yield from (f"  {line}" for line in _repair_lines(found["repair"]))
    if found["facts"]:
        yield "  measured: " + ", ".join(_short(found["facts"]))
    record = found["record"] or {"captions": found.get("captions"), "scores": {"before": found.get("scores")}}
    yield from (f"  {line}" for line in _record_lines(record))


def _media_lines(media: Mapping[str, Any], repair: Mapping[str, Any]) -> Iterator[str]:
    if "fault" in media:
        yield str(media["fault"])
        return
    yield f"container {media['container']}, {_seconds(media['seconds'])}, {media['chapters']} chapters"
    fates = repair.get("streams", {})
    for stream in media["streams"]:
        yield f"stream {stream['index']}: {_stream_line(stream)}{_fate(fates.get(str(stream['index'])))}"
        for edit in media["edit_lists"].get(str(stream["id"]), ()):
            what = "nothing" if edit["from"] is None else f"from {edit['from']:.3f} s"
            rate = "" if edit["rate"] == 1.0 else f" at {edit['rate']:g} times the pace"
            yield f"  edit list: {what} for {edit['for']:.3f} s{rate}"
    if media["tags"]:
        yield "tags: " + ", ".join(f"{name}={value}" for name, value in media["tags"].items())


def _stream_line(stream: Mapping[str, Any]) -> str:
    parts = [f"{stream['type']} {stream['codec'] or 'of an unknown codec'}"]
    if "rate" in stream:
        parts.append(f"{stream['rate']} Hz {stream['layout']}")
    if "width" in stream:
        rate = f" at {stream['frame_rate']:.3f} Hz" if stream["frame_rate"] else ""
        parts.append(f"{stream['width']}x{stream['height']}{rate}")
    parts += [f"{_seconds(stream['duration'])} from {stream['start'] or 0.0:.3f} s", f"{stream['packets']} packets"]
    return ", ".join(parts)


def _fate(fate: str | None) -> str:
    return f" [{fate.replace('_', ' ')}]" if fate else ""


def _repair_lines(repair: Mapping[str, Any]) -> Iterator[str]:
    if "fault" in repair:
        yield f"a repair: {repair['fault']}"
    elif repair["possible"]:
        yield f"a repair writes {repair['codec']} into {repair['container']}; each stream's fate stands beside it"
    else:
        yield f"a repair is not possible ({repair['reason']}): {repair['message']}"


def _record_lines(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("outcome"):
        yield f"outcome: {record['outcome']}, {record['reason']}"
    for name, caption in (record.get("captions") or {}).items():
        if caption:
            yield f"{name}: {caption['text'] if isinstance(caption, dict) else caption}"
    for when in ("before", "after"):
        if scores := (record.get("scores") or {}).get(when):
            yield f"scores {when}: " + ", ".join(_short({k: scores[k] for k in ("alignment", "synchronization")}))
    for done in record.get("rounds", ()):
        kinds = [part["kind"] for part in (done["plan"]["noise"], done["plan"]["coordination"]) if part]
        yield f"round {done['number']}: {' and '.join(kinds)}, {'kept' if done['accepted'] else 'dropped'}"


def _short(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            value = value.get("value")  # noqa: PLW2901  (an estimate and its confidence)
        if value is not None:
            yield f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"


def _seconds(value: float | None) -> str:
    return "unknown length" if value is None else f"{value:.3f} s"


def draw_clip(key: str, sound: Waveform | None, frames: Frames | None) -> bytes:
    """Pictures, waveform and spectrogram on one scale of time, as PNG; needs matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (extra `plots`)

    figure = Figure(figsize=(10, 1.8 * (frames is not None) + 4.5 * (sound is not None) + 0.6), layout="constrained")
    figure.suptitle(key)
    rows = [1.0] * (frames is not None) + [3.0] * (sound is not None)
    parts = iter(figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]) if rows else iter(())
    if frames is not None:
        for axis, pixels, time in zip(
            next(parts).subplots(1, len(frames.pixels), squeeze=False)[0], frames.pixels, frames.times, strict=True
        ):
            axis.imshow(pixels)
            axis.set_title(f"{time:.1f} s", fontsize="small")
            axis.axis("off")
    if sound is not None and sound.length:
        axes: Any = next(parts).subplots(2, 1, sharex=True, height_ratios=[1, 2])
        _draw_sound(axes[0], axes[1], sound)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _draw_sound(wave: Any, spectrum: Any, sound: Waveform) -> None:
    """Waveform and spectrogram on two axes of matplotlib."""
    scale, (drawn,) = draw([sound], sound.duration)
    wave.fill_between(*_envelope(sound), linewidth=0)
    wave.set(xlim=(0, sound.duration), ylim=(-scale.peak, scale.peak), ylabel="of full scale")
    extent = (0, sound.duration, np.log10(LOWEST_HZ), np.log10(scale.top_hz))
    spectrum.imshow(drawn.pixels, aspect="auto", extent=extent)
    ticks = [hz for hz in (100, 1_000, 4_000, 16_000) if LOWEST_HZ < hz <= scale.top_hz]
    spectrum.set_yticks(np.log10(ticks), [f"{hz:,} Hz" for hz in ticks])
    spectrum.set(xlabel=f"s; {RANGE_DB:.0f} dB from the darkest to the brightest")


def _envelope(sound: Waveform, columns: int = 1000) -> Sequence[Any]:
    """Times in s, lowest and highest sample of each column."""
    mono = sound.mono()
    edges = np.unique(np.linspace(0, mono.size, columns, endpoint=False).astype(np.int64))
    return edges / sound.rate, np.minimum.reduceat(mono, edges), np.maximum.reduceat(mono, edges)
