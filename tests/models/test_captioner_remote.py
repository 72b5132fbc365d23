"""The remote captioner against a local server that speaks the protocol, and misbehaves on request."""

from __future__ import annotations

import base64
import io
import pickle
import threading
import wave

import av
import numpy as np
import pytest
from endpoint import completion, refusal, serve
from views import ArrayView

from avagent.core.captions import Caption
from avagent.core.errors import FailureReason, MediaError, MissingModelError, ModelError, RecipeError, Stage
from avagent.core.media import Frames, Waveform
from avagent.models.registry import build_captioner
from avagent.models.remote.pacing import RateLimit

SOON = {"Retry-After": "0.001"}


def build(service, **options):
    return build_captioner("remote", {"base_url": service.url, "model": "m", "timeout_s": 5, **options})


def clip(seed: int = 0, **more) -> ArrayView:
    t = np.arange(22_050) / 22_050
    samples = (0.5 * np.sin(2 * np.pi * 440 * t))[None].astype(np.float32)
    pixels = np.full((3, 48, 64, 3), (200, 30, 30), np.uint8)
    return ArrayView(
        key=f"clip{seed}", sound=Waveform(samples, 22_050), pictures=Frames(pixels, np.arange(3.0)), **more
    )


def test_sound_and_pictures_arrive_as_they_are():
    with serve(lambda body, n: completion("A tone.")) as service:
        port = build(service, frames=2)
        assert port.caption_audio([clip()]) == [Caption("A tone.")]
        assert port.caption_video([clip()]) == [Caption("A tone.")]
        audio, video = (body["messages"][0]["content"] for body in service.seen)
        assert all(body["temperature"] == 0 and body["model"] == "m" for body in service.seen)
    assert [part["type"] for part in audio] == ["input_audio", "text"]
    assert [part["type"] for part in video] == ["image_url", "image_url", "text"]
    with wave.open(io.BytesIO(base64.b64decode(audio[0]["input_audio"]["data"]))) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32_768
        assert (file.getframerate(), file.getnchannels(), pcm.size) == (16_000, 1, 16_000)
    assert np.argmax(np.abs(np.fft.rfft(pcm))) == 440
    kind, _, data = video[0]["image_url"]["url"].partition(";base64,")
    assert kind == "data:image/jpeg"
    with av.open(io.BytesIO(base64.b64decode(data)), format="mjpeg") as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert shown.shape == (48, 64, 3)
    assert np.abs(shown.astype(int) - (200, 30, 30)).max() < 12


def test_order_is_kept_and_broken_clips_are_not_sent():
    broken = MediaError("no", reason=FailureReason.CORRUPT_MEDIA)
    with serve(lambda body, n: completion("Something.")) as service:
        views = [clip(0), clip(1, broken=broken), ArrayView(key="none"), clip(2)]
        answers = build(service).caption_audio(views)
        assert answers == [Caption("Something."), broken, None, Caption("Something.")]
        assert len(service.seen) == 2


@pytest.mark.parametrize("first", [refusal(429, **SOON), refusal(500, **SOON), refusal(503, **SOON)])
def test_a_passing_trouble_is_retried_and_counted(first):
    with serve(lambda body, n: first if n < 2 else completion("At last.")) as service:
        port = build(service, price_in=3.0, price_out=10.0)
        assert port.caption_audio([clip()]) == [Caption("At last.")]
        assert port.take_usage() == {
            "audio_ms": 1000, "requests": 1, "retries": 2, "tokens_in": 100, "tokens_out": 7, "cost_millionths": 370,
        }  # fmt: skip
        assert port.take_usage() == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(429, **SOON), "RateLimitError"),
        (refusal(500, **SOON), "InternalServerError"),
        (refusal(400), "BadRequestError"),
        ((200, {}, b"<html>busy</html>"), "no usable answer"),
        ((200, {"Content_Type": "text/html"}, b"<html>busy</html>"), "no usable answer"),
        ((200, {}, b"[]"), "no usable answer"),
        ((200, {}, b'{"choices": []}'), "no usable answer"),
        ((200, {}, b'{"choices": null}'), "no usable answer"),
        (completion(None), "no text"),
        (completion(""), "no text"),
        (completion(["list"]), "no usable answer|no text"),
    ],
)
def test_what_stays_wrong_fails_the_clip_and_the_rest_goes_on(answer, said):
    with serve(lambda body, n: answer if n in {0, 1, 2} else completion("Fine.")) as service:
        port = build(service, max_retries=0, concurrency=1)
        answers = port.caption_audio([clip(0), clip(1), clip(2), clip(3)])
        assert answers[3] == Caption("Fine.")
        for i, failed in enumerate(answers[:3]):
            assert isinstance(failed, ModelError)
            assert failed.stage is Stage.CAPTION
            assert f"clip{i}" in str(failed)
        with pytest.raises(ModelError, match=said):
            raise answers[0]


