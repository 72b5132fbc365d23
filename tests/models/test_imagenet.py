from __future__ import annotations

import numpy as np
import pytest
from views import picture

from avagent.core.errors import ModelError
from avagent.core.media import Frames
from avagent.models.embedded.imagenet import ImageNetTagger, image_classes, pick, square


@pytest.fixture(scope="module")
def network() -> ImageNetTagger:
    return ImageNetTagger()


def frames(*levels: int) -> Frames:
    pixels = np.stack([np.full((20, 30, 3), v, np.uint8) for v in levels])
    return Frames(pixels, np.arange(len(levels), dtype=np.float64))


def test_the_table_holds_all_classes_in_the_order_of_the_outputs():
    classes = image_classes()
    wnids = [c.wnid for c in classes]
    assert len(wnids) == len(set(wnids)) == 1000
    assert wnids == sorted(wnids)
    assert all(c.lemmas[0] and c.hypernyms[0] for c in classes)


@pytest.mark.parametrize(
    ("index", "label", "above"),
    [
        (7, "cock", "bird"),
        (207, "golden retriever", "dog"),
        (555, "fire engine", "motor vehicle"),
        (889, "violin", None),
    ],
)
def test_known_classes(index, label, above):
    entry = image_classes()[index]
    assert entry.label == label
    assert above is None or above in entry.hypernyms


@pytest.mark.parametrize(
    ("stem", "labels"),
    [
        ("vehicles/emergency/firetruck", {"fire engine"}),
        ("hobbies/music/string/violin", {"violin"}),
        ("animals/mammals/cats/tiger", {"tiger"}),
        ("animals/birds/rooster", {"cock"}),
    ],
)
def test_real_pictures_get_their_names(network, media_dir, stem, labels):
    seen = network.probabilities(picture(media_dir / "stamps" / f"{stem}.png"))
    assert seen.sum() == pytest.approx(1.0, abs=1e-3)
    assert image_classes()[int(seen.argmax())].label in labels


def test_frames_are_averaged(network):
    both = network.probabilities(frames(40, 200))
    one, other = network.probabilities(frames(40)), network.probabilities(frames(200))
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 3, 500, 3), (1, 500, 3, 3)])
def test_odd_pictures_are_tagged(network, shape):
    seen = network.probabilities(Frames(np.zeros(shape, np.uint8), np.zeros(1)))
    assert np.isfinite(seen).all()


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 0, 8, 3)])
def test_no_pixels_are_refused(network, shape):
    with pytest.raises(ModelError, match="no pixels"):
        network.probabilities(Frames(np.zeros(shape, np.uint8), np.zeros(shape[0])))


def test_the_square_is_central():
    image = np.arange(40 * 80, dtype=np.uint32).astype(np.uint8).reshape(40, 80, 1).repeat(3, axis=2)
    cut = square(image)
    assert cut.shape == (35, 35, 3)
    np.testing.assert_array_equal(cut, image[2:37, 22:57])


def test_pick_spreads_over_the_clip():
    np.testing.assert_array_equal(pick(frames(*range(9)), 3).times, [0.0, 4.0, 8.0])
    np.testing.assert_array_equal(pick(frames(1, 2), 5).times, [0.0, 1.0])


def test_pick_looks_once_at_a_still():
    assert pick(frames(7, 7, 7, 7), 4).count == 1
    np.testing.assert_array_equal(pick(frames(7, 7, 9, 9), 4).times, [0.0, 2.0])
