"""Names of members and keys, which are not to be trusted."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def unsafe_name(name: str) -> str | None:
    """Why a member's name cannot be trusted, or None. Names are never used as paths; hostile ones are refused still."""
    if not name:
        return "an empty name"
    if "\0" in name:
        return "a NUL character in its name"
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "a path that leaves its folder ('..')"
    return None
