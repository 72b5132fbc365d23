"""Which encoder the repaired sound gets, and the encoding itself.

Policy `source`: the codec that the clip had, where FFmpeg's encoder for it is good; else the best that the container
holds. A lossy encoder gets at least the bit rate of the source, and one at which a second generation costs little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soxr  # pyright: ignore[reportMissingTypeStubs]
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.error import FFmpegError

from avagent.core.errors import FailureReason, MediaError, ParameterError, Stage
from avagent.core.media import FloatArray, Waveform
from avagent.media.pyav import AnyPacket, encode_sound, frame_of, is_list, mark_padding

_BY_NAME: Mapping[str, str] = {
    "aac": "aac",
    "ac3": "ac3",
    "alac": "alac",
    "eac3": "eac3",
    "flac": "flac",
    "mp2": "mp2",
    "mp3": "libmp3lame",
    "opus": "libopus",
    "wavpack": "wavpack",
}
"""Source codec or codec asked for -> FFmpeg's encoder. Not here: vorbis, whose encoder in FFmpeg is experimental."""

AUDIO_CODECS = ("source", *_BY_NAME, "pcm_s16le", "pcm_s24le", "pcm_f32le")
"""What `audio_codec` may be."""

_LOSSY: Mapping[str, tuple[str, ...]] = {
    "mp4": ("aac",),
    "mov": ("aac",),
    "ipod": ("aac",),
    "3gp": ("aac",),
    "matroska": ("libopus", "aac"),
    "webm": ("libopus",),
    "ogg": ("libopus",),
    "mp3": ("libmp3lame",),
}
"""What each container gets where a lossy source's codec cannot be kept, best first.

Not here: WAV and AVI, which have no place for an encoder's delay."""

_LOSSLESS: Mapping[str, tuple[str, ...]] = {
    "mp4": ("flac", "alac", "pcm_s24le"),
    "mov": ("pcm_s24le", "alac"),
    "ipod": ("alac",),
    "matroska": ("flac", "pcm_s24le"),
    "ogg": ("flac",),
    "flac": ("flac",),
    "wav": ("pcm_s16le", "pcm_s24le", "pcm_f32le"),
    "avi": ("pcm_s16le", "pcm_s24le"),
}
"""The same for a lossless source, and where no lossy codec comes out in time."""

_LOSSY_FLOOR: Mapping[str, int] = {
    "aac": 128_000,
    "ac3": 96_000,
    "eac3": 96_000,
    "libmp3lame": 96_000,
    "libopus": 96_000,
    "mp2": 128_000,
}
"""Bits per second and channel at 48 kHz that a second generation gets at least: see `bench/container.py`."""

