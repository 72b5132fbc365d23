"""The media store: what stages see of a clip, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from media_samples import Recipe, build, image, picture, tone_bursts

from avagent.core.actions import Action, Shift, Speed, Volume, WienerFilter
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.errors import EditError, FailureReason, MediaError, ParameterError, ShardError
from avagent.core.media import Waveform
from avagent.core.ports import ClipView
from avagent.dsp.actions.edit import DspEditor
from avagent.media.container import decode_audio, decode_motion, encode_audio, probe, sample_frames
from avagent.media.decoder_process import Decoder, DirectDecoder
from avagent.media.store import FrameSampling, MediaStore

CLIP = build(Recipe())
MANY_KEYFRAMES = build(Recipe(video_options={"g": "5"}))
SONG = encode_audio(tone_bursts(3.0, rate=22_050, channels=1), "flac")


def sample(**members: bytes) -> tuple[ClipRef, Clip]:
    """A clip of these members; `_` in a name stands for the dot of a longer suffix."""
    found = tuple(
        Member(name=f"cat.{name.replace('_', '.')}", suffix=name.replace("_", "."), data=data)
        for name, data in members.items()
    )
    clip = Clip(key="cat", members=found)
    ref = ClipRef(key="cat", shard="memory://a.tar", offset=0, length=9, content_sha256=content_hash(found))
    return ref, clip


class Shard:
    """Reads clips, and counts how often."""

    def __init__(self, *clips: tuple[ClipRef, Clip]) -> None:
        self.clips = {ref.content_sha256: clip for ref, clip in clips}
        self.reads = 0

    def __call__(self, ref: ClipRef) -> Clip:
        self.reads += 1
        return self.clips[ref.content_sha256]


class CountingEditor:
    """Notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Action, ...]] = []

    def edit(self, waveform: Waveform, actions: Sequence[Action]) -> Waveform:
        self.calls.append(tuple(actions))
        return DspEditor().edit(waveform, actions)


def store_of(*clips: tuple[ClipRef, Clip], max_bytes: int = 64 << 20) -> MediaStore:
    return MediaStore(max_bytes, Shard(*clips))


