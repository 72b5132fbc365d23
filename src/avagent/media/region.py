"""One part of every picture: what a face needs that is looked at closely."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from avagent.core.media import ByteArray, Frames
from avagent.core.region import Region
from avagent.media.demux import open_media
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.picture import decode_all, read_track
from avagent.media.pyav import pixels_of


def decode_region(
    data: bytes, region: Region, *, origin: float | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> Frames | None:
    """A part of every picture; None: no moving picture. Times as in :func:`avagent.media.picture.sample_frames`.

    Raises:
        MediaError: as :func:`avagent.media.picture.sample_frames`.
    """
    with open_media(data, limits) as container:
        track = read_track(container, origin, limits)
        if track is None:
            return None
        cut = _Cut(region)
        step = max(1, int(np.ceil(float(track.stream.average_rate or 25) / region.fastest)))
        kept: list[tuple[ByteArray, float]] = []
        for index, (frame, time) in enumerate(decode_all(track, limits)):
            if index % step == 0 and time >= region.start:
                kept.append((cut(frame), time))
            if len(kept) == region.most:
                break
        if not kept:
            return None
        return Frames(np.stack([pixels for pixels, _ in kept]), np.array([time for _, time in kept], np.float64))


class _Cut:
    """Makes upright RGB pictures of the region, all of the first one's size."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._scaler = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._turns = 0

    def __call__(self, frame: VideoFrame) -> ByteArray:
        part = self._region
        if self._size is None:
            self._turns = round(frame.rotation / 90) % 4
            wide, high = (frame.height, frame.width) if self._turns % 2 else (frame.width, frame.height)
            side = max((part.right - part.left) * wide, (part.bottom - part.top) * high)
            scale = min(1.0, part.max_side / side)
            self._size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        width, height = self._size
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BILINEAR
        )
        upright = np.rot90(pixels_of(scaled), self._turns)
        high, wide = upright.shape[:2]
        left, top = int(part.left * wide), int(part.top * high)
        right, bottom = max(left + 1, int(np.ceil(part.right * wide))), max(top + 1, int(np.ceil(part.bottom * high)))
        return np.ascontiguousarray(upright[top:bottom, left:right])
