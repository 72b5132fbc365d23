"""Clean shards to training pairs for a planner: known faults are put in, and what a planner would be told is noted."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.core.actions import Action, NoiseFilter
from avagent.core.captions import Caption, Captions
from avagent.core.clip import ClipRef
from avagent.core.errors import ClipError, ParameterError
from avagent.core.facts import Facts
from avagent.core.history import Base, History, Round
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.plan import Plan
from avagent.core.ports import Captioner, ClipView, PlanRequest, Scorer
from avagent.core.region import Region
from avagent.core.scores import Scores, with_timing
from avagent.dsp.actions.edit import DspEditor
from avagent.dsp.faults import Babble, Fault, Injected, WrongSoundtrack, inject
from avagent.dsp.faults.draw import draw_faults
from avagent.dsp.faults.mending import right_repairs
from avagent.dsp.measures.sound_facts import measure
from avagent.media.store import MediaStore
from avagent.records.training_pairs import (
    PlanPair,
    Situation,
    SkippedClip,
    Split,
    licences_of,
    source_of,
    split_of,
    write_pairs,
)
from avagent.shards.formats import read_shard
from avagent.shards.samples import BadSample
from avagent.transforms.loop import PortLoader
from avagent.transforms.metrics import NAMESPACE
from avagent.transforms.progress import report_progress
from avagent.transforms.store import StoreConfig, process_store

SILENT_DB = -60.0
"""A recording below it (RMS, full scale) is no other soundtrack."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How a planner is asked and how it answers, handed in: this layer knows no planner.

    Attributes:
        single: the plans of one action that a planner may choose for a request, with their parameters.
        prompt: the request as text.
        answer: the text of the answer that chooses this kind of action; None: none.
    """

    single: Callable[[PlanRequest], Sequence[Plan]]
    prompt: Callable[[PlanRequest], str]
    answer: Callable[[str | None], str]


@dataclass(frozen=True, kw_only=True)
class PairMaker:
    """What making pairs needs.

    Attributes:
        captioner, scorer: loaders of the ports.
        store: the worker's media store.
        allowed: kinds of action that may be used.
        answers: how a planner is asked.
        per_clip: sounds made of each clip, clean ones among them.
        later_rounds: share of the faulty sounds of which a pair of a later round is made as well, [0, 1].
        validation: share of the sources held out, [0, 1].
        seed: of faults and split.
        progress: file that local workers report to; None: no such report.
    """

    captioner: PortLoader[Captioner]
    scorer: PortLoader[Scorer]
    store: StoreConfig
    allowed: frozenset[str]
    answers: Answers
    per_clip: int
    later_rounds: float
    validation: float
    seed: int
    progress: str | None = None


@dataclass(frozen=True)
class FaultyView:
    """A clip's media with another sound in place of its own: see :class:`avagent.core.ports.ClipView`."""

    base: ClipView
    sound: Waveform
    ref: ClipRef
    actions: tuple[Action, ...] = ()

    def edited(self, actions: tuple[Action, ...]) -> FaultyView:
        """The same sound, edited."""
        return FaultyView(self.base, self.sound, self.ref, actions)

    @property
    def pictures_of(self) -> ClipRef:
        """The clip whose pictures are shown: what is seen in them need not be found out again for every sound."""
        return self.base.ref

    def streams(self) -> StreamInfo:
        """Durations as a container with this sound would declare them."""
        return replace(self.base.streams(), audio_duration=self._edited.duration)

    def audio(self) -> Waveform:
        """The edited sound."""
        return self._edited

    def frames(self) -> Frames | None:
        """The clip's pictures."""
        return self.base.frames()

    def frames_at(self, times: tuple[float, ...]) -> Frames | None:
        """The clip's pictures at these moments."""
        return self.base.frames_at(times)

    def region(self, region: Region) -> Frames | None:
        """One part of the clip's pictures."""
        return self.base.region(region)

    def motion(self) -> Motion | None:
        """The clip's motion."""
        return self.base.motion()

    def facts(self) -> Facts:
        """Measured facts of the edited sound."""
        return self._facts

    @cached_property
    def _edited(self) -> Waveform:
        return DspEditor().edit(self.sound, self.actions) if self.actions else self.sound

    @cached_property
    def _facts(self) -> Facts:
        return measure(self._edited, motion=self.motion(), streams=self.streams())


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A clip on its way to pairs: where it lies, which recording it is of and on what terms, what that is for."""

    ref: ClipRef
    source: str
    licences: tuple[str, ...]
    split: Split


class MakePlanPairs(beam.PTransform):
    """Shards to files of pairs, each shard by one worker."""

    def __init__(self, maker: PairMaker, output: str) -> None:
        super().__init__()
        self._maker = maker
        self._output = output

    def expand(self, shards: PCollection[str]) -> PCollection[tuple[str, int]]:
        """Shard URL -> (shard URL, number of pairs)."""
        written: Any = (
            shards
            | "Spread" >> beam.Reshuffle()
            | "MakePairs" >> beam.Map(_make, maker=self._maker, output=self._output)
        )
        return written


def _make(shard: str, maker: PairMaker, output: str) -> tuple[str, int]:
    count = write_pairs(output, shard, pairs_of_shard(shard, maker, process_store(maker.store)))
    Metrics.counter(NAMESPACE, "plan_pairs").inc(count)
    return shard, count


def pairs_of_shard(shard: str, maker: PairMaker, store: MediaStore) -> Iterator[PlanPair | SkippedClip]:
    """All pairs of a shard, clip by clip, and what could not be used."""
    sources: list[Source] = []
    for item in read_shard(shard, maker.store.shards):
        if isinstance(item, BadSample):
            yield SkippedClip(key=item.key, reason=str(item.failure.reason))
            continue
        store.put(item.ref, item.clip)
        source = source_of(item.clip)
        split = split_of(source, maker.validation, maker.seed)
        sources.append(Source(ref=item.ref, source=source, licences=licences_of(item.clip), split=split))
    for place, source in enumerate(sources):
        others = [s.ref for s in (*sources[place + 1 :], *sources[:place]) if s.split is source.split]
        yield from pairs_of_clip(source, others, maker, store)
        store.discard(source.ref)
        report_progress(maker.progress, source.split, source.ref.length)


def pairs_of_clip(
    source: Source, others: Sequence[ClipRef], maker: PairMaker, store: MediaStore
) -> Iterator[PlanPair | SkippedClip]:
    """The pairs of one clip: its own sound, and that with one fault at a time.

    Args:
        source: the clip.
        others: clips whose sound may be babble or a wrong soundtrack, of the same split.
        maker: what it needs.
        store: holds the clip.
    """
    view = store.view(source.ref)
    try:
        sound = view.audio()
        if sound is None:
            yield SkippedClip(key=source.ref.key, reason="no_audio")
            return
        # What the store hands out is read-only, and libraries behind some actions refuse that.
        clean = Waveform(sound.samples.copy(), sound.rate)
        seen = _whole(maker.captioner().caption_video([view])[0])
    except ClipError as error:
        yield SkippedClip(key=source.ref.key, reason=str(error.failure().reason))
        return
    generator = np.random.default_rng(_seed(maker.seed, source.ref.key))
    for number, fault in enumerate(draw_faults(maker.per_clip, generator)):
        try:
            yield from _Question(source, view, clean, seen, maker, number).pairs(fault, others, store)
        except (ClipError, ParameterError) as error:
            reason = str(error.failure().reason) if isinstance(error, ClipError) else str(error)
            yield SkippedClip(key=f"{source.ref.key}#{number}", reason=reason)


@dataclass(frozen=True)
class _Question:
    """One sound of one clip, on its way to a pair or two."""

    source: Source
    view: ClipView
    clean: Waveform
    seen: Caption | None
    maker: PairMaker
    number: int

    def pairs(self, fault: Fault | None, others: Sequence[ClipRef], store: MediaStore) -> Iterator[PlanPair]:
        generator = np.random.default_rng(_seed(self.maker.seed, f"{self.source.ref.key}#{self.number}"))
        injected = self._injected(fault, others, store, int(generator.integers(2**31)))
        sound = self.clean if injected is None else injected.waveform
        digest = hashlib.sha256(self.source.ref.content_sha256.encode() + sound.samples.tobytes())
        view = FaultyView(self.view, sound, replace(self.source.ref, content_sha256=digest.hexdigest()))
        captions = Captions(audio=_whole(self.maker.captioner().caption_audio([view])[0]), video=self.seen)
        first = self._request(view, captions, History(original=self._scores(view)))
        repairs = () if injected is None else right_repairs(injected, self.clean, self._actions(first))
        kinds = tuple(r.action.kind for r in repairs)
        yield self._pair(first, kinds, fault, Situation.FIRST)
        if generator.random() < self.maker.later_rounds:
            later = self._later(view, first, tuple(r.action for r in repairs), generator)
            if later is not None:
                situation = Situation.MENDED if later.base is Base.CURRENT else Situation.MISTAKEN
                yield self._pair(later, () if later.base is Base.CURRENT else kinds, fault, situation)

    def _injected(
        self, fault: Fault | None, others: Sequence[ClipRef], store: MediaStore, seed: int
    ) -> Injected | None:
        if fault is None:
            return None
        other = _audible(others, store) if isinstance(fault, Babble | WrongSoundtrack) else None
        return inject(fault, self.clean, seed=seed, other=other)

    def _later(
        self, view: FaultyView, first: PlanRequest, right: tuple[Action, ...], generator: np.random.Generator
    ) -> PlanRequest | None:
        """The question of the second round: after the right action was kept, or after a wrong one was dropped."""
        wrong = [a for a in self._actions(first) if a.kind not in {r.kind for r in right}]
        kept = bool(right) and (not wrong or generator.random() < 0.5)
        if not kept and not wrong:
            return None
        action = right[0] if kept else wrong[int(generator.integers(len(wrong)))]
        edited = view.edited((action,))
        plan = Plan(noise=action) if isinstance(action, NoiseFilter) else Plan(coordination=action)
        done = Round(
            number=1,
            base=Base.ORIGINAL,
            plan=plan,
            actions=plan.actions,
            scores=self._scores(edited),
            accepted=kept,
        )
        history = replace(first.history, rounds=(done,))
        if kept:
            return self._request(edited, first.captions, history, Base.CURRENT)
        return self._request(view, first.captions, history)

    def _request(
        self, view: FaultyView, captions: Captions, history: History, base: Base = Base.ORIGINAL
    ) -> PlanRequest:
        return PlanRequest(
            key=self.source.ref.key,
            captions=captions,
            facts=with_timing(view.facts(), history.original if base is Base.ORIGINAL else history.best_scores),
            history=history,
            base=base,
            allowed=self.maker.allowed,
        )

    def _actions(self, request: PlanRequest) -> list[Action]:
        return [action for plan in self.maker.answers.single(request) for action in plan.actions]

    def _scores(self, view: ClipView) -> Scores:
        scores = self.maker.scorer().score([view])[0]
        if isinstance(scores, ClipError):
            raise scores
        return scores

    def _pair(
        self, request: PlanRequest, right: tuple[str, ...], fault: Fault | None, situation: Situation
    ) -> PlanPair:
        answers = self.maker.answers
        return PlanPair(
            prompt=answers.prompt(request),
            answer=answers.answer(right[0] if right else None),
            right=right,
            key=f"{self.source.ref.key}#{self.number}",
            source=self.source.source,
            licences=self.source.licences,
            split=self.source.split,
            fault=fault,
            situation=situation,
            request=request,
        )


def _whole(caption: Caption | ClipError | None) -> Caption | None:
    if isinstance(caption, ClipError):
        raise caption
    return caption


def _audible(others: Sequence[ClipRef], store: MediaStore) -> Waveform:
    """The first of the other clips that can be heard.

    Raises:
        ParameterError: there is none.
    """
    for ref in others:
        try:
            sound = store.view(ref).audio()
        except ClipError:
            continue
        if sound is not None and sound.length and _level_db(sound) > SILENT_DB:
            return sound
    raise ParameterError("no_other_recording")


def _level_db(sound: Waveform) -> float:
    return 10.0 * float(np.log10(float(np.square(sound.samples, dtype=np.float64).mean()) + 1e-12))


def _seed(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{text}".encode()).digest()[:8], "big")
