"""Fuzz targets: what opens and decodes media, in the decoder process, so that crashes and hangs are findings."""

from __future__ import annotations

import atexit
import io
import itertools
from functools import cache
from pathlib import Path

import av
import numpy as np
from fuzz_shards import check
from media_samples import VP8, Recipe, build, image, picture, song_with_cover, tone_bursts

from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Waveform
from avagent.media import container
from avagent.media.decoder_process import DecoderPool
from avagent.media.limits import DecodeLimits, MediaLimits
from avagent.media.trim import trim

MEDIA = Path(__file__).resolve().parents[2] / ".cache" / "media"
REAL = MEDIA / "video" / "bigbuckbunny.mp4"
LIMITS = MediaLimits(media_seconds=60, picture_pixels=1 << 20, sound_bytes=64 << 20, pictures=2000)
PICTURES = container.PictureChoice(count=3, max_side=360, least_keyframes=4)
DECODING = DecodeLimits(decode_seconds=20, decode_memory_mib=1024)
UNACCEPTABLE = (FailureReason.DECODER_CRASHED, FailureReason.DECODER_TIMED_OUT)


@cache
def decoder() -> DecoderPool:
    pool = DecoderPool(DECODING, size=1)
    atexit.register(pool.close)
    return pool


def run(function, *args, **kwargs):
    """What the function gives; None where it refuses properly."""
    try:
        return decoder().run(function, *args, limits=LIMITS, **kwargs)
    except MediaError as error:
        check(error.reason not in UNACCEPTABLE, str(error))
        return None


def fuzz_video(data: bytes) -> None:
    """Containers: what they declare, all that is decoded from them, cutting and writing them again."""
    info = run(container.probe, data)
    sound = run(container.decode_audio, data)
    run(container.decode_member, data, pictures=PICTURES)
    frames = run(container.sample_frames, data, 3)
    motion = run(container.decode_motion, data)
    run(container.decode_picture, data, 3)
    if frames is not None:
        check(frames.pixels.nbytes <= LIMITS.picture_pixels * 3 * 3, "pictures are within the limits")
    if motion is not None:
        check(np.isfinite(motion.energy).all() and np.isfinite(motion.times).all(), "motion is finite")
    if info is not None:
        check((info.audio_duration or 0) <= LIMITS.media_seconds, "a duration within the limits")
    cut = run(trim, data, 0.05, 0.25)
    if cut is not None:
        check(run(container.probe, cut.data) is not None, "what is cut can be read")
    if sound is not None:
        _check_sound(sound)
        written = run(container.remux, data, Waveform(sound.samples[:, :4000], sound.rate))
        if written is not None and info is not None:
            again = run(container.probe, written)
            check(again is not None and again.has_audio, "what is written can be read, and has sound")


def fuzz_sound(data: bytes) -> None:
    """Sound by itself, and writing it again."""
    run(container.probe, data)
    sound = run(container.decode_audio, data)
    if sound is not None:
        _check_sound(sound)
        suffix = {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg"}.get(data[:4], "mp3")
        run(container.encode_audio, Waveform(sound.samples[:, :4000], sound.rate), suffix, data)


def fuzz_picture(data: bytes) -> None:
    """Pictures by themselves."""
    frames = run(container.decode_images, (data,))
    check(frames is None or max(frames.pixels.shape[1:3]) <= 360, "pictures are shrunk")


def _check_sound(sound: Waveform) -> None:
    check(np.isfinite(sound.samples).all(), "sound is finite")
    check(sound.samples.nbytes <= LIMITS.sound_bytes, "sound is within the limits")


def video_seeds() -> list[bytes]:
    small = {"size": (32, 32), "frames": 8, "sound": tone_bursts(0.3, 16_000, 1)}
    return [
        build(Recipe(**small)),
        build(Recipe(muxer="matroska", audio_codec="flac", subtitles=True, **small)),
        build(Recipe(muxer="webm", video_codec="libvpx", video_options=VP8, audio_codec="libopus", **small)),
        build(Recipe(muxer="mov", audio_codec="pcm_s16le", audio_start=0.1, **small)),
        build(Recipe(muxer="mp4", options={"movflags": "frag_keyframe+empty_moov"}, **small)),
        build(Recipe(muxer="matroska", video_codec="ffv1", video_options={}, audio_codec="aac", **small)),
        build(Recipe(muxer="matroska", audio_codec="tta", **small)),
        build(Recipe(muxer="avi", audio_codec="adpcm_ms", video_options={"g": "4"}, **small)),
        build(Recipe(muxer="mpegts", **small)),
        build(Recipe(muxer="flv", video_codec="flv1", video_options={"g": "4"}, **small)),
        build(Recipe(muxer="asf", audio_codec="libmp3lame", video_options={"g": "4"}, **small)),
        *([_start_of(REAL)] if REAL.is_file() else []),
    ]


def _start_of(path: Path, packets: int = 40) -> bytes:
    """The first packets of a real clip (H.264, AAC 5.1), copied."""
    buffer = io.BytesIO()
    with av.open(str(path)) as source, av.open(buffer, "w", format="mp4") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams if s.type in ("audio", "video")}
        for packet in itertools.islice((p for p in source.demux() if p.size and p.stream_index in copies), packets):
            packet.stream = copies[packet.stream_index]
            out.mux(packet)
    return buffer.getvalue()


def sound_seeds() -> list[bytes]:
    kinds = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "ogg": "libopus"}
    read = {"adts": "aac", "aiff": "pcm_s16be", "caf": "pcm_s24be", "w64": "pcm_s16le", "tta": "tta", "eac3": "eac3"}
    made = [
        build(Recipe(muxer=muxer, video_codec=None, audio_codec=codec, sound=tone_bursts(0.2, 48_000, 1)))
        for muxer, codec in (kinds | read).items()
    ]
    made.append(made[3] * 2)
    real = [path.read_bytes()[:30_000] for path in sorted(MEDIA.glob("stamps/**/*.ogg"))[:3]]
    return [*made, song_with_cover(), *real]


def picture_seeds() -> list[bytes]:
    plain = picture(3, (40, 30))
    clear = np.dstack([plain, np.full(plain.shape[:2], 128, np.uint8)])
    real = sorted(MEDIA.glob("stamps/**/*.png"), key=lambda path: path.stat().st_size)[:3]
    return [image(plain), image(clear), image(plain, "mjpeg"), *(path.read_bytes() for path in real)]
