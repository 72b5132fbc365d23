"""Real film coded anew: what a codec does to the pictures is not taken for motion."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from avagent.dsp.measures.lag import LagProfile, lag_profile
from avagent.dsp.measures.onset import onset_strength
from avagent.media.container import decode_audio, decode_motion

FFMPEG = shutil.which("ffmpeg")
CODECS = {
    "h264": ("libx264", "-preset", "veryfast", "-crf", "32", "-g", "24"),
    "mpeg4": ("mpeg4", "-q:v", "8", "-g", "12"),
    "vp9": ("libvpx-vp9", "-b:v", "250k", "-deadline", "realtime", "-cpu-used", "8"),
    "av1": ("libsvtav1", "-preset", "12", "-crf", "45"),
}
FILMS = (
    "video/bigbuckbunny.mp4",
    "psychopy/demos/coder/stimuli/jwpIntro.mp4",
    "torchvision/R6llTwEh07w.mp4",
    "torchvision/SOX5yA1l24A.mp4",
)
"""The first is there in CI; the others where `tools/fetch_media.py --film` was run."""


@pytest.mark.skipif(FFMPEG is None, reason="film is coded anew by FFmpeg's command: apt-get install ffmpeg")
@pytest.mark.parametrize("film", FILMS)
def test_no_codec_makes_film_move_to_its_sound(media_dir: Path, film: str, tmp_path: Path):
    """None of these has a lag to be sure of: none may come from keyframes, nor from what is left of the pictures."""
    source = media_dir / film
    if not source.is_file():
        pytest.skip(f"{film} is absent: run python tools/fetch_media.py --film")
    lossless = lag_of(source, ("ffv1",), tmp_path)
    for name, codec in CODECS.items():
        found = lag_of(source, codec, tmp_path)
        assert found.confidence == pytest.approx(lossless.confidence, abs=0.1), name
        if lossless.confidence > 0.1:
            assert found.best_lag_ms == pytest.approx(lossless.best_lag_ms, abs=40), name


def lag_of(source: Path, codec: tuple[str, ...], folder: Path) -> LagProfile:
    path = folder / "film.mkv"
    scaled = ("-t", "8", "-vf", "scale='min(320,iw)':-2", "-pix_fmt", "yuv420p")
    command = (str(FFMPEG), "-nostdin", "-v", "error", "-y", "-i", str(source), *scaled, "-c:v", *codec)
    subprocess.run((*command, "-c:a", "flac", "-ac", "1", str(path)), check=True, capture_output=True)
    data = path.read_bytes()
    sound, motion = decode_audio(data), decode_motion(data)
    assert sound is not None
    assert motion is not None
    profile = lag_profile(*onset_strength(sound), motion)
    assert profile is not None
    return profile
