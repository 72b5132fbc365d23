"""Shards as a run leaves them, with sound of several sorts."""

from __future__ import annotations

from pathlib import Path

import pytest
from bursts import burst
from shard_tools import tar_bytes
from tfrecord_tools import example, records

from avagent.media.container import encode_audio

RECORD = b'{"outcome": "%s"}'


@pytest.fixture(scope="session")
def video(media_dir: Path) -> bytes:
    """A real film with AAC sound of six channels."""
    return (media_dir / "video" / "bigbuckbunny.mp4").read_bytes()


@pytest.fixture(scope="session")
def refined(tmp_path_factory: pytest.TempPathFactory, video: bytes) -> Path:
    """Two WebDataset shards, and one with the first clips as TFRecord."""
    folder = tmp_path_factory.mktemp("refined")
    sounds = {suffix: encode_audio(burst(2), suffix, like=None) for suffix in ("wav", "flac", "mp3")}
    first = [
        (f"{suffix}.{name}", data)
        for suffix, sound in sounds.items()
        for name, data in ((suffix, sound), ("avagent.json", RECORD % b"improved"))
    ]
    (folder / "a-000000.tar").write_bytes(tar_bytes(first))
    second = [("film.mp4", video), ("film.avagent.json", RECORD % b"unchanged"), ("bare.mp4", video), ("bad.mp4", b"?")]
    (folder / "a-000001.tar").write_bytes(tar_bytes(second))
    (folder / "tfrecord").mkdir()
    whole = [
        example({"example/id": key.encode(), "audio/encoded": sound, "avagent/record": RECORD % b"improved"})
        for key, sound in sounds.items()
    ]
    whole.append(example({"example/id": b"film", "clip/encoded_media_bytes": video, "label": 3}))
    (folder / "tfrecord" / "a.tfrecord").write_bytes(records(whole))
    return folder
