"""Sound and pictures as the chat completions protocol takes them: WAV and JPEG in base64."""

from __future__ import annotations

import base64
import io
import wave
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from avagent.core.media import ByteArray, FloatArray


def audio_part(samples: FloatArray, rate: int) -> dict[str, Any]:
    """An `input_audio` part: 16-bit PCM.

    Args:
        samples: float32 [samples], full scale ±1; what lies beyond is limited.
        rate: in Hz.
    """
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32_767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return {"type": "input_audio", "input_audio": {"data": _base64(buffer.getvalue()), "format": "wav"}}


def image_part(pixels: ByteArray) -> dict[str, Any]:
    """An `image_url` part: JPEG by FFmpeg's own encoder as a data URL.

    Args:
        pixels: uint8 [height, width, 3], RGB.
    """
    data = _base64(jpeg(pixels))
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def jpeg(pixels: ByteArray) -> bytes:
    """The picture as JPEG, with even sides, deterministic."""
    height, width = (side - side % 2 for side in pixels.shape[:2])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
    codec = cast("av.VideoCodecContext", av.CodecContext.create("mjpeg", "w"))
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    codec.options = {"flags": "+bitexact", "qscale": "4"}
    frame.pts = 0
    packets = [*codec.encode(frame.reformat(format="yuvj420p")), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
