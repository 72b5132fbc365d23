"""A face that is drawn: real ones are not ours to commit."""

from __future__ import annotations

import numpy as np

SKIN, HAIR, BROW, MOUTH = (224, 172, 140), (60, 40, 30), (70, 45, 35), (170, 80, 80)


def draw_face(height: int, width: int, x: float, y: float, size: float, mouth: float = 0.09) -> np.ndarray:
    """Before a grey wall, uint8 [height, width, 3]; `size` is half the face's width, `mouth` half the lips' height."""
    picture = np.full((height, width, 3), 150.0)
    rows, columns = np.mgrid[:height, :width]

    def disc(at_x: float, at_y: float, wide: float, high: float, colour: tuple[int, int, int], soft: float = 0.08):
        radius = np.hypot((columns - x - at_x * size) / (wide * size), (rows - y - at_y * size) / (high * size))
        share = np.clip((1.0 - radius) / soft, 0.0, 1.0)[..., None]
        picture[:] = picture * (1.0 - share) + np.array(colour) * share

    disc(0.0, -0.25, 1.05, 1.3, HAIR)
    disc(0.0, 0.0, 0.85, 1.15, SKIN, 0.25)
    for side in (-1, 1):
        disc(0.35 * side, -0.32, 0.2, 0.05, BROW)
        disc(0.35 * side, -0.15, 0.16, 0.08, (245, 240, 238))
        disc(0.35 * side, -0.15, 0.075, 0.08, (40, 30, 30))
        disc(0.06 * side, 0.28, 0.04, 0.03, (120, 80, 70))
    disc(0.0, 0.15, 0.1, 0.28, (205, 150, 120), 0.6)
    disc(0.0, 0.58, 0.32, mouth, MOUTH)
    return picture.astype(np.uint8)
