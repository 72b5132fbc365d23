"""What media may declare, decode to, and cost, before a clip is given up.

The names of the fields are the keys of the recipe's section `limits`, and messages name them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from avagent.core.errors import FailureReason, MediaError, ParameterError

SECTION = "limits"
"""The recipe's section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What a member may declare or decode to before it is refused.

    Attributes:
        media_seconds: duration in s, declared or decoded.
        picture_side: width or height in pixels.
        picture_pixels: width times height.
        pictures: of one stream, declared, packed or decoded.
        channels: audio channels.
        sample_rate: of the sound, in Hz.
        streams: in one container.
        sound_bytes: size of the decoded sound in bytes (float32).
        damaged_packets: share of a stream's packets that may fail to decode, in [0, 1]; one packet always may.
    """

    media_seconds: float = 7200.0
    picture_side: int = 16384
    picture_pixels: int = 1 << 26
    pictures: int = 1_000_000
    channels: int = 32
    sample_rate: int = 384_000
    streams: int = 64
    sound_bytes: int = 2 << 30
    damaged_packets: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0 and field.name != "damaged_packets":
                raise ParameterError(f"{field.name} must be positive, got {getattr(self, field.name)}")
        if not 0 <= self.damaged_packets <= 1:
            raise ParameterError(f"damaged_packets must lie in [0, 1], got {self.damaged_packets}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What decoding and encoding one clip may cost; enforced on a process that can be killed.

    Attributes:
        decode_seconds: wall time in s of all decoding that one clip needs before it is written, and of what writing it
            needs; None: media are decoded in the worker's own process, and nothing bounds time or memory.
        decode_memory_mib: memory in MiB that the decoder may claim beyond what it starts with.
    """

    decode_seconds: float | None = 120.0
    decode_memory_mib: int = 6144

    def __post_init__(self) -> None:
        if self.decode_seconds is not None and not self.decode_seconds > 0:
            raise ParameterError(f"decode_seconds must be positive, or null for no limit, got {self.decode_seconds}")
        if self.decode_memory_mib < 1:
            raise ParameterError(f"decode_memory_mib must be at least 1, got {self.decode_memory_mib}")


DEFAULT_LIMITS = MediaLimits()
DEFAULT_DECODING = DecodeLimits()


def over_limit(message: str, limit: str) -> MediaError:
    """The error for media beyond the limit of this name."""
    return MediaError(
        f"{message}; cut the clip, or raise {SECTION}.{limit} in the recipe if it is meant to be so",
        reason=FailureReason.LIMIT_EXCEEDED,
    )
