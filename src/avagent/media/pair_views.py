"""Views of a clip with another sound: the pairs that a scorer is calibrated on.

The changes that a score is not about: for both, dither at -80 dBFS, a gain of -1 dB, 10 ms more silence at the head, a
generation of AAC. For alignment, which is not about time, also the sound moved by 100 ms, and at another tempo; for
synchronization, which is about nothing else, also a noise filter, and added noise and hum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from avagent.core.actions import Action, Shift, Speed, WienerFilter
from avagent.core.calibration_fit import PairKind
from avagent.core.clip import ClipRef
from avagent.core.errors import EditError, FailureReason, ParameterError
from avagent.core.facts import Facts
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.ports import ClipView
from avagent.core.region import Region
from avagent.dsp.actions.edit import DspEditor
from avagent.dsp.faults import HumFault, Lag, Noise, inject
from avagent.dsp.measures.sound_facts import measure
from avagent.media.container import decode_audio, encode_audio

DITHER_DBFS = -80.0

Change = Callable[[Waveform], Waveform]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A pair to score: what it is an example of, which one, and its view."""

    kind: PairKind
    detail: str
    view: ClipView


@dataclass(frozen=True, eq=False)
class PairView:
    """The picture of one clip with the sound of another, or its own, changed.

    Attributes:
        picture: whose picture it is.
        sound: whose sound it is.
        name: of the change.
        change: applied to the sound.
    """

    picture: ClipView
    sound: ClipView
    name: str = ""
    change: Change | None = None
    _made: list[Waveform | None] = field(default_factory=list[Waveform | None])
    _measured: list[Facts | None] = field(default_factory=list[Facts | None])

    @property
    def ref(self) -> ClipRef:
        """The picture's, with a content hash of the pair: what is cached of one pair is not another's."""
        parts = f"{self.picture.ref.content_sha256} {self.sound.ref.content_sha256} {self.name}"
        return replace(self.picture.ref, content_sha256=hashlib.sha256(parts.encode()).hexdigest())

    @property
    def pictures_of(self) -> ClipRef:
        """The clip whose picture it is: what was found of that picture holds for all its pairs."""
        return self.picture.ref

    @property
    def actions(self) -> tuple[Action, ...]:
        """None: the change is no edit of the pipeline's."""
        return ()

    def streams(self) -> StreamInfo:
        """The picture's, with the sound's duration. Raises MediaError."""
        waveform = self.audio()
        return replace(self.picture.streams(), audio_duration=None if waveform is None else waveform.duration)

    def audio(self) -> Waveform | None:
        """The changed sound; None: there is none. Raises MediaError, EditError."""
        if not self._made:
            waveform = self.sound.audio()
            self._made.append(waveform if waveform is None or self.change is None else self._changed(waveform))
        return self._made[0]

    def _changed(self, waveform: Waveform) -> Waveform:
        if self.change is None:
            return waveform
        try:
            return self.change(waveform)
        except ParameterError as error:
            raise EditError(f"{self.name}: {error}", reason=FailureReason.EDIT_FAILED) from error

    def frames(self) -> Frames | None:
        """Of the picture's clip. Raises MediaError."""
        return self.picture.frames()

    def frames_at(self, times: tuple[float, ...]) -> Frames | None:
        """Of the picture's clip. Raises MediaError."""
        return self.picture.frames_at(times)

    def region(self, region: Region) -> Frames | None:
        """Of the picture's clip. Raises MediaError."""
        return self.picture.region(region)

    def motion(self) -> Motion | None:
        """Of the picture's clip. Raises MediaError."""
        return self.picture.motion()

    def facts(self) -> Facts | None:
        """Measured on the changed sound; None: there is none. Raises MediaError, EditError."""
        if not self._measured:
            waveform = self.audio()
            known = None if waveform is None else measure(waveform, motion=self.motion(), streams=self.streams())
            self._measured.append(known)
        return self._measured[0]


def examples(
    view: ClipView, others: Sequence[ClipView], lags_ms: Sequence[float], *, changes: bool
) -> Iterator[Example]:
    """The clip as it is, with other clips' sounds, and with its own out of time; with `changes`, with harmless ones.

    Args:
        view: of the clip.
        others: whose sounds do not belong to it.
        lags_ms: by how much its sound is moved.
        changes: whether to add changes that a score is not about.
    """
    yield Example(kind=PairKind.MATCHED, detail="", view=view)
    for other in others:
        yield Example(kind=PairKind.MISMATCHED, detail=other.ref.key, view=PairView(view, other))
    for lag in lags_ms:
        moved = PairView(view, view, f"lag of {lag:g} ms", partial(_late, milliseconds=lag))
        yield Example(kind=PairKind.SHIFTED, detail=f"{lag:g} ms", view=moved)
    if changes:
        for kind, known in CHANGES.items():
            for name, change in known.items():
                yield Example(kind=kind, detail=name, view=PairView(view, view, name, change))


def _at_tempo(sound: Waveform, *, factor: float) -> Waveform:
    return DspEditor().edit(sound, (Speed(factor=factor),))


def _late(sound: Waveform, *, milliseconds: float) -> Waveform:
    return inject(Lag(milliseconds=milliseconds), sound, seed=0).waveform


def _dithered(sound: Waveform) -> Waveform:
    noise = np.random.default_rng(0).standard_normal(sound.samples.shape) * 10 ** (DITHER_DBFS / 20)
    return Waveform((sound.samples + noise).astype(np.float32), sound.rate)


def _softer(sound: Waveform) -> Waveform:
    return Waveform((sound.samples * 10 ** (-1 / 20)).astype(np.float32), sound.rate)


def _moved(sound: Waveform, *, milliseconds: float) -> Waveform:
    return DspEditor().edit(sound, [Shift(milliseconds=milliseconds)])


def _coded(sound: Waveform) -> Waveform:
    decoded = decode_audio(encode_audio(sound, "m4a", None))
    return sound if decoded is None else decoded


def _filtered(sound: Waveform) -> Waveform:
    return DspEditor().edit(sound, [WienerFilter()])


def _noisy(sound: Waveform) -> Waveform:
    return inject(Noise(snr_db=20.0, colour="pink"), sound, seed=1).waveform


def _humming(sound: Waveform) -> Waveform:
    return inject(HumFault(snr_db=10.0), sound, seed=1).waveform


CHANGES: Mapping[PairKind, Mapping[str, Change]] = {
    PairKind.HARMLESS: {
        "dither": _dithered,
        "gain of -1 dB": _softer,
        "10 ms later": partial(_moved, milliseconds=10.0),
        "AAC": _coded,
    },
    PairKind.SAME_FIT: {
        "100 ms early": partial(_moved, milliseconds=-100.0),
        "4% slower": partial(_at_tempo, factor=0.96),
        "8% faster": partial(_at_tempo, factor=1.08),
    },
    PairKind.SAME_TIMING: {"Wiener filter": _filtered, "pink noise at 20 dB": _noisy, "hum at 10 dB": _humming},
}