def test_an_endpoint_that_never_answers_times_out():
    with serve(lambda body, n: None) as service:
        (failed,) = build(service, timeout_s=0.05, max_retries=0).caption_audio([clip()])
    assert isinstance(failed, ModelError)
    assert "APITimeoutError" in str(failed)


def test_without_usage_tokens_are_not_made_up():
    with serve(lambda body, n: completion("Yes.", usage=None)) as service:
        port = build(service)
        port.caption_audio([clip()])
        counts = port.take_usage()
    assert counts["tokens_in"] == counts["tokens_out"] == 0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_model_stops_the_run(status):
    with serve(lambda body, n: refusal(status)) as service, pytest.raises(MissingModelError, match="refuses model 'm'"):
        build(service).caption_audio([clip()])


def test_no_more_requests_at_once_than_allowed():
    meeting = threading.Barrier(2)

    def answer(body, number):
        meeting.wait(10)
        return completion("Yes.")

    with serve(answer) as service:
        answers = build(service, concurrency=2).caption_audio([clip(i) for i in range(6)])
        assert answers == [Caption("Yes.")] * 6
        assert service.most_busy == 2


def test_warming_up_tells_a_model_that_is_not_served():
    with serve(lambda body, n: completion("x")) as service:
        build(service).warm_up()
        with pytest.raises(MissingModelError, match="does not serve 'other' but 'm'"):
            build(service, model="other").warm_up()
    with serve(lambda body, n: completion("x"), models=None) as service:
        build(service, model="other").warm_up()


def test_warming_up_tells_that_nobody_answers():
    with serve(lambda body, n: completion("x")) as service:
        pass
    with pytest.raises(MissingModelError, match="no endpoint answers at http://127"):
        build(service, timeout_s=1).warm_up()


def test_the_key_comes_from_the_environment_and_stays_there(monkeypatch):
    monkeypatch.setenv("AVAGENT_TEST_KEY", "s3cret")
    with serve(lambda body, n: completion("Yes.")) as service:
        port = build(service, api_key_env="AVAGENT_TEST_KEY")
        port.caption_audio([clip()])
        assert service.keys == ["Bearer s3cret"]
        data = pickle.dumps(port)
        assert b"s3cret" not in data
        assert "s3cret" not in port.fingerprint + repr(port)
        assert pickle.loads(data).caption_audio([clip()]) == [Caption("Yes.")]  # noqa: S301
        monkeypatch.delenv("AVAGENT_TEST_KEY")
        with pytest.raises(MissingModelError, match="variable AVAGENT_TEST_KEY"):
            build(service, api_key_env="AVAGENT_TEST_KEY")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "localhost:8000"}, "base_url must be"),
        ({"base_url": "https://user:word@host/v1"}, "no user, password"),
        ({"api_key_env": "sk-123"}, "never the key itself"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"model": ""}, "model must be"),
        ({"frames": 0}, "frames"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(RecipeError, match=said):
        build_captioner("remote", {"base_url": "http://localhost:1/v1", "model": "m", **options})


def test_the_fingerprint_follows_the_model_and_not_the_pace():
    def fingerprint(**options):
        return build_captioner("remote", {"base_url": "http://host/v1", "model": "m", **options}).fingerprint

    assert fingerprint() == fingerprint(concurrency=9, timeout_s=3, price_in=1)
    assert len({fingerprint(), fingerprint(model="n"), fingerprint(revision="2"), fingerprint(frames=4)}) == 4


def test_calls_pass_at_even_distances():
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    rate = RateLimit(30, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        rate.wait()
    assert slept == [2.0, 2.0]
    now[0] += 60
    rate.wait()
    assert slept == [2.0, 2.0]
