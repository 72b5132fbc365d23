"""Media that hang, crash or bloat their decoder cost one clip, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import misbehaviour as bad
import numpy as np
import pytest
from media_samples import Recipe, build

from avagent.core.errors import (
    AVAgentError,
    ClipError,
    EditError,
    FailureReason,
    MediaError,
    ParameterError,
    Stage,
)
from avagent.core.media import Motion, StreamInfo, Waveform
from avagent.media import container, decoder_process
from avagent.media.decoder_process import DecoderPool, DirectDecoder, close_decoders, process_decoder
from avagent.media.limits import DecodeLimits, MediaLimits

LIMITS = DecodeLimits(decode_seconds=60, decode_memory_mib=256)
HASTY = replace(LIMITS, decode_seconds=0.2)
CLIP = build(Recipe())


def new_pool(limits: DecodeLimits = LIMITS, **options) -> DecoderPool:
    return DecoderPool(limits, modules=(bad.__name__,), **options)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    made = new_pool()
    yield made
    made.close()


def pids(pool: DecoderPool) -> tuple[int, ...]:
    """Process ids of the children that are idle."""
    return tuple(child._process.pid for child in pool._idle)


def alive(pid: int) -> bool:
    """A zombie counts as alive: it is one that nobody has waited for."""
    return Path(f"/proc/{pid}").exists()


def reason_of(pool: DecoderPool, function, *args) -> ClipError:
    with pytest.raises(ClipError) as caught:
        pool.run(function, *args)
    return caught.value


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (container.probe, ()),
        (container.decode_audio, ()),
        (container.decode_member, ()),
        (container.sample_frames, (4,)),
        (container.decode_motion, ()),
        (container.decode_picture, (4,)),
    ],
)
def test_a_child_gives_what_this_process_would(pool, function, arguments):
    inside, here = pool.run(function, CLIP, *arguments), DirectDecoder().run(function, CLIP, *arguments)
    assert pickled(inside) == pickled(here)


def pickled(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    slots = getattr(value, "__slots__", None)
    return value if slots is None else [pickled(getattr(value, name)) for name in slots]


def test_a_repaired_container_is_the_same_to_the_byte(pool):
    sound = container.decode_audio(CLIP)
    assert pool.run(container.remux, CLIP, sound) == container.remux(CLIP, sound)


def test_values_keep_their_types(pool):
    motion = Motion(np.zeros(0, np.float32), np.zeros(0))
    sound = Waveform(np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2], 8000)
    info = StreamInfo(has_audio=True, has_video=False, audio_duration=0.1, audio_codec="é")
    (values, named) = pool.run(bad.echo, b"", b"\0\xff", None, -3, True, 0.1, [b"a", "b"], info, sound, limit=motion)
    assert values[:6] == (b"", b"\0\xff", None, -3, True, 0.1)
    assert values[6:8] == ((b"a", "b"), info)
    assert pickled(values[8]) == pickled(Waveform(np.ascontiguousarray(sound.samples), 8000))
    assert named["limit"].energy.shape == (0,)


def test_limits_and_errors_pass_through(pool):
    error = reason_of(pool, container.probe, b"no media")
    assert (error.reason, error.stage) == (FailureReason.CORRUPT_MEDIA, Stage.DECODE)
    with pytest.raises(MediaError, match=r"limits\.channels") as caught:
        pool.run(container.decode_audio, CLIP, limits=MediaLimits(channels=1))
    assert caught.value.reason == FailureReason.LIMIT_EXCEEDED
    assert isinstance(reason_of(pool, bad.fail, b""), EditError)
    with pytest.raises(ParameterError, match="unknown audio codec"):
        pool.run(container.remux, CLIP, container.decode_audio(CLIP), audio_codec="none")


@pytest.mark.parametrize("function", [bad.hang, bad.spin_with_the_lock])
def test_what_hangs_is_killed(function):
    pool = new_pool(HASTY)
    error = reason_of(pool, function, b"")
    assert error.reason == FailureReason.DECODER_TIMED_OUT
    assert "limits.decode_seconds" in str(error)
    assert pids(pool) == ()
    pool.close()


def test_a_repair_that_hangs_failed_in_writing(monkeypatch):
    monkeypatch.setattr(bad.hang, "__module__", "avagent.media.remux")
    monkeypatch.setattr(decoder_process._Child, "call", _never)
    pool = new_pool()
    assert reason_of(pool, bad.hang, b"").stage == Stage.WRITE
    pool.close()


def test_the_steps_of_a_clip_share_the_limit(monkeypatch):
    """Each step had all of it: a clip that is decoded five times could take ten minutes."""
    allowed, clock = [], iter(range(0, 1000, 25))

    def answer(_child, _request, seconds):
        allowed.append(seconds)
        return {"value": 1}

    monkeypatch.setattr(decoder_process._Child, "call", answer)
    monkeypatch.setattr(decoder_process, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with closing(new_pool()) as pool:
        pool._idle.append(decoder_process._Child.__new__(decoder_process._Child))
        monkeypatch.setattr(decoder_process._Child, "close", lambda _child: None)
        clip = pool.for_clip()
        for _ in range(3):
            clip.for_clip().run(container.probe, b"")
        with pytest.raises(MediaError, match="within 60 s") as caught:
            clip.run(container.probe, b"")
        pool.for_clip().run(container.probe, b"")
        pool.run(container.probe, b"")
    assert caught.value.reason == FailureReason.DECODER_TIMED_OUT
    assert allowed == [60, 35, 10, 60, 60]


def _never(child, _request, _seconds):
    child.kill()
    raise TimeoutError


@pytest.mark.parametrize(("function", "how"), [(bad.crash, f"signal {int(signal.SIGSEGV)}"), (bad.leave, "code 7")])
def test_what_crashes_costs_one_clip(function, how):
    pool = new_pool()
    error = reason_of(pool, function, b"")
    assert error.reason == FailureReason.DECODER_CRASHED
    assert how in str(error)
    assert pool.run(container.probe, CLIP).has_video
    (pid,) = pids(pool)
    pool.close()
    assert not alive(pid)


def test_a_child_that_somebody_killed_costs_nothing(pool, tmp_path):
    assert pool.run(bad.crash_once, str(tmp_path / "marker")) == "survived"
    (pid,) = pids(pool)
    os.kill(pid, signal.SIGKILL)
    assert pool.run(bad.process_id) != pid
    assert not alive(pid)


def test_memory_is_bounded(pool):
    before = pool.run(bad.process_id)
    assert pool.run(bad.eat, 100 << 20) == 1
    error = reason_of(pool, bad.eat, 300 << 20)
    assert error.reason == FailureReason.LIMIT_EXCEEDED
    assert "limits.decode_memory_mib" in str(error)
    assert pool.run(bad.process_id) != before, "what is left of it after that is not used"


def test_an_exception_that_nobody_foresaw_costs_one_clip(pool):
    error = reason_of(pool, bad.stumble, b"")
    assert error.reason == FailureReason.DECODER_CRASHED
    assert "ZeroDivisionError: a rate of 0 (misbehaviour.py, line" in str(error)


def test_what_libraries_print_is_no_answer(pool):
    assert pool.run(bad.chat, b"x" * 100_000) == b"x" * 100_000


def test_only_known_modules_are_run():
    pool = DecoderPool(LIMITS)
    with pytest.raises(ParameterError, match="not to be called"):
        pool.run(bad.process_id)
    pool.close()


def test_children_are_reused_and_there_are_no_more_than_threads(pool):
    assert len({pool.run(bad.process_id) for _ in range(3)}) == 1
    small = new_pool(size=2)
    seen: set[int] = set()
    threads = [threading.Thread(target=lambda: seen.add(small.run(bad.process_id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(seen) <= 2
    assert set(pids(small)) == seen
    small.close()
    assert not any(alive(pid) for pid in seen)


def test_a_decoder_that_cannot_start_is_no_clips_fault(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AVAgentError, match="decode_seconds=null") as caught:
        new_pool().run(bad.process_id)
    assert not isinstance(caught.value, ClipError)


def test_one_pool_a_process_until_other_limits_are_asked_for():
    first = process_decoder(LIMITS)
    assert process_decoder(LIMITS) is first
    assert first.run(container.probe, CLIP).has_audio
    (pid,) = pids(first)
    second = process_decoder(HASTY)
    assert second is not first
    assert not alive(pid)
    close_decoders()
    assert isinstance(process_decoder(replace(LIMITS, decode_seconds=None)), DirectDecoder)


SCRIPT = """
    import os, sys, threading
    from avagent.media import container
    from avagent.media.decoder_process import process_decoder
    from avagent.media.limits import DecodeLimits

    def pids(pool):
        return [child._process.pid for child in pool._idle]

    def main():
        decoder = process_decoder(DecodeLimits())
        clip = sys.stdin.buffer.read()
        if sys.argv[1] == "fork":
            decoder.run(container.probe, clip)
            pid = os.fork()
            if pid == 0:
                mine = process_decoder(DecodeLimits())
                mine.run(container.probe, clip)
                os._exit(0 if not set(pids(mine)) & set(pids(decoder)) else 1)
            assert os.waitpid(pid, 0)[1] == 0
            decoder.run(container.probe, clip)
        else:
            thread = threading.Thread(target=decoder.run, args=(container.probe, clip))
            thread.start()
            thread.join()
        print(*pids(decoder), flush=True)
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), 9)
    main()
"""


@pytest.mark.parametrize("ending", ["regular", "killed", "fork"])
def test_children_end_with_their_worker(ending):
    worker = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), ending], input=CLIP, capture_output=True, check=False
    )
    assert worker.returncode == (-9 if ending == "killed" else 0), worker.stderr
    found = [int(pid) for pid in worker.stdout.split()]
    assert len(found) == 1
    for pid in found:
        gone = subprocess.run(["tail", f"--pid={pid}", "-s", "0.05", "-f", "/dev/null"], check=False, timeout=30)
        assert gone.returncode == 0


@pytest.mark.parametrize("limits", [{"decode_seconds": 0}, {"decode_memory_mib": 0}])
def test_limits_are_checked(limits):
    with pytest.raises(ParameterError):
        DecodeLimits(**limits)
    with pytest.raises(ParameterError, match="positive"):
        MediaLimits(streams=0)
    with pytest.raises(ParameterError, match="damaged_packets"):
        MediaLimits(damaged_packets=1.5)
    with pytest.raises(ParameterError, match="time"):
        DecoderPool(DecodeLimits(decode_seconds=None))
