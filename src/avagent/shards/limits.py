"""What a shard may claim, and what is wrong with an entry that claims more."""

from __future__ import annotations

from dataclasses import dataclass, fields

from avagent.core.errors import FailureReason, ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """What a shard may claim before it is refused.

    Attributes:
        member_bytes: size of one member.
        sample_bytes: size of one sample, headers included: bounds the memory of one step.
        members: members of one sample.
        header_bytes: one extension header (long name, PAX).
        entries: of one shard, extension headers included; of a TFRecord, records.
        expansion: how many times its size a compressed shard may expand to, above the first 256 MiB.
    """

    member_bytes: int = 2 << 30
    sample_bytes: int = 2 << 30
    members: int = 4096
    header_bytes: int = 1 << 20
    entries: int = 1_000_000
    expansion: int = 200

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ParameterError(f"{field.name} must be at least 1, got {getattr(self, field.name)}")


DEFAULT_LIMITS = ShardLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What is wrong with an entry; the archive can be read on after it."""

    reason: FailureReason
    message: str


def limit_defect(message: str, limit: str) -> Defect:
    """What is beyond the limit of this name."""
    return Defect(reason=FailureReason.LIMIT_EXCEEDED, message=f"{message} (recipe: limits.{limit})")