class TestView:
    def test_clip_in_one_container(self) -> None:
        ref, clip = sample(mp4=CLIP)
        view: ClipView = store_of((ref, clip)).view(ref)
        audio, motion = view.audio(), view.motion()
        expected_audio, expected_motion = decode_audio(CLIP), decode_motion(CLIP)
        assert audio is not None
        assert motion is not None
        assert expected_audio is not None
        assert expected_motion is not None
        assert np.array_equal(audio.samples, expected_audio.samples)
        assert np.array_equal(motion.energy, expected_motion.energy)
        assert view.streams() == probe(CLIP)
        assert (view.ref, view.actions) == (ref, ())

    @pytest.mark.parametrize(
        ("data", "exact"),
        [(MANY_KEYFRAMES, False), (CLIP, False), (build(Recipe(frames=60, video_options={"g": "99"})), True)],
    )
    def test_few_keyframes_are_made_up_for_by_full_decoding(self, data: bytes, exact: bool) -> None:
        ref, clip = sample(mp4=data)
        frames = store_of((ref, clip)).view(ref).frames()
        expected = sample_frames(data, 8, exact=exact)
        assert frames is not None
        assert expected is not None
        assert np.array_equal(frames.pixels, expected.pixels)
        assert np.array_equal(frames.times, expected.times)

    def test_separate_sound_wins_and_starts_with_the_picture(self) -> None:
        video = build(Recipe(muxer="matroska", audio_codec="flac", audio_start=0.5))
        ref, clip = sample(mkv=video, flac=SONG)
        view = store_of((ref, clip)).view(ref)
        audio, motion, streams = view.audio(), view.motion(), view.streams()
        assert audio is not None
        assert motion is not None
        assert (audio.rate, audio.channels) == (22_050, 1)
        assert motion.times[0] == 0.0
        assert (streams.audio_codec, streams.video_codec) == ("flac", "mpeg4")
        assert (streams.rate, streams.channels, streams.has_video) == (22_050, 1, True)
        assert streams.audio_duration == pytest.approx(3.0)
        assert streams.video_duration == pytest.approx(2.0, abs=0.01)

    def test_sound_and_pictures(self) -> None:
        pictures = {f"{i:04d}_png": image(picture(i, (40, 30))) for i in range(12)}
        ref, clip = sample(flac=SONG, **pictures)
        view = store_of((ref, clip)).view(ref)
        frames, streams = view.frames(), view.streams()
        assert frames is not None
        assert frames.pixels.shape == (8, 30, 40, 3)
        assert np.array_equal(frames.pixels[-1], picture(10, (40, 30)))
        assert np.allclose(frames.times, (np.arange(8) + 0.5) / 8 * 3.0)
        assert view.motion() is None
        assert not streams.has_video

    def test_container_without_picture_leaves_the_pictures(self) -> None:
        ref, clip = sample(mp4=build(Recipe(video_codec=None)), png=image(picture(0, (40, 30))))
        view = store_of((ref, clip)).view(ref)
        frames = view.frames()
        assert frames is not None
        assert frames.count == 1

    def test_nothing_to_hear_or_see(self) -> None:
        silent, sound = sample(mp4=build(Recipe(audio_codec=None))), sample(flac=SONG)
        store = store_of(silent, sound)
        assert store.view(silent[0]).audio() is None
        assert store.view(silent[0], (WienerFilter(),)).audio() is None
        assert store.view(silent[0]).facts() is None
        assert store.view(silent[0]).motion() is not None
        assert store.view(sound[0]).frames() is None
        assert store.view(sound[0]).motion() is None
        facts = store.view(sound[0]).facts()
        assert facts is not None
        assert facts.duration_mismatch is None

    def test_no_media_at_all(self) -> None:
        ref, clip = sample(json=b"{}")
        for call in (store_of((ref, clip)).view(ref).audio, store_of((ref, clip)).view(ref).streams):
            with pytest.raises(ShardError, match="has no media member") as caught:
                call()
            assert caught.value.reason == FailureReason.NO_MEDIA

    def test_media_is_read_only(self) -> None:
        ref, clip = sample(mp4=CLIP)
        view = store_of((ref, clip)).view(ref)
        edited = store_of((ref, clip)).view(ref, (Volume(),)).audio()
        audio, frames, motion = view.audio(), view.frames(), view.motion()
        assert audio is not None
        assert edited is not None
        assert frames is not None
        assert motion is not None
        for array in (audio.samples, edited.samples, frames.pixels, motion.energy):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


class TestEdits:
    def test_edited_sound_is_that_of_the_editor(self) -> None:
        ref, clip = sample(mp4=CLIP)
        actions = (WienerFilter(), Speed(factor=1.25), Shift(milliseconds=40))
        original = decode_audio(CLIP)
        assert original is not None
        expected = DspEditor().edit(original, actions)
        audio = store_of((ref, clip)).view(ref, actions).audio()
        assert audio is not None
        assert np.array_equal(audio.samples, expected.samples)

    def test_goes_on_from_the_longest_part_that_is_known(self) -> None:
        ref, clip = sample(mp4=CLIP)
        editor = CountingEditor()
        store = MediaStore(64 << 20, Shard((ref, clip)), editor=editor)
        a, b, c = WienerFilter(), Volume(), Shift(milliseconds=10)
        fresh = store_of((ref, clip)).view(ref, (a, b, c)).audio()
        for actions in ((a,), (a, b), (a, b), (a, b, c), (b, c)):
            last = store.view(ref, actions).audio()
            if actions == (a, b, c):
                assert last is not None
                assert fresh is not None
                assert np.array_equal(last.samples, fresh.samples)
        assert editor.calls == [(a,), (b,), (c,), (b, c)]

    def test_facts_are_of_the_edited_sound(self) -> None:
        ref, clip = sample(mp4=CLIP)
        store = store_of((ref, clip))
        before, after = store.view(ref).facts(), store.view(ref, (Speed(factor=1.25),)).facts()
        assert before is not None
        assert after is not None
        assert before.duration_mismatch == pytest.approx(0.0, abs=1e-3)
        assert after.duration == pytest.approx(1.6)
        assert after.duration_mismatch == pytest.approx(-0.4, abs=1e-3)
        assert store.view(ref, (Speed(factor=1.25),)).streams() == store.view(ref).streams()

    def test_edit_errors_are_kept(self) -> None:
        ref, clip = sample(wav=encode_audio(tone_bursts(0.5, rate=900), "wav"))
        editor = CountingEditor()
        store = MediaStore(64 << 20, Shard((ref, clip)), editor=editor)
        for _ in range(2):
            with pytest.raises(EditError):
                store.view(ref, (WienerFilter(),)).audio()
        assert len(editor.calls) == 1


