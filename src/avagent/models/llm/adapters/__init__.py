"""Adapters that come with AVAgent, a folder each: weights as safetensors, their configuration, their card."""

from __future__ import annotations

from pathlib import Path

from avagent.core.errors import MissingModelError

SHIPPED = "shipped:"
"""What a recipe writes before the name of one of them."""


def adapter_folder(adapter: str) -> Path:
    """The folder of an adapter: a path, or `shipped:NAME`.

    Raises:
        MissingModelError: none of that name comes with AVAgent.
    """
    if not adapter.startswith(SHIPPED):
        return Path(adapter).expanduser()
    here = Path(__file__).parent
    known = sorted(p.name for p in here.iterdir() if (p / "adapter_config.json").is_file())
    name = adapter.removeprefix(SHIPPED)
    if name not in known:
        raise MissingModelError(f"no adapter {name!r} comes with AVAgent; there is: {', '.join(known) or 'none'}")
    return here / name
