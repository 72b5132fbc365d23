"""Steady sounds that belong to the programme: an engine, a tap, a waterfall that is seen. Not to be filtered away."""

from __future__ import annotations

from avagent.core.captions import Caption, Captions

SURE = 0.3
"""Confidence, summed over the tags of a group, from which the programme is taken to be steady."""

MACHINES_AND_VESSELS = frozenset(
    {
        "Engine",
        "Idling",
        "Accelerating, revving, vroom",
        "Medium engine (mid frequency)",
        "Heavy engine (low frequency)",
        "Light engine (high frequency)",
        "Engine knocking",
        "Lawn mower",
        "Chainsaw",
        "Power tool",
        "Motorboat, speedboat",
        "Motorcycle",
        "Race car, auto racing",
        "Aircraft",
        "Aircraft engine",
        "Jet engine",
        "Propeller, airscrew",
        "Helicopter",
        "Fixed-wing aircraft, airplane",
        "Vacuum cleaner",
        "Hair dryer",
        "Blender",
        "Microwave oven",
        "Mechanical fan",
        "Air conditioning",
        "Sewing machine",
        "Electric shaver, electric razor",
        "Pump (liquid)",
        "Toilet flush",
        "Bathtub (filling or washing)",
        "Sink (filling or washing)",
        "Water tap, faucet",
        "Pour",
        "Fill (with liquid)",
        "Frying (food)",
        "Boiling",
        "Applause",
    }
)
"""Noise of no common kind is tagged as one of these too rarely to matter."""

WATER_AND_WEATHER = frozenset(
    {
        "Water",
        "Waterfall",
        "Stream",
        "Rain",
        "Raindrop",
        "Rain on surface",
        "Ocean",
        "Waves, surf",
        "Steam",
        "Wind",
        "Rustling leaves",
        "Gurgling",
    }
)
"""White and pink noise are often tagged as one of these: they count only where the picture shows why."""

WATER_PLACES = frozenset(
    {
        "seashore",
        "lakeside",
        "sandbar",
        "promontory",
        "breakwater",
        "dam",
        "fountain",
        "geyser",
        "valley",
        "cliff",
        "alp",
        "umbrella",
        "canoe",
        "speedboat",
        "catamaran",
        "trimaran",
        "dock",
        "pier",
    }
)


MUSIC = frozenset({"Music", "Musical instrument", "Singing", "Guitar", "Drum", "Orchestra", "Synthesizer"})
"""An arrangement may be as dense as noise: distorted guitars, cymbals, pads."""


def music_is_heard(captions: Captions) -> bool:
    """Whether the sound is likely music, or has music in it."""
    return _named(captions.audio, MUSIC) >= SURE


def steady_programme(captions: Captions) -> bool:
    """Whether a steady floor is likely what the clip is about."""
    if _named(captions.audio, MACHINES_AND_VESSELS) >= SURE:
        return True
    return _named(captions.audio, WATER_AND_WEATHER) >= SURE and _named(captions.video, WATER_PLACES) >= SURE


def _named(caption: Caption | None, labels: frozenset[str]) -> float:
    return sum(tag.confidence for tag in caption.tags if tag.label in labels) if caption is not None else 0.0