class TestCache:
    def test_everything_is_made_once(self) -> None:
        ref, clip = sample(mp4=CLIP)
        shard = Shard((ref, clip))
        store = MediaStore(64 << 20, shard)
        store.put(ref, clip)
        for _ in range(3):
            for view in (store.view(ref), store.view(ref, (Volume(),))):
                for call in (view.streams, view.audio, view.frames, view.motion, view.facts):
                    call()
        assert shard.reads == 0
        # sound, pictures and motion at once; the edited sound; facts of both
        assert store.stats.misses == 4
        assert store.stats.hits > 0

    def test_same_content_is_made_once(self) -> None:
        ref, clip = sample(mp4=CLIP)
        twin = ClipRef(key="dog", shard="memory://b.tar", offset=512, length=9, content_sha256=ref.content_sha256)
        store = store_of((ref, clip))
        assert store.view(ref).audio() is store.view(twin).audio()

    def test_bounded_and_the_same_after_eviction(self) -> None:
        clips = [sample(mp4=build(Recipe(frames=20, sound=tone_bursts(0.8, seed=seed)))) for seed in range(6)]
        shard = Shard(*clips)
        bound = 700_000
        small, large = MediaStore(bound, shard), store_of(*clips)
        for _ in range(2):
            for ref, clip in clips:
                small.put(ref, clip)
                for actions in ((), (Volume(),)):
                    ours, theirs = small.view(ref, actions).audio(), large.view(ref, actions).audio()
                    assert ours is not None
                    assert theirs is not None
                    assert np.array_equal(ours.samples, theirs.samples)
                    assert small.stats.bytes <= bound
        assert small.stats.evictions > 0
        for ref, _ in clips:
            assert small.view(ref).facts() == large.view(ref).facts()
        assert shard.reads == small.stats.reads > 0

    def test_a_discarded_clip_is_read_again_and_takes_no_room(self) -> None:
        ref, clip = sample(mp4=CLIP)
        shard = Shard((ref, clip))
        store = MediaStore(1 << 30, shard)
        store.put(ref, clip)
        before = store.view(ref, (Volume(),)).audio()
        store.discard(ref)
        assert store.stats.entries == 0
        after = store.view(ref, (Volume(),)).audio()
        assert before is not None
        assert after is not None
        assert np.array_equal(before.samples, after.samples)
        assert shard.reads == 1

    def test_clip_that_changed_in_its_shard(self) -> None:
        ref, _ = sample(mp4=CLIP)
        _, other = sample(mp4=MANY_KEYFRAMES)
        store = MediaStore(1 << 20, lambda _: other)
        with pytest.raises(ShardError, match=r"clip 'cat' at byte 0 of memory://a.tar is not the one") as caught:
            store.view(ref).audio()
        assert caught.value.reason == FailureReason.CHANGED_SINCE_LISTED

    def test_media_errors_are_kept_read_errors_are_not(self) -> None:
        ref, clip = sample(mp4=CLIP[:400])
        calls = []

        def read(_: ClipRef) -> Clip:
            calls.append(1)
            if len(calls) == 1:
                raise ShardError("the network is down", reason=FailureReason.UNREADABLE_SHARD)
            return clip

        store = MediaStore(1 << 20, read)
        with pytest.raises(ShardError, match="network"):
            store.view(ref).audio()
        for _ in range(3):
            with pytest.raises(MediaError) as caught:
                store.view(ref).audio()
            assert caught.value.reason == FailureReason.CORRUPT_MEDIA
        assert len(calls) == 2
        assert store.stats.reads == 1

    def test_many_threads(self) -> None:
        clips = [sample(mp4=build(Recipe(frames=10, sound=tone_bursts(0.4, seed=seed)))) for seed in range(3)]
        store = store_of(*clips)
        jobs = [(ref, actions) for ref, _ in clips for actions in ((), (Volume(),), (Volume(), WienerFilter()))] * 4

        def work(job: tuple[ClipRef, tuple[Action, ...]]) -> float:
            view = store.view(*job)
            audio, frames, facts = view.audio(), view.frames(), view.facts()
            assert audio is not None
            assert frames is not None
            assert facts is not None
            return float(np.abs(audio.samples).sum()) + facts.duration

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(work, jobs))
        for job, result in zip(jobs, results, strict=True):
            assert result == work(job)
        assert store.stats.misses == 3 * (1 + 1 + 2 + 3)  # clip, its media, edited sounds, facts

    def test_real_clip(self, media_dir: Path) -> None:
        ref, clip = sample(mp4=(media_dir / "video" / "bigbuckbunny.mp4").read_bytes())
        view = store_of((ref, clip)).view(ref)
        audio, frames, motion, facts = view.audio(), view.frames(), view.motion(), view.facts()
        assert audio is not None
        assert frames is not None
        assert motion is not None
        assert facts is not None
        assert (audio.samples.shape, frames.count, motion.energy.size) == ((6, 254_976), 8, 132)
        assert facts.duration_mismatch == pytest.approx(0.032, abs=1e-6)


