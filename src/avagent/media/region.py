"""One part of every picture: what a face needs that is looked at closely."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from avagent.core.media import ByteArray, Frames
from avagent.core.region import Region
from avagent.media.demux import corrupt
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.picture import all_pictures
from avagent.media.pyav import pixels_of

_EVENLY = 0.05
"""Part of the interval by which times of evenly spread pictures may differ, as they are rounded."""


def decode_region(
    data: bytes, region: Region, *, origin: float | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> Frames | None:
    """A part of every picture; None: no moving picture. Times as in :func:`avagent.media.picture.sample_frames`.

    Raises:
        MediaError: as :func:`avagent.media.picture.sample_frames`.
    """
    cut, least = _Cut(region), (1.0 - _EVENLY) / region.fastest
    times: list[float] = []
    # Filled as they come: pictures that are put together at the end are copied once more, 50 MB of them.
    pixels: ByteArray | None = None
    for frame, time in all_pictures(data, origin=origin, limits=limits):
        if region.start is not None and time < region.start:
            continue
        if not times or time - times[-1] >= least:
            picture = cut(frame)
            if pixels is None:
                pixels = np.empty((region.most, *picture.shape), np.uint8)
            pixels[len(times)] = picture
            times.append(time)
        if len(times) == region.most:
            break
    return None if pixels is None else Frames(pixels[: len(times)], np.array(times, np.float64))


class _Cut:
    """Makes upright RGB pictures of the region, all of the first one's size.

    FFmpeg's filters cut before they scale and convert: a third of the time of doing that with whole pictures.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._graph: Graph | None = None
        self._form: tuple[int, int, str] | None = None
        self._size: tuple[int, int] | None = None
        self._turns = 0

    def __call__(self, frame: VideoFrame) -> ByteArray:
        form = frame.width, frame.height, frame.format.name
        if self._graph is None or form != self._form:
            self._graph, self._form = self._build(frame), form
        self._graph.push(frame)
        cut = self._graph.pull()
        if not isinstance(cut, VideoFrame):
            raise corrupt("a picture of the video stream cannot be scaled")
        return np.ascontiguousarray(np.rot90(pixels_of(cut), self._turns))

    def _build(self, frame: VideoFrame) -> Graph:
        if self._size is None:
            self._turns = round(frame.rotation / 90) % 4
        left, top, right, bottom = self._stored()
        x, y = int(left * frame.width), int(top * frame.height)
        width = max(1, min(frame.width - x, round((right - left) * frame.width)))
        height = max(1, min(frame.height - y, round((bottom - top) * frame.height)))
        if self._size is None:
            scale = min(1.0, self._region.max_side / max(width, height))
            self._size = max(1, round(width * scale)), max(1, round(height * scale))
        graph = Graph()
        steps = [
            graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or _CLOCK
            ),
            graph.add("crop", f"{width}:{height}:{x}:{y}"),
            graph.add("scale", f"{self._size[0]}:{self._size[1]}:flags=bilinear"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        for first, second in pairwise(steps):
            first.link_to(second)
        graph.configure()
        return graph

    def _stored(self) -> tuple[float, float, float, float]:
        """The region's left, top, right and bottom in the pictures as they are stored, before they are turned."""
        left, top, right, bottom = self._region.left, self._region.top, self._region.right, self._region.bottom
        for _ in range(self._turns):
            # One turn to the left brings the point (x, y) of the stored picture to (y, 1 - x) of the upright one.
            left, top, right, bottom = 1.0 - bottom, left, 1.0 - top, right
        return left, top, right, bottom


_CLOCK = Fraction(1, 1000)
