"""One part of every picture of a clip, to be looked at closely."""

from __future__ import annotations

from dataclasses import dataclass

from avagent.core.errors import ParameterError

_LEAST_SIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the upright picture, in shares of its width and height, and how it is to be handed out.

    Attributes:
        left, top, right, bottom: in [0, 1].
        start: pictures before it are left out, in s; None: none.
        max_side: it is scaled down to at most so many pixels a side.
        most: pictures at most; of a longer clip the first ones from `start` on.
        fastest: pictures per second at most, about; of more only some are handed out.

    Raises:
        ParameterError: an empty part, or one outside of the picture; bounds that are not positive.
    """

    left: float
    top: float
    right: float
    bottom: float
    start: float | None = None
    max_side: int = 256
    most: int = 256
    fastest: float = 31.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.left < self.right <= 1.0 and 0.0 <= self.top < self.bottom <= 1.0):
            raise ParameterError(f"a region is a part of the picture in shares of its sides, got {self}")
        if self.max_side < _LEAST_SIDE or self.most < 1 or not self.fastest > 0.0:
            raise ParameterError(f"max_side >= {_LEAST_SIDE}, most >= 1 and fastest > 0 are needed, got {self}")
