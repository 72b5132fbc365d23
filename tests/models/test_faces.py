"""Faces: found where they are, in parts of wide pictures as well; not in animals and things."""

from __future__ import annotations

from itertools import pairwise

import av
import numpy as np
import pytest
from drawn_face import draw_face

from avagent.core.errors import MissingModelError, ModelError, ParameterError
from avagent.models.embedded.faces import FACE_DETECTOR, Face, FaceDetector, distinct, network_input, overlap, squares


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.mark.parametrize(("height", "width", "x", "y", "size"), [(240, 240, 120, 130, 60), (360, 300, 180, 110, 40)])
def test_a_face_is_found_with_its_landmarks(detector, height, width, x, y, size):
    (face,) = detector.detect(draw_face(height, width, x, y, size))
    assert face.score > 0.8
    right_eye, left_eye, _, mouth, *_ = face.landmarks
    assert np.allclose(right_eye, (x - 0.35 * size, y - 0.15 * size), atol=0.12 * size)
    assert np.allclose(left_eye, (x + 0.35 * size, y - 0.15 * size), atol=0.12 * size)
    assert np.allclose(mouth, (x, y + 0.58 * size), atol=0.15 * size)
    assert face.left < right_eye[0] < left_eye[0] < face.right
    assert face.top < right_eye[1] < mouth[1] < face.bottom


def test_a_small_face_in_a_wide_picture_takes_a_closer_look(detector):
    picture = draw_face(180, 640, 500, 90, 16)
    assert detector.detect(picture, closely=False) == ()
    (face,) = detector.detect(picture)
    assert face.left < 500 < face.right
    assert 15 < face.width < 40


def test_two_faces_are_two(detector):
    picture = np.concatenate([draw_face(240, 240, 120, 120, 45), draw_face(240, 240, 120, 120, 60)], axis=1)
    found = sorted(detector.detect(picture), key=lambda f: f.left)
    assert [round(f.left + f.width / 2, -1) for f in found] == [120, 360]


def test_animals_things_and_noise_are_no_faces(detector, media_dir):
    noise = np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)
    assert detector.detect(noise) == ()
    wrong = []
    for path in sorted((media_dir / "stamps").rglob("*.png")):
        with av.open(str(path)) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        wrong += [path.name] if detector.detect(picture) else []
    assert wrong == []


def test_the_network_sees_the_whole_picture_between_bars():
    white = np.full((50, 200, 3), 255, np.uint8)
    shown, scale, (x, y) = network_input(white)
    assert shown.shape == (3, 128, 128)
    assert (scale, x, y) == (0.64, 0.0, 48.0)
    assert np.allclose(shown[:, 48:80], 1.0, atol=1e-5)
    assert np.all(shown[:, :48] == -1.0)
    assert np.all(shown[:, 80:] == -1.0)


def test_squares_cover_the_longer_side():
    assert squares(100, 90) == []
    wide = squares(640, 180)
    assert wide[0][0] == 0
    assert wide[-1][2] == 640
    assert all(later[0] < former[2] for former, later in pairwise(wide))
    assert {(b - t, r - left) for left, t, r, b in wide} == {(180, 180)}
    assert squares(180, 640) == [(t, left, b, r) for left, t, r, b in wide]


def test_of_boxes_on_one_face_the_most_probable_stays():
    def box(left, score):
        return Face(left=left, top=0.0, right=left + 10.0, bottom=10.0, landmarks=(), score=score)

    one, shifted, other = box(0.0, 0.8), box(2.0, 0.9), box(20.0, 0.85)
    assert overlap(one, shifted) == pytest.approx(80 / 120)
    assert overlap(one, other) == 0.0
    assert distinct([one, shifted, other]) == (shifted, other)


def test_an_empty_picture_is_refused(detector):
    with pytest.raises(ModelError, match="no pixels"):
        detector.detect(np.zeros((0, 10, 3), np.uint8))
    with pytest.raises(ParameterError, match="least_score"):
        FaceDetector(least_score=1.0)


def test_a_file_with_other_bytes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    (tmp_path / FACE_DETECTOR.name).write_bytes(b"not the network")
    with pytest.raises(MissingModelError, match=r"not the one that comes with avagent"):
        FaceDetector()
