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
from avagent.media.container import decode_audio, remux

RATES = (8_000, 44_100, 48_000, 96_000)
CHANNELS = (1, 2, 6, 8)
HOLDS = {
    "mp4": ("aac", "ac3", "alac", "flac", "libmp3lame", "libopus", "pcm_s16le"),
    "mov": ("aac", "alac", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_mulaw"),
    "matroska": ("aac", "ac3", "flac", "libmp3lame", "libopus", "pcm_s16le", "wavpack"),
    "webm": ("libopus",),
    "ipod": ("aac", "alac"),
    "wav": ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "libmp3lame"),
    "flac": ("flac",),
    "ogg": ("libopus", "flac"),
    "mp3": ("libmp3lame",),
    "avi": ("pcm_s16le", "libmp3lame", "ac3"),
}
SOUND_ONLY = ("ipod", "wav", "flac", "ogg", "mp3")
LOSSLESS = ("alac", "flac", "wavpack", "pcm_s16le", "pcm_s24le", "pcm_f32le")
DELAYS = {"aac": 1024, "ac3": 256, "mp3": 1105, "opus": 312}
"""Samples at the encoder's rate: ISO/IEC 14496-3 (a block), ETSI TS 102 366 (half a block), LAME, RFC 6716 (6.5 ms)."""
BLOCKS = {"aac": 1024, "ac3": 1536, "mp3": 1152, "opus": 960}
FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(
    FFMPEG is None, reason="FFmpeg's command reads no repaired clip here: it is not installed (apt-get install ffmpeg)"
)


@pytest.mark.parametrize(("muxer", "codec"), [(muxer, codec) for muxer, codecs in HOLDS.items() for codec in codecs])
def test_repaired_clips_of_every_kind(muxer: str, codec: str, tmp_path: Path):
    done = 0
    for rate, channels in product(RATES, CHANNELS):
        data = clip(muxer, codec, tone_bursts(0.5, rate=rate, channels=channels))
        if data is None:
            continue  # The codec knows no such rate or layout.
        done += 1
        sound = decode_audio(data)
        assert sound is not None
        edited = Waveform((np.round(sound.samples * -16384) / 32768).astype(np.float32), sound.rate)
        result = remux(data, edited)
        case = f"{muxer} {codec} {rate} Hz {channels} channels"
        check(result, edited, codec, case)
        assert pictures(result) == pictures(data), case
        if FFMPEG is not None:
            check_command(result, edited, tmp_path, case)
    assert done >= 2


def clip(muxer: str, codec: str, sound: Waveform) -> bytes | None:
    video = None if muxer in SOUND_ONLY else "libvpx" if muxer == "webm" else "mpeg4"
    options = VP8 if video == "libvpx" else {"g": "6"} if muxer == "avi" else {"bf": "2", "g": "6"}
    recipe = Recipe(
        muxer=muxer, video_codec=video, audio_codec=codec, sound=sound, video_options=options, frames=12, size=(32, 32)
    )
    try:
        return build(recipe)
    except (FFmpegError, ValueError):
        return None


def check(result: bytes, edited: Waveform, codec: str, case: str) -> None:
    again = decode_audio(result)
    assert again is not None, case
    if early := edited.length - again.length:  # Opus at 8 kHz in mp4 begins some samples before the clip does.
        assert codec == "libopus", case
        assert 0 < early <= DELAYS["opus"], case
        edited = Waveform(edited.samples[:, early:], edited.rate)
    assert (again.rate, again.samples.shape) == (edited.rate, edited.samples.shape), case
    assert lag_in_samples(edited.samples, again.samples) == 0, case
    if codec in LOSSLESS:
        assert np.array_equal(edited.samples, again.samples), case


def pictures(data: bytes) -> list[tuple[float, int]]:
    with av.open(io.BytesIO(data)) as container:
        if not container.streams.video:
            return []
        return [(float(f.pts * f.time_base), hash(f.to_ndarray().tobytes())) for f in container.decode(video=0)]


def check_command(result: bytes, edited: Waveform, folder: Path, case: str) -> None:
    """FFmpeg's command plays blocks to their end, and starts with what its version knows of the encoder's delay."""
    path = folder / "clip"
    path.write_bytes(result)
    with av.open(io.BytesIO(result)) as container:
        codec = container.streams.audio[0].codec_context.codec.canonical_name
    command = [str(FFMPEG), "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), case
    heard = np.frombuffer(done.stdout, np.float32).reshape(-1, edited.channels).T
    block, delay = BLOCKS.get(codec, 0), DELAYS.get(codec, 0)
    assert -1 <= heard.shape[1] - edited.length <= 2 * block + 1, case
    assert 0 <= abs(lag_in_samples(edited.samples, heard)) <= delay, case


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
