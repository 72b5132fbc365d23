"""`avagent inspect`: what is in a shard."""

from __future__ import annotations

from collections import Counter

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avagent.core.clip import Clip
from avagent.core.errors import ClipError, UsageError
from avagent.core.media import StreamInfo
from avagent.media.container import probe
from avagent.media.decoder_process import process_decoder
from avagent.pipelines.options import recipe_options
from avagent.pipelines.recipe import load_recipe
from avagent.shards.formats import WEBDATASET, ShardOptions, format_of, inspect_shard, read_shard
from avagent.shards.listing import list_shards
from avagent.shards.samples import BadSample, ShardSummary


@click.command()
@click.argument("source")
@click.option("--clips", "shown", type=click.IntRange(0), default=5, show_default=True, help="Clips shown per shard.")
@recipe_options
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def inspect(source: str, shown: int, recipe: str, settings: tuple[str, ...], **_flags: bool) -> int:
    """Show what is in a shard, a folder or a pattern of shards: clips, members, streams, and what is wrong.

    \b
    Examples:
      avagent inspect shards/demo-000000.tar --clips 3
      avagent inspect clips.tfrecord --set 'tfrecord.media=[video_bytes]'
    """  # noqa: D301  (click's mark for lines to keep)
    console = Console(soft_wrap=True)
    options = load_recipe(recipe, settings).shard_options()
    bad = 0
    for shard in list_shards(source):
        try:
            summary = inspect_shard(shard, options)
        except OSError as error:
            raise UsageError(f"{shard} cannot be read: {error}") from error
        bad += len(summary.bad)
        _print_shard(console, summary)
        if shown:
            _print_clips(console, shard, shown, options)
    return 1 if bad else 0


def _print_shard(console: Console, summary: ShardSummary) -> None:
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


def _print_clips(console: Console, shard: str, shown: int, options: ShardOptions) -> None:
    table = Table(box=None)
    for column in ("key", "members", "sound", "picture"):
        table.add_column(column)
    for item in read_shard(shard, options):
        if len(table.rows) >= shown:
            break
        if isinstance(item, BadSample):
            continue
        members = " ".join(member.suffix.rpartition(":")[0] or member.suffix for member in item.clip.members)
        table.add_row(escape(item.ref.key), escape(members), *_streams(item.clip, options))
    console.print(table)


def _streams(clip: Clip, options: ShardOptions) -> tuple[str, str]:
    try:
        info = process_decoder(options.decoding).run(probe, clip.sound().data, limits=options.media)
    except ClipError as error:
        return (escape(str(error)), "")
    sound = f"{info.audio_codec} {info.rate} Hz {info.channels} ch {_seconds(info.audio_duration)}"
    picture = f"{info.video_codec} {_size(info)}{_seconds(info.video_duration)}"
    return (sound if info.has_audio else "none", picture if info.has_video else "none")


def _size(info: StreamInfo) -> str:
    return f"{info.width}x{info.height} " if info.width and info.height else ""


def _seconds(value: float | None) -> str:
    return "unknown length" if value is None else f"{value:.2f} s"
