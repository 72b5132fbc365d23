"""Pictures and sound -> mp4, by PyAV with encoders whose licence is permissive (never x264)."""

from __future__ import annotations

import io
from typing import Literal

import av
import av.container
import numpy as np
from scenes import Clean

from avagent.core.media import Waveform

AudioCodec = Literal["aac", "flac"]
VIDEO_BIT_RATE = 900_000
AUDIO_BIT_RATE_PER_CHANNEL = 128_000
BLOCK = 1024


def encode_mp4(clean: Clean, sound: Waveform | None, audio_codec: AudioCodec = "aac") -> bytes:
    """An mp4 of the pictures (MPEG-4 part 2) with this sound in their place, encoded once.

    Args:
        clean: the pictures.
        sound: float32 [1 or 2 channels, samples]; None: no audio track.
        audio_codec: `aac` (lossy, as found in the wild) or `flac`.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("mpeg4", rate=clean.fps)
        video.height, video.width = clean.pictures[0].shape[:2]
        video.pix_fmt, video.bit_rate, video.gop_size = "yuv420p", VIDEO_BIT_RATE, round(clean.fps)
        video.thread_count = 1
        video.options = {"flags": "+bitexact"}
        audio = None if sound is None else _add_audio(container, sound, audio_codec)
        for pixels in clean.pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            _mux_audio(container, audio, sound, audio_codec)
    return buffer.getvalue()


def _add_audio(container: av.container.OutputContainer, sound: Waveform, codec: AudioCodec) -> av.AudioStream:
    layout = "mono" if sound.channels == 1 else "stereo"
    stream = container.add_stream(codec, rate=sound.rate, layout=layout)
    stream.options = {"flags": "+bitexact", "strict": "experimental"}
    if codec == "aac":
        stream.bit_rate = AUDIO_BIT_RATE_PER_CHANNEL * sound.channels
    else:
        stream.format = "s16"
    return stream


def _mux_audio(
    container: av.container.OutputContainer, stream: av.AudioStream, sound: Waveform, codec: AudioCodec
) -> None:
    layout = "mono" if sound.channels == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp" if codec == "aac" else "s16", layout=layout, rate=sound.rate)
    samples = np.ascontiguousarray(np.clip(sound.samples, -1.0, 1.0))
    for at in range(0, sound.length, BLOCK):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + BLOCK]), "fltp", layout)
        frame.rate, frame.pts = sound.rate, at
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
    for converted in resampler.resample(None):
        container.mux(stream.encode(converted))
    container.mux(stream.encode(None))
