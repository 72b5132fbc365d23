"""The fuzz targets by name, with their seeds and the regression cases that were found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fuzz_media
import fuzz_records
import fuzz_shards

REGRESSIONS = Path(__file__).with_name("regressions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A reader to be fuzzed.

    Attributes:
        fuzz_one: takes any bytes; raises when a promise is not kept.
        seeds: makes files of the kind that is read.
        guided: whether Python's own coverage can guide the search: native decoders run in another process.
    """

    fuzz_one: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    guided: bool = True


TARGETS = {
    "tar": Target(fuzz_one=fuzz_shards.fuzz_tar, seeds=fuzz_shards.tar_seeds),
    "tfrecord": Target(fuzz_one=fuzz_shards.fuzz_tfrecord, seeds=fuzz_shards.tfrecord_seeds),
    "example": Target(fuzz_one=fuzz_shards.fuzz_example, seeds=fuzz_shards.example_seeds),
    "video": Target(fuzz_one=fuzz_media.fuzz_video, seeds=fuzz_media.video_seeds, guided=False),
    "sound": Target(fuzz_one=fuzz_media.fuzz_sound, seeds=fuzz_media.sound_seeds, guided=False),
    "picture": Target(fuzz_one=fuzz_media.fuzz_picture, seeds=fuzz_media.picture_seeds, guided=False),
    "decisions": Target(fuzz_one=fuzz_records.fuzz_decisions, seeds=fuzz_records.decision_seeds),
    "report": Target(fuzz_one=fuzz_records.fuzz_report, seeds=fuzz_records.report_seeds),
    "run": Target(fuzz_one=fuzz_records.fuzz_run_record, seeds=fuzz_records.run_record_seeds),
    "recipe": Target(fuzz_one=fuzz_records.fuzz_recipe, seeds=fuzz_records.recipe_seeds),
}


def regressions(name: str) -> list[Path]:
    """What was found before: `regressions/TARGET-what.bin`."""
    return sorted(REGRESSIONS.glob(f"{name}-*.bin"))
