"""The worker process's media store: one for all stages, whichever thread asks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

from avagent.dsp.threads import run_one_thread
from avagent.media.decoder_process import process_decoder
from avagent.media.store import MediaStore
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions, read_clip
from avagent.storage.retries import configure

_stores: dict[StoreConfig, MediaStore] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """What every stage of a run tells its worker's store.

    Attributes:
        max_bytes: of media held in memory, per worker process.
        run: distinguishes runs in one process, so that a test or notebook never sees another run's media.
        shards: how shards, and the media in them, are read.
    """

    max_bytes: int = 256 << 20
    run: str = ""
    shards: ShardOptions = DEFAULT_OPTIONS


def process_store(config: StoreConfig) -> MediaStore:
    """The store of this process, made at the first call."""
    with _lock:
        store = _stores.get(config)
        if store is None:
            _stores.clear()
            run_one_thread()
            configure(config.shards.storage)
            store = _stores[config] = MediaStore(
                max_bytes=config.max_bytes,
                read_clip=partial(read_clip, options=config.shards),
                limits=config.shards.media,
                decoder=process_decoder(config.shards.decoding),
            )
        return store