def test_sampling_is_validated() -> None:
    for options in ({"count": 0}, {"max_side": 8}, {"min_keyframes": 9}):
        with pytest.raises(ParameterError, match="are needed, got"):
            FrameSampling(**options)


def test_bound_must_be_positive() -> None:
    with pytest.raises(ParameterError, match="max_bytes must be positive"):
        MediaStore(0, Shard())


class PerClip(DirectDecoder):
    """Counts the clips that it is asked for a decoder of, and the steps of each."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def for_clip(self) -> Decoder:
        self.steps.append(0)
        return OneClip(self.steps, len(self.steps) - 1)


class OneClip(DirectDecoder):
    def __init__(self, steps: list[int], index: int) -> None:
        self.steps, self.index = steps, index

    def run(self, function, /, *args, **kwargs):
        self.steps[self.index] += 1
        return function(*args, **kwargs)


def test_all_steps_of_a_clip_share_a_decoder_until_its_way_ends() -> None:
    clips = [sample(mp4=build(Recipe(frames=12))), sample(mp4=build(Recipe(frames=13)))]
    decoder = PerClip()
    store = MediaStore(64 << 20, Shard(*clips), decoder=decoder)
    for ref, _ in clips:
        assert store.view(ref).audio() is not None
        assert store.view(ref).frames_at((0.1,)) is not None
    assert [count for count in decoder.steps if count] == [2, 2]
    ref = clips[0][0]
    store.discard(ref)
    assert store.view(ref).audio() is not None
    assert [count for count in decoder.steps if count] == [2, 2, 1]


def test_clips_whose_way_never_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avagent.media.store._MOST_CLIPS", 2)
    clips = [sample(mp4=build(Recipe(frames=12 + number))) for number in range(3)]
    store = MediaStore(64 << 20, Shard(*clips))
    for ref, _ in clips:
        assert store.view(ref).audio() is not None
    assert set(store._decoders) == {ref.content_sha256 for ref, _ in clips[1:]}
