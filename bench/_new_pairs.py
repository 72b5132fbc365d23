"""Pictures and sounds that no rule, threshold or calibration was chosen with, by what they show and sound like.

Pictures: stamps that come without a sound of their own. Sounds: of other packages. Both were paired by their names,
before any figure was seen, and are measured as they are. Fetched by `tools/fetch_bench_media.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "bench"
PICTURES: Mapping[str, tuple[str, ...]] = {
    "bird": (
        *("silver-gull", "albino_peahen", "rainbow-lorikeet", "helmeted_guineafowl", "pigeon", "pink_flamingo"),
        *("chicken_profile", "peacock", "magpie", "adelaide-rosella", "pelican", "crowned_crane", "heron_greatblue"),
    ),
    "motor vehicle": (
        *("beetle", "sportscar2", "sedan", "truck", "indycar", "sedan_police", "garbagetruck", "dumper"),
        *("wheel_tractor", "green_korean_bus"),
    ),
    "aircraft": ("747", "f22_raptor"),
    "guitar": ("guitar_classical", "guitar2", "guitar_electric", "guitar_electric_bass"),
    "trumpet": ("trumpet",),
    "dog": ("dingo",),
    "horse": ("donkey_eating",),
    "pig": ("wildboar",),
    "fire": ("fire",),
    "explosion": ("explosion",),
    "gun": ("ww2_german_gun",),
    "boat": ("chineseJunk", "walnutBoat"),
}
SOUNDS: Mapping[str, tuple[str, ...]] = {
    "bird": (
        "wesnoth-sounds/ambient/birds1.ogg",
        "wesnoth-sounds/ambient/birds2.ogg",
        "wesnoth-sounds/ambient/birds3.ogg",
        "sonic-pi/misc_crow.flac",
    ),
    "motor vehicle": (
        "torcs/206_engine.wav",
        "torcs/944.wav",
        "torcs/f360.wav",
        "torcs/ferrarif50.wav",
        "torcs/lotus.wav",
        "torcs/mclarenf1.wav",
        "torcs/porsche_engine.wav",
        "torcs/viper_long.wav",
    ),
    "aircraft": ("searchandrescue/jet_engine_outside.wav", "searchandrescue/jet_engine_inside.wav"),
    "guitar": (
        "sonic-pi/guit_em9.flac",
        "sonic-pi/guit_e_slide.flac",
        "sonic-pi/guit_harmonics.flac",
        "lmms/instruments/steel_guitar01.ogg",
    ),
    "trumpet": ("lmms/instruments/trumpet01.ogg",),
    "dog": ("wesnoth-sounds/wolf-growl-1.ogg",),
    "horse": ("wesnoth-sounds/horse-canter.wav",),
    "pig": ("wesnoth-sounds/tusker-die.ogg",),
    "fire": ("wesnoth-sounds/ambient/campfire.ogg",),
    "explosion": ("lmms/effects/explode01.ogg",),
    "gun": ("wesnoth-sounds/gunshot.wav",),
    "boat": ("wesnoth-sounds/ambient/ship.ogg",),
}


def new_pairs(folder: Path = FOLDER) -> Iterator[tuple[str, Path, Path]]:
    """Kind, picture and sound; the sounds of a kind go round."""
    stamps = {path.stem: path for path in (folder / "silent-stamps").rglob("*.png")}
    for kind, names in PICTURES.items():
        for i, name in enumerate(names):
            yield kind, stamps[name], folder / SOUNDS[kind][i % len(SOUNDS[kind])]
