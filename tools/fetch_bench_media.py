"""Fill `.cache/bench` with recordings of other kinds and sources than those of the tests, for benchmarks only.

    python tools/fetch_bench_media.py [--to .cache/bench]

Music, speech of other languages, machines and ambience, from Debian packages, as `fetch_media.py` takes them; digests:
`bench_media.sha256`; licences: `docs/licences.md`. Limits were chosen with the groups of `SETTING` in view;
`REPORTING` is for figures alone. No source is in both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from fetch_media import ROOT, Source, fetch, lacking, read_manifest

MANIFEST = Path(__file__).with_name("bench_media.sha256")


def _debian(package: str, inside: str, megabytes: int) -> Source:
    return Source(kind="debian", package=package, inside=inside, megabytes=megabytes)


SOURCES: Mapping[str, Source] = {
    "hyperrogue": _debian("hyperrogue-music", "usr/share/hyperrogue", 61),
    "muldjord": _debian("fretsonfire-songs-muldjord", "usr/share/games/fretsonfire/data/songs/muldjord", 20),
    "colobot": _debian("colobot-common-sounds", "usr/share/games/colobot", 58),
    "oxygen": _debian("oxygen-sounds", "usr/share/sounds", 2),
    "searchandrescue": _debian("searchandrescue-data", "usr/share/games/searchandrescue/sounds", 46),
    "fillets-cs": _debian("fillets-ng-data-cs", "usr/share/games/fillets-ng/sound", 40),
    "asterisk-ru": _debian("asterisk-core-sounds-ru-g722", "usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU", 11),
    "drascula": _debian("drascula-music", "usr/share/scummvm/drascula/audio", 35),
    "singularity": _debian("singularity-music", "usr/share/games/singularity/music", 50),
    "blupi": _debian("planetblupi-music-ogg", "usr/share/planetblupi/music", 20),
    "sectoid": _debian("fretsonfire-songs-sectoid", "usr/share/games/fretsonfire/data/songs/sectoid", 20),
    "lincity": _debian("lincity-ng-data", "usr/share/games/lincity-ng/sounds", 45),
    "simutrans": _debian("simutrans-pak64", "usr/share/games/simutrans/pak/sound", 3),
    "moon-lander": _debian("moon-lander-data", "usr/share/games/moon-lander/sounds", 2),
    "fillets-nl": _debian("fillets-ng-data-nl", "usr/share/games/fillets-ng/sound", 32),
    "asterisk-it": _debian("asterisk-core-sounds-it-g722", "usr/share/asterisk/sounds/it_IT_m_Carlo", 10),
    "sonic-pi": _debian("sonic-pi-samples", "usr/share/sonic-pi/samples", 21),
    "lmms": _debian("lmms-common", "usr/share/lmms/samples", 8),
    "etr": _debian("extremetuxracer-data", "usr/share/games/etr", 40),
    "frozen-bubble": _debian("frozen-bubble-data", "usr/share/games/frozen-bubble/snd", 21),
    "horizons-music": _debian("unknown-horizons", "usr/share/unknown-horizons/content/audio/music", 248),
    "horizons-sounds": _debian("unknown-horizons", "usr/share/unknown-horizons/content/audio/sounds", 248),
    "horizons-voice": _debian("unknown-horizons", "usr/share/unknown-horizons/content/audio/voice", 248),
    "wesnoth-music": _debian("wesnoth-1.16-music", "usr/share/games/wesnoth/1.16/data/core/music", 153),
    "wesnoth-sounds": _debian("wesnoth-1.16-data", "usr/share/games/wesnoth/1.16/data/core/sounds", 146),
    "torcs": _debian("torcs-data", "usr/share/games/torcs/data/sound", 333),
    "asterisk-es": _debian("asterisk-core-sounds-es-g722", "usr/share/asterisk/sounds/es_MX_f_Allison", 13),
    "lomiri": _debian("lomiri-sounds", "usr/share/sounds/lomiri/ringtones", 18),
    "hedgewars": _debian("hedgewars-data", "usr/share/games/hedgewars/Data/Music", 145),
    "silent-stamps": _debian("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps", 161),
}
"""By group: the first part of the paths in `bench_media.sha256`."""

KINDS: Mapping[str, str] = {
    "hyperrogue": "music",
    "muldjord": "music",
    "colobot": "effects",
    "oxygen": "effects",
    "searchandrescue": "machines",
    "fillets-cs": "speech",
    "asterisk-ru": "speech",
    "drascula": "music",
    "singularity": "music",
    "blupi": "music",
    "sectoid": "music",
    "lincity": "ambience and machines",
    "simutrans": "ambience and machines",
    "moon-lander": "machines",
    "fillets-nl": "speech",
    "asterisk-it": "speech",
    "sonic-pi": "instruments and ambience",
    "lmms": "instruments and ambience",
    "etr": "music",
    "frozen-bubble": "effects",
    "horizons-music": "music",
    "horizons-sounds": "ambience and crafts",
    "horizons-voice": "speech",
    "wesnoth-music": "music",
    "wesnoth-sounds": "animals and impacts",
    "torcs": "machines",
    "asterisk-es": "speech",
    "lomiri": "instruments",
    "hedgewars": "music",
}
REPORTING = frozenset(
    {
        "horizons-music",
        "horizons-sounds",
        "horizons-voice",
        "wesnoth-music",
        "wesnoth-sounds",
        "torcs",
        "asterisk-es",
        "lomiri",
        "hedgewars",
    }
)
SETTING = frozenset(KINDS) - REPORTING


def main(arguments: list[str] | None = None) -> int:
    """The command; answers its exit code: 1 if something is missing."""
    parser = argparse.ArgumentParser(description="Fetch recordings for benchmarks.")
    parser.add_argument("--to", type=Path, default=ROOT / ".cache" / "bench", help="folder to fill")
    folder = parser.parse_args(arguments).to
    manifest = read_manifest(MANIFEST)
    wanted = lacking(folder, manifest)
    faults = fetch(folder, manifest, wanted, SOURCES) if wanted else []
    still = lacking(folder, manifest) if wanted else []
    if not still:
        print(f"bench media: all {len(manifest)} files are in {folder}")
        return 0
    print(f"bench media: {len(still)} of {len(manifest)} files are MISSING from {folder}:", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
