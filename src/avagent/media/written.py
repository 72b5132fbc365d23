"""What was written, read back and compared with what it should be, before it replaces anything."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from av.stream import Stream
from av.video.stream import VideoStream

from avagent.core.errors import FailureReason, MediaError, Stage
from avagent.core.media import Waveform
from avagent.media.audio_codec import resampled
from avagent.media.demux import is_cover, open_media
from avagent.media.limits import MediaLimits
from avagent.media.pyav import context_of
from avagent.media.sound import decode_timed

_CLOCK_S = {"matroska": 0.0011, "webm": 0.0011}
"""How exactly a container says when its sound begins, in s: Matroska in milliseconds, others in samples."""
_COMPARED_S = 1.0
_SEARCHED = 4096
"""In samples either way: more than any encoder delays."""
_SURE = 0.5
"""Correlation from which on a delay is believed: noise that a codec puts in for noise has none."""
_TINY, _SILENCE = 1e-4, 1e-9
"""Channels with less than this share of the energy, or with so little in all, say nothing."""


def sound_fault(
    result: bytes, sound: Waveform, start: float | None, rate: int, muxer: str, limits: MediaLimits
) -> str | None:
    """What is wrong with the sound of a file that was written; None: nothing.

    Args:
        result: the file.
        sound: what should be heard.
        start: when it should begin, in s on the container's clock; None: there is no picture, and no such clock.
        rate: at which it was encoded, in Hz.
        muxer: FFmpeg's name of the container.
        limits: for reading.
    """
    try:
        found = decode_timed(result, limits=limits)
    except MediaError as error:
        return f"it cannot be decoded: {error}"
    if found is None:
        return "its sound is not found"
    heard, begins = found
    wanted = Waveform(resampled(sound, rate), rate)
    if (heard.rate, heard.channels) != (wanted.rate, wanted.channels):
        return f"{heard.channels} channels at {heard.rate} Hz come out"
    if abs(heard.length - wanted.length) > 1:
        return f"{heard.length} samples come out, not {wanted.length}"
    if start is not None and abs(float(begins) - start) > _CLOCK_S.get(muxer, 1.0 / rate):
        return f"the sound begins at {float(begins):.4f} s, not at {start:.4f} s"
    return _delay_fault(wanted, heard)


def _delay_fault(wanted: Waveform, heard: Waveform) -> str | None:
    """Compare the loudest second, channel by channel: a codec adds noise and filters, but neither delays nor swaps."""
    before, after = _loudest(wanted, heard)
    size = 1 << (before.shape[1] + 2 * _SEARCHED).bit_length()
    spectra = np.fft.rfft(before, size), np.fft.rfft(after, size)
    for channel, energy in enumerate((before**2).sum(axis=1)):
        if energy <= _TINY * (before**2).sum() or energy < _SILENCE:
            continue
        cross = np.fft.irfft(spectra[1] * np.conj(spectra[0][channel]), size)
        lags = np.concatenate([cross[:, -_SEARCHED:], cross[:, : _SEARCHED + 1]], axis=1)
        scale = np.sqrt(energy * np.maximum((after**2).sum(axis=1), np.finfo(np.float64).tiny))
        own = lags[channel] / scale[channel]
        lag = int(own.argmax()) - _SEARCHED
        if own.max() > _SURE and abs(lag) > 1 and own[_SEARCHED] < 0.99 * own.max():
            return f"the sound comes out {lag} samples late"
        still = lags[:, _SEARCHED] / scale
        if still.max() > _SURE and still[channel] < 0.9 * still.max():
            return f"channel {channel} comes out as channel {int(still.argmax())}"
    return None


def _loudest(wanted: Waveform, heard: Waveform) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    count = min(wanted.length, heard.length)
    step = min(round(_COMPARED_S * wanted.rate), count)
    energy = np.concatenate([[0.0], np.cumsum((wanted.samples[:, :count].astype(np.float64) ** 2).sum(axis=0))])
    firsts = np.arange(0, count - step + 1, max(step // 2, 1))
    first = int(firsts[(energy[firsts + step] - energy[firsts]).argmax()])
    part = np.s_[:, first : first + step]
    return wanted.samples[part].astype(np.float64), heard.samples[part].astype(np.float64)


Packed = tuple[int, Fraction | None, Fraction | None, bool, bool]
"""Of a packet: digest of its bytes, when it is shown and decoded, whether it is a keyframe, whether it is hidden."""


def check_pictures(data: bytes, result: bytes, limits: MediaLimits) -> None:
    """Raise unless every picture is there, and shown when it was shown.

    Packets, their times, what an edit list hides, and what the decoder is set up with: with these alike, the pictures
    are, for decoders are deterministic; decoding all of them would cost ten times as much as writing the clip.

    Raises:
        MediaError: a difference; what was written cannot be read.
    """
    before, after = _video(data, limits), _video(result, limits)
    if [stream[1:] for stream in before] == [stream[1:] for stream in after]:
        for old, new in zip(before, after, strict=True):
            _check_width(old[0], new[0])
        return
    pairs = [(a, b) for old, new in zip(before, after, strict=False) for a, b in zip(old[2], new[2], strict=False)]
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
    raise MediaError(
        "the container cannot be written without changing its video stream"
        f" (packet {first} of {sum(len(stream) for _, _, stream in before)} differs); convert the clip to a plain mp4"
        " or mkv first",
        reason=FailureReason.UNSUPPORTED_STREAM,
        stage=Stage.WRITE,
    )


_WHOLE_PIXELS = 0.01
"""Matroska tells the width that is shown in whole pixels: of narrow pictures the ratio is not exact."""


def same_width(before: Fraction, after: Fraction) -> bool:
    """Whether pixels are as wide as before, as far as containers tell."""
    return abs(before / after - 1) <= _WHOLE_PIXELS


def _check_width(before: Fraction, after: Fraction) -> None:
    if not same_width(before, after):
        raise MediaError(
            "the container cannot be written so that its pictures are as wide as before: pixels that are"
            f" {float(before):.3f} times as wide as high would become {float(after):.3f}; convert the clip to mp4",
            reason=FailureReason.UNSUPPORTED_STREAM,
            stage=Stage.WRITE,
        )


_Film = tuple[Fraction, bytes, list[Packed]]
"""How wide a pixel is to its height, what the decoder is set up with, and the packets."""


def _video(data: bytes, limits: MediaLimits) -> list[_Film]:
    """Of every video stream what says how it is shown; cover pictures come last."""
    with open_media(data, limits, look_ahead=False) as container:
        streams = sorted(container.streams.video, key=is_cover)
        found: dict[int, list[Packed]] = defaultdict(list)
        if streams:
            for p in container.demux(list(streams)):
                if p.size:
                    shown = None if p.pts is None else p.pts * p.time_base
                    decoded = None if p.dts is None else p.dts * p.time_base
                    found[p.stream_index].append((hash(bytes(p)), shown, decoded, p.is_keyframe, p.is_discard))
        return [(aspect_of(s), _extradata(s), found[s.index]) for s in streams]


def aspect_of(stream: VideoStream) -> Fraction:
    """Square where nothing is said."""
    return Fraction(1) if is_cover(stream) else stream.sample_aspect_ratio or Fraction(1)


def _extradata(stream: Stream) -> bytes:
    context = context_of(stream)
    return bytes(getattr(context, "extradata", None) or b"")