_DISCRETE_RATES: Mapping[str, tuple[int, ...]] = {
    "libmp3lame": (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    "mp2": (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    "ac3": (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
}
"""Bit rates in kbit/s that the format knows."""

_RESAMPLED_TO: Mapping[str, int] = {
    "libopus": 48_000,
    "libmp3lame": 48_000,
    "ac3": 48_000,
    "eac3": 48_000,
    "mp2": 48_000,
}
"""Rate in Hz for an encoder that does not take the sound's own."""


_LOSSLESS_CODECS = ("alac", "ape", "flac", "mlp", "tak", "truehd", "tta", "wavpack")

_HELD_BACK: Mapping[str, int] = {"ac3": 256, "eac3": 256, "mp2": 481}
"""Samples that these encoders keep at the end: they delay the sound, and have nothing that flushes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the sound was coded as: what the policy goes by.

    Attributes:
        codec: FFmpeg's short name; None: there was no sound.
        bit_rate: mean, in bit/s; None: unknown.
        bits: of an integer sample; None: floating point or lossy.
        layout: FFmpeg's name of the channel layout.
    """

    codec: str | None = None
    bit_rate: int | None = None
    bits: int | None = None
    layout: str | None = None

    @property
    def lossless(self) -> bool:
        """Whether no sample was changed for the sake of size; companded PCM was made smaller, but sample by sample."""
        return self.codec is not None and self.codec.startswith(("pcm_", *_LOSSLESS_CODECS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A chosen encoder and its settings.

    Attributes:
        encoder: FFmpeg's name.
        rate: in Hz.
        layout: FFmpeg's name of the channel layout.
        sample_format: what the encoder takes.
        bits: of an integer sample; None: the encoder takes floating point.
        bit_rate: in bit/s; None: lossless.
    """

    encoder: str
    rate: int
    layout: str
    sample_format: str
    bits: int | None
    bit_rate: int | None


def possible_encodings(muxer: str, audio_codec: str, waveform: Waveform, source: Source) -> Iterator[Encoding]:
    """The encoders that can be tried for a waveform in a container, best first.

    Whether a container tells of an encoder's delay shows when the result is read back: what does not come out in time
    is not taken, and the next one is tried.

    Args:
        muxer: FFmpeg's name of the container to write.
        audio_codec: one of :data:`AUDIO_CODECS`.
        waveform: what will be encoded.
        source: what the sound was coded as.

    Raises:
        ParameterError: an `audio_codec` that is not known.
        MediaError: no samples, samples that are not finite, or no encoder takes this rate and number of channels.
    """
    _check_encodable(waveform)
    if source.layout is not None and source.layout.startswith("ambisonic"):
        raise MediaError(
            f"the sound is {source.layout}: no encoder here would note that its channels are not those of speakers",
            reason=FailureReason.UNSUPPORTED_SOUND,
            stage=Stage.WRITE,
        )
    encoders = _candidates(muxer, audio_codec, source)
    # Another encoder of the container is better than another sampling rate.
    settings = [(encoder, waveform.rate) for encoder in encoders]
    settings += [(encoder, _RESAMPLED_TO[encoder]) for encoder in encoders if encoder in _RESAMPLED_TO]
    found = False
    for encoder, rate in settings:
        layouts = _layouts(waveform.channels, source.layout)
        choices = (_encoding(encoder, rate, layout, waveform.channels, source) for layout in layouts)
        encoding = next((choice for choice in choices if _opens(choice)), None)
        if encoding is not None:
            found = True
            yield encoding
    if not found:
        raise MediaError(
            f"no encoder for {waveform.channels} channels at {waveform.rate} Hz in a {muxer} container"
            f" (tried {', '.join(encoders) or 'none'}); choose another audio codec, for example flac",
            reason=FailureReason.UNSUPPORTED_MEDIA,
            stage=Stage.WRITE,
        )


def _check_encodable(waveform: Waveform) -> None:
    if waveform.samples.size == 0:
        raise MediaError(
            "the sound to write has no samples; an edit must leave at least one",
            reason=FailureReason.WRITE_FAILED,
            stage=Stage.WRITE,
        )
    if not np.isfinite(waveform.samples).all():
        raise MediaError(
            "the sound to write holds samples that are NaN or infinite; the edit before is at fault",
            reason=FailureReason.NON_FINITE_SAMPLES,
            stage=Stage.WRITE,
        )


def _candidates(muxer: str, audio_codec: str, source: Source) -> tuple[str, ...]:
    if audio_codec not in AUDIO_CODECS:
        raise ParameterError(f"unknown audio codec {audio_codec!r}; known: {', '.join(AUDIO_CODECS)}")
    if audio_codec != "source":
        return (_BY_NAME.get(audio_codec, audio_codec),)
    kept, lossless = _kept(source.codec), _lossless(muxer, source)
    others = (*lossless, *_LOSSY.get(muxer, ())) if source.lossless else (*_LOSSY.get(muxer, ()), *lossless)
    return tuple(dict.fromkeys((*([kept] if kept else []), *others)))


def _lossless(muxer: str, source: Source) -> tuple[str, ...]:
    """What a lossy decoder gives has no grid of 16 bits."""
    choices = _LOSSLESS.get(muxer, ())
    return choices if source.bits is not None or source.codec is None else tuple(c for c in choices if "s16" not in c)


def _kept(codec: str | None) -> str | None:
    if codec is None:
        return None
    if codec.startswith("pcm_") and codec in av.codecs_available:
        return codec
    return _BY_NAME.get(codec)


_HEXADECAGONAL = 16
"""The only layout of so many channels that FFmpeg's AAC encoder takes."""


def _layouts(channels: int, source: str | None) -> tuple[str, ...]:
    """Names to try: the source's own, FFmpeg's common ones for that number of channels, and none in particular.

    Not an own list of channels, such as `2 channels (FR+FL)`: see :func:`avagent.media.pyav.layout_of`.
    """
    common = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    names = [source] if source and not is_list(source) and _channels_of(source) == channels else []
    others = [common.get(channels, f"{channels}c"), *(["hexadecagonal"] if channels == _HEXADECAGONAL else [])]
    return tuple(dict.fromkeys([*names, *others, f"{channels} channels"]))


def _channels_of(layout: str) -> int:
    try:
        return AudioLayout(layout).nb_channels
    except (ValueError, FFmpegError):
        return 0


def _encoding(encoder: str, rate: int, layout: str, channels: int, source: Source) -> Encoding:
    formats = [f.name for f in av.Codec(encoder, "w").audio_formats or ()]
    integer = encoder in ("flac", "alac", "wavpack") or (encoder.startswith("pcm_") and not encoder.startswith("pcm_f"))
    bits = _integer_bits(encoder, source) if integer else None
    width = "s32" if bits is not None and bits > 16 else "s16"
    wanted = (width, width + "p") if integer else ("fltp", "flt", "dbl", "s16", "s16p")
    sample_format = next((f for f in wanted if f in formats), formats[0] if formats else "s16")
    return Encoding(
        encoder=encoder,
        rate=rate,
        layout=layout,
        sample_format=sample_format,
        bits=bits,
        bit_rate=_bit_rate(encoder, rate, channels, source.bit_rate),
    )


def _integer_bits(encoder: str, source: Source) -> int:
    if encoder.startswith(("pcm_s", "pcm_u")):
        digits = "".join(c for c in encoder[5:] if c.isdigit())
        return int(digits)
    if encoder.startswith("pcm_"):
        return 16
    # A lossy or floating-point source has no grid: 24 bits lose nothing that float32 edits keep.
    return 16 if source.bits is not None and source.bits <= 16 else 24


def _bit_rate(encoder: str, rate: int, channels: int, source: int | None) -> int | None:
    if encoder not in _LOSSY_FLOOR:
        return None
    wanted = max(source or 0, int(_LOSSY_FLOOR[encoder] * channels * min(rate / 48_000, 1.0)), 32_000)
    if encoder == "aac":
        # ISO/IEC 13818-7: at most 6144 bits per channel and block of 1024 samples.
        return min(wanted, int(6144 * rate / 1024 * channels * 0.95))
    if encoder == "libopus":
        return min(wanted, 256_000 * channels)
    choices = [kbit * 1000 for kbit in _DISCRETE_RATES.get(encoder, ())]
    if encoder == "libmp3lame" and rate < 32_000:
        choices = [8_000, 16_000, 24_000, *(c for c in choices if c <= (160_000 if rate >= 16_000 else 64_000))]
    return next((c for c in choices if c >= wanted), choices[-1]) if choices else wanted


def _opens(encoding: Encoding) -> bool:
    context = av.CodecContext.create(encoding.encoder, "w")
    if not isinstance(context, AudioCodecContext):
        return False
    try:
        configure(context, encoding)
        context.open()
    except (ValueError, FFmpegError):
        return False
    return True


def configure(context: AudioCodecContext, encoding: Encoding) -> None:
    """Set an encoder up, reproducible to the byte."""
    context.sample_rate = encoding.rate
    context.layout = encoding.layout
    context.format = encoding.sample_format
    context.time_base = Fraction(1, encoding.rate)
    context.options = {"flags": "+bitexact"}
    if encoding.encoder == "aac":
        # Real recordings, 96-128 kbit/s a channel: 2 to 4 times as fast as `twoloop`, SNR 2 to 6 dB higher.
        context.options["aac_coder"] = "fast"
    if encoding.bit_rate is not None:
        context.bit_rate = encoding.bit_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSound:
    """Encoded packets, and where the sound lies in them.

    Attributes:
        packets: in order, timestamps in samples.
        priming: samples that the encoder put before the sound.
        length: of the sound in samples at the encoder's rate.
    """

    packets: list[AnyPacket]
    priming: int
    length: int


def encode(stream: AudioStream, waveform: Waveform, encoding: Encoding, start: int) -> EncodedSound:
    """Encode a waveform.

    Args:
        stream: of the container that is written, configured.
        waveform: resampled here if the encoder needs another rate; integers are rounded and limited to full scale.
        encoding: what :func:`choose_encoding` gave.
        start: presentation time of sample 0, in samples at the encoder's rate.
    """
    context = stream.codec_context
    context.open(strict=False)
    samples = resampled(waveform, encoding.rate)
    length, step = samples.shape[1], context.frame_size or 4096
    if held := _HELD_BACK.get(encoding.encoder, 0):
        samples = np.pad(samples, ((0, 0), (0, held + -(length + held) % step)))
    packets: list[AnyPacket] = []
    for first in range(0, samples.shape[1], step):
        packets += encode_sound(stream, _frame(samples[:, first : first + step], encoding, start + first))
    packets += encode_sound(stream, None)
    if packets and encoding.bit_rate is not None:
        padding = (packets[-1].pts or 0) + step - (start + length)
        if 0 < padding < step and not packets[-1].has_sidedata("skip_samples"):
            mark_padding(packets[-1], padding)
    priming = max(start - (packets[0].pts or 0), 0) if packets else 0
    return EncodedSound(packets=packets, priming=priming, length=length)


def _frame(block: FloatArray, encoding: Encoding, position: int) -> AudioFrame:
    frame = frame_of(_quantized(block, encoding), encoding.sample_format, encoding.layout)
    frame.sample_rate, frame.time_base, frame.pts = encoding.rate, Fraction(1, encoding.rate), position
    return frame


def resampled(waveform: Waveform, rate: int) -> FloatArray:
    """The samples at another rate in Hz, float32 [channels, samples]."""
    if waveform.rate == rate:
        return waveform.samples
    return np.ascontiguousarray(soxr.resample(waveform.samples.T, waveform.rate, rate, quality="VHQ").T, np.float32)


def _quantized(samples: FloatArray, encoding: Encoding) -> npt.NDArray[Any]:
    if encoding.bits is None:
        kinds = {"flt": np.float32, "dbl": np.float64}
        kind = kinds.get(encoding.sample_format.removesuffix("p"))
        if kind is not None:
            return samples.astype(kind)
    bits = encoding.bits or 16
    full = 2.0 ** (bits - 1)
    values = np.clip(np.round(samples.astype(np.float64) * full), -full, full - 1)
    if encoding.sample_format.startswith("u8"):
        return (values + 128).astype(np.uint8)
    width = 32 if encoding.sample_format.startswith("s32") else 16
    return (values * 2.0 ** (width - bits)).astype(np.int32 if width == 32 else np.int16)
