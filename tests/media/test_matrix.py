"""Every container with every codec that it can hold, at every rate and layout: a repaired clip is what it should be.

Read back by PyAV's FFmpeg, and by FFmpeg's own command where it is installed (another build, and another version).
"""

from __future__ import annotations

import io
import shutil
import subprocess
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from media_samples import VP8, Recipe, build, lag_in_samples, tone_bursts

from avagent.core.media import Waveform
from avagent.media.audio_codec import resampled
from avagent.media.container import decode_audio, remux
from avagent.media.sound import decode_timed

RATES = (8_000, 44_100, 48_000, 96_000)
CHANNELS = (1, 2, 6, 8)
HOLDS = {
    "mp4": ("aac", "ac3", "eac3", "alac", "flac", "libmp3lame", "libopus", "pcm_s16le"),
    "mov": ("aac", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"),
    "matroska": ("aac", "ac3", "eac3", "mp2", "alac", "flac", "libmp3lame", "libopus", "pcm_s16le", "tta", "wavpack"),
    "webm": ("libopus", "vorbis"),
    "ipod": ("aac", "alac"),
    "wav": ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8", "pcm_mulaw", "adpcm_ms", "libmp3lame"),
    "flac": ("flac",),
    "ogg": ("libopus", "flac", "vorbis"),
    "mp3": ("libmp3lame",),
    "avi": ("pcm_s16le", "pcm_mulaw", "libmp3lame", "mp2", "aac", "ac3"),
}
SOUND_ONLY = ("ipod", "wav", "flac", "ogg", "mp3")
LOSSLESS = ("alac", "flac", "tta", "wavpack", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le")
DELAYS = {"aac": 1024, "ac3": 256, "eac3": 256, "mp2": 481, "mp3": 1105}
"""Samples that come before the sound: ISO/IEC 14496-3 (a block), ETSI TS 102 366 (half a block), ISO/IEC 11172-3, LAME.

Matroska notes them (CodecDelay), but FFmpeg's command skips those of Opus only, before its version 7."""
BLOCKS = {"aac": 1024, "ac3": 1536, "eac3": 1536, "mp2": 1152, "mp3": 1152, "opus": 960}
FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(
    FFMPEG is None, reason="FFmpeg's command reads no repaired clip here: it is not installed (apt-get install ffmpeg)"
)


@pytest.mark.parametrize(("muxer", "codec"), [(muxer, codec) for muxer, codecs in HOLDS.items() for codec in codecs])
def test_repaired_clips_of_every_kind(muxer: str, codec: str, tmp_path: Path, pytestconfig: pytest.Config):
    """All rates and numbers of channels; all pairs of them with `--examples 2`."""
    done = 0
    whole = pytestconfig.getoption("--examples") > 1
    for number, (rate, channels) in enumerate(product(RATES, CHANNELS)):
        if not whole and (number + number // len(CHANNELS)) % 2 and codec != "vorbis":
            continue
        data = clip(muxer, codec, tone_bursts(0.5, rate=rate, channels=channels))
        if data is None:
            continue  # The codec knows no such rate or layout.
        done += 1
        sound = decode_audio(data)
        assert sound is not None
        edited = Waveform((np.round(sound.samples * -16384) / 32768).astype(np.float32), sound.rate)
        result = remux(data, edited)
        case = f"{muxer} {codec} {rate} Hz {channels} channels"
        if (muxer, codec) == ("webm", "vorbis"):  # WebM has Opus besides, which is always decoded at 48 kHz.
            edited = Waveform(resampled(edited, 48_000), 48_000)
        edited = check(result, shown(data, edited), codec, case)
        assert pictures(result) == pictures(data), case
        if FFMPEG is not None:
            check_command(data, result, edited, tmp_path, case)
    assert done >= 2


def clip(muxer: str, codec: str, sound: Waveform) -> bytes | None:
    video = None if muxer in SOUND_ONLY else "libvpx" if muxer == "webm" else "mpeg4"
    options = VP8 if video == "libvpx" else {"g": "6"} if muxer == "avi" else {"bf": "2", "g": "6"}
    recipe = Recipe(
        muxer=muxer,
        video_codec=video,
        video_options=options,
        frames=12,
        size=(32, 32),
        audio_codec=codec,
        audio_options={"strict": "experimental"} if codec == "vorbis" else {},
        sound=sound,
    )
    try:
        return build(recipe)
    except (FFmpegError, ValueError):
        return None


def shown(data: bytes, edited: Waveform) -> Waveform:
    """Less what begins before the clock of an mp4 does: Opus at 8 kHz, as FFmpeg's muxer notes its delay there."""
    found = decode_timed(data)
    assert found is not None
    early = round(-found[1] * edited.rate)
    return Waveform(edited.samples[:, early:], edited.rate) if early > 0 and has_clock(data) else edited


def has_clock(data: bytes) -> bool:
    with av.open(io.BytesIO(data)) as container:
        return container.format.name.startswith(("mov", "matroska"))


def check(result: bytes, edited: Waveform, codec: str, case: str) -> Waveform:
    again = decode_audio(result)
    assert again is not None, case
    assert (again.rate, again.samples.shape) == (edited.rate, edited.samples.shape), case
    assert lag_in_samples(edited.samples, again.samples) == 0, case
    if codec in LOSSLESS:
        assert np.array_equal(edited.samples, again.samples), case
    return edited


def pictures(data: bytes) -> list[tuple[float, int]]:
    with av.open(io.BytesIO(data)) as container:
        if not container.streams.video:
            return []
        return [(float(f.pts * f.time_base), hash(f.to_ndarray().tobytes())) for f in container.decode(video=0)]


def check_command(data: bytes, result: bytes, edited: Waveform, folder: Path, case: str) -> None:
    """What FFmpeg's command plays starts when it should, and lasts as long as what it played before the repair."""
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        old, codec = (c.streams.audio[0].codec_context.codec.canonical_name for c in (before, after))
        skips = after.format.name.startswith("matroska") and "webm" not in case.split(maxsplit=1)[0]
    heard = played(result, folder, edited.channels, case)
    lag = lag_in_samples(edited.samples, heard)
    if codec not in BLOCKS:
        assert (lag, heard.shape) == (0, edited.samples.shape), case
        return
    assert lag in ({0, DELAYS.get(codec, 0)} if skips else {0}), case
    # Blocks are played to their end.
    assert 0 <= heard.shape[1] - edited.length - lag < BLOCKS[codec], case
    if codec == old and edited.length == decoded_length(data):
        assert abs(heard.shape[1] - played(data, folder, edited.channels, case).shape[1]) <= 1, case


def decoded_length(data: bytes) -> int:
    sound = decode_audio(data)
    assert sound is not None
    return sound.length


def played(data: bytes, folder: Path, channels: int, case: str) -> np.ndarray:
    path = folder / "clip"
    path.write_bytes(data)
    command = [str(FFMPEG), "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), case
    return np.frombuffer(done.stdout, np.float32).reshape(-1, channels).T


@needs_ffmpeg
def test_the_command_took_part_above():
    assert subprocess.run([str(FFMPEG), "-version"], capture_output=True, check=False).returncode == 0


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_pictures_that_refer_far_back_and_ahead(suffix: str, tmp_path: Path):
    """H.264 as cameras and the web have it: FFmpeg does not know the first decoding times of such a Matroska file."""
    path = tmp_path / f"a.{suffix}"
    source = ["-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "sine=r=48000:d=1"]
    coded = ["-c:v", "libx264", "-bf", "3", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run([str(FFMPEG), "-nostdin", "-v", "error", *source, *coded, str(path)], check=True)
    data = path.read_bytes()
    sound = decode_audio(data)
    assert sound is not None
    assert pictures(remux(data, sound)) == pictures(data)
