"""Fill `.cache/bench` with recordings of other kinds and sources than those of the tests, for benchmarks only.

    python tools/fetch_bench_media.py [--to .cache/bench]

Music, speech of other languages, machines and ambience, from Debian packages, as `fetch_media.py` takes them; digests:
`bench_media.sha256`; licences: `docs/licences.md`. Groups in `SETTING` are for setting limits, the others for
reporting: no source is in both.
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
}
"""By group: the first part of the paths in `bench_media.sha256`."""

SETTING = frozenset({"hyperrogue", "muldjord", "colobot", "oxygen", "searchandrescue", "fillets-cs", "asterisk-ru"})
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
}


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
