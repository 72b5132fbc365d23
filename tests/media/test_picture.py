"""Pictures and motion of clips, and separate pictures."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from media_samples import VP8, Recipe, build, image, picture, reason_of, spoil

from avagent.core.errors import FailureReason, MediaError
from avagent.media.container import (
    MediaLimits,
    decode_images,
    decode_motion,
    decode_picture,
    sample_frames,
)

CLIP = build(Recipe())


class TestPictures:
    def test_keyframes_are_spread(self) -> None:
        data = build(Recipe(frames=100, video_options={"g": "5", "bf": "2"}))
        frames = sample_frames(data, 8)
        assert frames is not None
        assert frames.pixels.shape == (8, 48, 64, 3)
        assert np.all(np.diff(frames.times) > 0)
        assert np.allclose(frames.times, (np.arange(8) + 0.5) / 8 * 4.0, atol=0.3)

    def test_pixels_are_those_of_their_time(self) -> None:
        data = build(Recipe(frames=100, video_codec="ffv1", video_options={}, muxer="matroska"))
        for frames in (sample_frames(data, 5), sample_frames(data, 5, exact=True)):
            assert frames is not None
            for pixels, time in zip(frames.pixels, frames.times, strict=True):
                error = np.abs(pixels.astype(int) - picture(round(time * 25), (64, 48)).astype(int))
                assert error.mean() < 6  # chroma subsampling only

    def test_few_keyframes_give_few_pictures(self) -> None:
        data = build(Recipe(video_options={"g": "1000"}))
        cheap, exact = sample_frames(data, 8), sample_frames(data, 8, exact=True)
        assert cheap is not None
        assert exact is not None
        assert (cheap.count, exact.count) == (1, 8)
        assert np.allclose(exact.times, (np.arange(8) + 0.5) / 8 * 2.0, atol=0.06)

    def test_fewer_frames_than_asked_for(self) -> None:
        data = build(Recipe(frames=3))
        frames = sample_frames(data, 8, exact=True)
        assert frames is not None
        assert frames.times.tolist() == [0.0, 0.04, 0.08]

    def test_one_frame(self) -> None:
        data = build(Recipe(frames=1))
        frames = sample_frames(data)
        assert frames is not None
        assert frames.count == 1
        assert decode_motion(data) is None

    def test_scaled_down_only(self) -> None:
        data = build(Recipe(size=(320, 180), frames=5))
        small, whole = sample_frames(data, max_side=160), sample_frames(data, max_side=1000)
        assert small is not None
        assert whole is not None
        assert small.pixels.shape[1:3] == (90, 160)
        assert whole.pixels.shape[1:3] == (180, 320)

    def test_turned_pictures_are_upright(self) -> None:
        buffer = io.BytesIO()
        with av.open(io.BytesIO(build(Recipe(audio_codec=None)))) as source, av.open(buffer, "w", format="mp4") as out:
            stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
            stream.set_display_rotation(90)
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        frames = sample_frames(buffer.getvalue())
        assert frames is not None
        assert frames.pixels.shape[1:3] == (64, 48)
        # The gradient from dark to bright ran from left to right.
        red = frames.pixels[0, ..., 0].astype(float)
        assert red[-8:].mean() < red[:8].mean()

    def test_times_count_from_the_first_sample_of_the_sound(self) -> None:
        late = build(Recipe(audio_codec="flac", audio_start=0.5))
        frames, motion = sample_frames(late), decode_motion(late)
        assert frames is not None
        assert motion is not None
        assert frames.times[0] == motion.times[0] == -0.5
        shifted = decode_motion(late, origin=0.0)
        assert shifted is not None
        assert shifted.times[0] == 0.0

    def test_no_picture(self) -> None:
        data = build(Recipe(video_codec=None))
        assert sample_frames(data) is None
        assert sample_frames(data, exact=True) is None
        assert decode_motion(data) is None

    def test_motion_tells_a_moving_square_from_a_still_picture(self) -> None:
        moving, still = decode_motion(CLIP), decode_motion(build(Recipe(still=True)))
        assert moving is not None
        assert still is not None
        assert moving.energy.shape == still.energy.shape == (50,)
        assert np.allclose(moving.times, np.arange(50) / 25)
        assert np.median(moving.energy[1:]) > 10 * np.median(still.energy[1:])

    def test_one_pass_gives_the_same(self) -> None:
        picture_, frames, motion = decode_picture(CLIP, 6), sample_frames(CLIP, 6, exact=True), decode_motion(CLIP)
        assert picture_ is not None
        assert picture_.motion is not None
        assert frames is not None
        assert motion is not None
        assert np.array_equal(picture_.frames.pixels, frames.pixels)
        assert np.array_equal(picture_.motion.energy, motion.energy)

    def test_real_clip(self, media_dir: Path) -> None:
        data = (media_dir / "video" / "bigbuckbunny.mp4").read_bytes()
        frames = sample_frames(data, 4, exact=True)
        assert frames is not None
        assert frames.pixels.shape == (4, 202, 360, 3)
        assert np.allclose(frames.times, (np.arange(4) + 0.5) / 4 * 5.28, atol=0.05)
        assert frames.pixels.std() > 20

    def test_damaged_packets(self) -> None:
        data = bytearray(build(Recipe()))
        spoil(data, "video", list(range(10, 30)))
        with pytest.raises(MediaError, match="20 of 50 packets of the picture cannot be decoded; replace"):
            decode_motion(bytes(data))

    def test_a_lost_keyframe_leaves_nothing_to_show(self) -> None:
        options = VP8 | {"g": "99"}
        data = bytearray(build(Recipe(muxer="webm", video_codec="libvpx", audio_codec=None, video_options=options)))
        spoil(data, "video", [0])
        assert reason_of(decode_motion, bytes(data)) == FailureReason.CORRUPT_MEDIA
        assert reason_of(sample_frames, bytes(data)) == FailureReason.CORRUPT_MEDIA


class TestImages:
    def test_pictures_of_one_size(self) -> None:
        pixels = [picture(i, (40, 30)) for i in (0, 5)]
        frames = decode_images([image(pixels[0]), image(pixels[1])], duration=3.0)
        assert frames is not None
        assert np.array_equal(frames.pixels, np.stack(pixels))
        assert frames.times.tolist() == [0.75, 2.25]

    def test_another_size_is_scaled_to_the_first(self) -> None:
        frames = decode_images([image(picture(0, (40, 30))), image(picture(0, (80, 60)), "mjpeg")])
        assert frames is not None
        assert frames.pixels.shape == (2, 30, 40, 3)
        assert frames.times.tolist() == [0.0, 0.0]

    def test_transparent_is_white(self) -> None:
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[:4, :, 3] = 255
        frames = decode_images([image(pixels)])
        assert frames is not None
        assert frames.pixels[0, :4].max() == 0
        assert frames.pixels[0, 4:].min() == 255

    def test_real_picture(self, media_dir: Path) -> None:
        path = min((media_dir / "stamps").rglob("*.png"))
        frames = decode_images([path.read_bytes()])
        assert frames is not None
        assert frames.count == 1
        assert max(frames.pixels.shape[1:3]) <= 360

    def test_none(self) -> None:
        assert decode_images([]) is None

    def test_huge_picture_is_refused_before_it_is_decoded(self) -> None:
        data = image(picture(0, (400, 300)))
        limits = MediaLimits(picture_pixels=400 * 300 - 1)
        with pytest.raises(MediaError, match="image member 0 has more than 119999 pixels") as caught:
            decode_images([data], limits=limits)
        assert caught.value.reason == FailureReason.LIMIT_EXCEEDED
        # 20,000 x 20,000 pixels of which nothing follows: the header alone must be enough.
        header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
        huge = data[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]
        assert reason_of(decode_images, [huge]) in (FailureReason.LIMIT_EXCEEDED, FailureReason.CORRUPT_MEDIA)

    def test_not_a_picture(self) -> None:
        assert reason_of(decode_images, [b"no picture"]) == FailureReason.CORRUPT_MEDIA
        assert reason_of(decode_images, [image(picture(0, (40, 30)))[:60]]) == FailureReason.CORRUPT_MEDIA
