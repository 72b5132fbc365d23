"""Refined WebDataset shards as a PyTorch `IterableDataset`, on the `webdataset` package (extra `torch`).

    from avagent.readers.torch import RefinedClips

    clips = RefinedClips("refined/", rate=16_000, outcomes=("improved", "unchanged"), shuffle=1000)
    loader = torch.utils.data.DataLoader(clips, batch_size=None, num_workers=4)

Shards are shared out over nodes and workers by `webdataset`. Nothing is unpickled: members stay bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import soxr
import torch
from torch.utils.data import IterableDataset

from avagent import storage
from avagent.core.clip import Clip, Member
from avagent.core.errors import MediaError, ParameterError, ShardError
from avagent.readers.examples import EncodedClip, check_outcomes, decoded, encoded, outcome_of
from avagent.shards.formats import DEFAULT_OPTIONS, WEBDATASET, ShardOptions, format_of
from avagent.shards.listing import list_shards

Example = dict[str, Any]


class RefinedClips(IterableDataset[Example]):
    """Clips with decoded sound.

    An example is `key` (str), `audio` (float32 [channels, samples], or [0, 0] without sound), `rate` (Hz), `video` (the
    container's bytes) and `record` (why the clip is as it is; empty for shards that were not refined).

    Args:
        shards: folder, glob, brace pattern or list of `.tar` shards.
        rate: resample to so many Hz; None: as it is.
        outcomes: only clips with such an outcome; none: all.
        shuffle: clips in the shuffle buffer, and shards in random order; 0: in order.
        seed: of the shuffle.
        options: limits of media and decoding. As in a run, every worker decodes in a process of its own that can be
            killed; `ShardOptions(decoding=DecodeLimits(decode_seconds=None))` saves that for media that you trust.

    Raises:
        ParameterError: an unknown outcome, or no `.tar` shard.
        UsageError: no shards there.
    """

    def __init__(
        self,
        shards: str,
        *,
        rate: int | None = None,
        outcomes: Collection[str] = (),
        shuffle: int = 0,
        seed: int = 0,
        options: ShardOptions = DEFAULT_OPTIONS,
    ) -> None:
        super().__init__()
        self._urls = list_shards(shards)
        if other := [url for url in self._urls if format_of(url) is not WEBDATASET]:
            raise ParameterError(f"{other[0]} is no WebDataset shard: `avagent convert --to webdataset` makes one")
        self._rate = rate
        self._outcomes = check_outcomes(outcomes)
        self._shuffle = shuffle
        self._seed = seed
        self._options = options

    def __iter__(self) -> Iterator[Example]:
        """The examples of this worker's shards."""
        for sample in self._samples():
            clip = _clip(sample)
            try:
                found = encoded(clip, self._options)
                if self._outcomes and outcome_of(found.record) not in self._outcomes:
                    continue
                yield self._example(clip.key, found)
            except (ShardError, MediaError):
                continue  # in a refined folder such clips are in `_errors`

    def _samples(self) -> Any:
        """Samples of bytes; `webdataset` is imported late: importing it has effects."""
        from webdataset.filters import shuffle  # noqa: PLC0415
        from webdataset.pipeline import DataPipeline  # noqa: PLC0415
        from webdataset.shardlists import SimpleShardList, split_by_node, split_by_worker  # noqa: PLC0415
        from webdataset.tariterators import group_by_keys, tar_file_expander  # noqa: PLC0415

        mixed = self._shuffle > 0
        return DataPipeline(
            SimpleShardList(self._urls),
            split_by_node,
            split_by_worker,
            *([shuffle(len(self._urls), seed=self._seed)] if mixed else []),
            _opened,
            tar_file_expander,
            group_by_keys,
            *([shuffle(self._shuffle, seed=self._seed)] if mixed else []),
        )

    def _example(self, key: str, found: EncodedClip) -> Example:
        waveform = decoded(found.sound, self._options)
        audio, rate = np.zeros((0, 0), np.float32), 0
        if waveform is not None:
            audio, rate = waveform.samples, waveform.rate
            if self._rate is not None and rate != self._rate:
                audio, rate = soxr.resample(audio.T, rate, self._rate).T, self._rate
        return {
            "key": key,
            "audio": torch.from_numpy(np.ascontiguousarray(audio, np.float32)),
            "rate": rate,
            "video": found.video,
            "record": json.loads(found.record) if found.record else {},
        }


def _opened(shards: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """Wherever fsspec reaches; `webdataset` by itself would start programs for that."""
    for shard in shards:
        with storage.open_read(shard["url"]) as stream:
            yield {"url": shard["url"], "stream": stream}


def _clip(sample: Mapping[str, Any]) -> Clip:
    key = str(sample["__key__"])
    members = [
        Member(name=f"{key}.{suffix}", suffix=suffix, data=data)
        for suffix, data in sample.items()
        if isinstance(data, bytes) and not suffix.startswith("__")
    ]
    return Clip(key=key, members=tuple(members))
