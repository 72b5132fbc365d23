"""`avagent inspect`: what is in a shard, or all that can be told of one clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avagent import storage
from avagent.core.clip import Clip
from avagent.core.errors import ClipError, UsageError
from avagent.core.media import StreamInfo
from avagent.media.container import probe
from avagent.media.decoder_process import process_decoder
from avagent.pipelines.calibration_plot import require_matplotlib
from avagent.pipelines.clip_facts import clip_facts, clip_lines, clip_store, draw_clip
from avagent.pipelines.console import ProgramConsole, make_console, tell
from avagent.pipelines.options import LOCATION, json_option, recipe_options
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.shards.formats import WEBDATASET, ShardOptions, format_of, inspect_shard, read_shard
from avagent.shards.listing import list_shards
from avagent.shards.samples import BadSample, LoadedClip, ShardSummary


@click.command()
@click.argument("source", type=LOCATION)
@click.option("--clips", "shown", type=click.IntRange(0), default=5, show_default=True, help="Clips shown per shard.")
@click.option("--key", help="Tell all of this clip: streams, edit lists, what a repair would carry, facts, the record.")
@click.option("--models", is_flag=True, help="With --key: caption and score the clip too, if it carries no record.")
@click.option("--png", type=LOCATION, help="With --key: write pictures, waveform and spectrogram to this file.")
@recipe_options
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def inspect(source: str, shown: int, recipe: str, settings: tuple[str, ...], **flags: Any) -> int:
    """Show what is in a shard, a folder or a pattern of shards: clips, members, streams, and what is wrong.

    \b
    Examples:
      avagent inspect shards/demo-000000.tar --clips 3
      avagent inspect refined/ --key dog --png dog.png
      avagent inspect clips.tfrecord --set 'tfrecord.media=[video_bytes]' --json
    """  # noqa: D301  (click's mark for lines to keep)
    loaded = load_recipe(recipe, settings)
    if flags["key"] is not None:
        return _inspect_clip(source, flags["key"], loaded, models=flags["models"], png=flags["png"])
    if flags["png"] is not None or flags["models"]:
        raise UsageError("--png and --models are about one clip: name it by --key")
    options, console = loaded.shard_options(), make_console()
    bad = 0
    facts: list[dict[str, Any]] = []
    for shard in list_shards(source):
        try:
            summary = inspect_shard(shard, options)
        except OSError as error:
            raise UsageError(f"{shard} cannot be read: {error}") from error
        bad += len(summary.bad)
        clips = list(_first_clips(shard, shown, options))
        if isinstance(console, ProgramConsole):
            facts.append({**_summary_facts(summary), "first": [_clip_facts(item, options) for item in clips]})
        else:
            _show_shard(console, summary, clips, options)
    tell(console, facts, lambda: None)
    return 1 if bad else 0


def _inspect_clip(source: str, key: str, recipe: Recipe, *, models: bool, png: str | None) -> int:
    console = make_console()
    if png is not None:
        require_matplotlib()
    options = recipe.shard_options()
    item = _find(source, key, options)
    found = clip_facts(item, recipe, models=models)
    if png is not None:
        view = clip_store(item, recipe, options).view(item.ref)
        storage.write_bytes(png, draw_clip(key, view.audio(), view.frames()))

    def show() -> None:
        for line in clip_lines(found):
            console.print(line, markup=False, highlight=False)
        if png is not None:
            console.print(f"written: {png}", markup=False, highlight=False)

    tell(console, found, show)
    return 0


def _find(source: str, key: str, options: ShardOptions) -> LoadedClip:
    """The first clip of this key. Raises UsageError: there is none, or it cannot be used."""
    for shard in list_shards(source):
        for item in read_shard(shard, options):
            if isinstance(item, LoadedClip) and item.ref.key == key:
                return item
            if isinstance(item, BadSample) and item.key == key:
                raise UsageError(f"clip {key!r} of {shard} cannot be used: {item.failure.message}")
    raise UsageError(f"no clip {key!r} in {source}")


def _first_clips(shard: str, shown: int, options: ShardOptions) -> Iterator[LoadedClip]:
    left = shown
    for item in read_shard(shard, options) if shown else ():
        if isinstance(item, LoadedClip):
            yield item
            left -= 1
            if left == 0:
                return


def _summary_facts(summary: ShardSummary) -> dict[str, Any]:
    return {
        "shard": summary.shard,
        "clips": summary.clips,
        "bytes": summary.nbytes,
        "members": [{"suffix": s, "members": count, "bytes": nbytes} for s, count, nbytes in summary.suffixes],
        "bad": [{"key": item.key, "index": item.index, **asdict(item.failure)} for item in summary.bad],
        "outside_of_samples": list(summary.loose),
    }


def _clip_facts(item: LoadedClip, options: ShardOptions) -> dict[str, Any]:
    try:
        streams: dict[str, Any] = asdict(_probed(item.clip, options))
    except ClipError as error:
        streams = {"fault": str(error), "reason": str(error.reason)}
    members = [{"name": m.name, "suffix": m.suffix, "bytes": len(m.data)} for m in item.clip.members]
    return {"key": item.ref.key, "content_sha256": item.ref.content_sha256, "members": members, "streams": streams}


def _show_shard(console: Console, summary: ShardSummary, clips: list[LoadedClip], options: ShardOptions) -> None:
    console.print(f"{summary.shard}: {summary.clips} clips, {summary.nbytes:,} bytes", markup=False, highlight=False)
    dot = "." if format_of(summary.shard) is WEBDATASET else ""
    for suffix, count, nbytes in summary.suffixes:
        console.print(f"  {dot}{suffix}: {count} members, {nbytes:,} bytes", markup=False, highlight=False)
    reasons = Counter(str(item.failure.reason) for item in summary.bad)
    for reason, count in reasons.most_common():
        example = next(item for item in summary.bad if item.failure.reason == reason)
        console.print(f"  bad: {reason}: {count}, e.g. {example.failure.message}", markup=False, style="red")
    if summary.loose:
        console.print(f"  outside of samples: {', '.join(summary.loose)}", markup=False, highlight=False)
    if clips:
        console.print(_table(clips, options))


def _table(clips: list[LoadedClip], options: ShardOptions) -> Table:
    table = Table(box=None)
    for column in ("key", "members", "sound", "picture"):
        table.add_column(column)
    for item in clips:
        members = " ".join(member.suffix.rpartition(":")[0] or member.suffix for member in item.clip.members)
        table.add_row(escape(item.ref.key), escape(members), *_streams(item.clip, options))
    return table


def _probed(clip: Clip, options: ShardOptions) -> StreamInfo:
    return process_decoder(options.decoding).run(probe, clip.sound().data, limits=options.media)


def _streams(clip: Clip, options: ShardOptions) -> tuple[str, str]:
    try:
        info = _probed(clip, options)
    except ClipError as error:
        return (escape(str(error)), "")
    sound = f"{info.audio_codec} {info.rate} Hz {info.channels} ch {_seconds(info.audio_duration)}"
    picture = f"{info.video_codec} {_size(info)}{_seconds(info.video_duration)}"
    return (sound if info.has_audio else "none", picture if info.has_video else "none")


def _size(info: StreamInfo) -> str:
    return f"{info.width}x{info.height} " if info.width and info.height else ""


def _seconds(value: float | None) -> str:
    return "unknown length" if value is None else f"{value:.2f} s"
