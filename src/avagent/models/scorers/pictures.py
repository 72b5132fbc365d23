"""Pictures as networks of the CLIP family take them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from avagent.core.media import FloatArray, Frames

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
SPREAD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
"""Of CLIP's training pictures, RGB in [0, 1] (Radford et al. 2021)."""


def prepared(frames: Frames, side: int) -> FloatArray:
    """The middle square, scaled to `side` pixels (bicubic, antialiased) and normalised, float32 [n, 3, side, side]."""
    torch: Any = importlib.import_module("torch")
    height, width = frames.pixels.shape[1:3]
    scale = side / min(height, width)
    size = [max(side, int(height * scale)), max(side, int(width * scale))]
    pixels = torch.from_numpy(np.ascontiguousarray(frames.pixels).copy()).permute(0, 3, 1, 2)
    scaled = torch.nn.functional.interpolate(pixels, size=size, mode="bicubic", antialias=True, align_corners=False)
    top, left = round((size[0] - side) / 2), round((size[1] - side) / 2)
    middle = scaled[:, :, top : top + side, left : left + side].numpy().astype(np.float32) / 255.0
    return ((middle - MEAN[:, None, None]) / SPREAD[:, None, None]).astype(np.float32)
