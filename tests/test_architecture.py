"""The rules of the layout, checked: layers, light layers, links, sizes, recipes, and what must not be committed."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import avagent
from avagent.pipelines.recipe import load_recipe, shipped_recipes

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("src", "tools", "examples", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MACHINE_PATH = re.compile(r"(?<![\w./~$}-])/(?:root|home/\w+|Users/\w+|work|tmp/\w)/?")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def at_root(monkeypatch):
    """import-linter reads the working folder, puts it on the module path, and turns loggers off."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    # It configures logging, which disables the loggers of modules that were imported before.
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.mark.usefixtures("at_root")
def test_import_contracts_hold():
    assert lint_imports(no_cache=True) == 0


@pytest.mark.usefixtures("at_root")
def test_a_wrong_import_would_break_the_contracts(tmp_path):
    """The contracts see real imports: with the layers upside down they must fail."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(c["layers"] for c in config["contracts"] if c["type"] == "layers")
    upside_down = tmp_path / "upside_down.ini"
    text = (
        "[importlinter]\nroot_package = avagent\n"
        "[importlinter:contract:layers]\nname = layers\ntype = layers\nlayers =\n"
    )
    upside_down.write_text(text + "".join(f"    {layer}\n" for layer in reversed(layers)), encoding="utf-8")
    assert lint_imports(config_filename=str(upside_down), no_cache=True) == 1


@pytest.mark.parametrize("layer", ["core", "dsp", "storage", "media", "records", "shards", "runs", "ingest", "report"])
def test_light_rooms_import_neither_beam_nor_model_runtimes(layer):
    loaded = run_python(
        "import importlib, pkgutil, sys\n"
        f"import avagent.{layer} as layer\n"
        "for module in pkgutil.walk_packages(layer.__path__, layer.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print('\\n'.join(sys.modules))\n"
    ).splitlines()
    assert f"avagent.{layer}" in loaded
    heavy = {"apache_beam", "torch", "transformers", "onnxruntime", "tensorflow"}
    assert not heavy & {name.partition(".")[0] for name in loaded}


def test_the_drawing_of_the_rooms_is_current():
    done = subprocess.run([sys.executable, "tools/draw_rooms.py", "--check"], check=False, cwd=ROOT)
    assert done.returncode == 0


def test_every_room_is_on_a_floor_and_in_the_architecture_page():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(c["layers"] for c in config["contracts"] if c["name"].startswith("floors: "))
    floors = {name.strip().removeprefix("avagent.") for layer in layers for name in layer.split("|")}
    rooms = {path.parent.name for path in (ROOT / "src" / "avagent").glob("*/__init__.py")}
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert rooms == floors
    assert {room for room in rooms if f"| `{room}` |" not in page} == set()


def test_core_needs_the_standard_library_and_numpy_only():
    loaded = run_python(
        "import importlib, pkgutil, sys\n"
        "before = set(sys.modules)\n"
        "import avagent.core as core\n"
        "for module in pkgutil.walk_packages(core.__path__, core.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print('\\n'.join(set(sys.modules) - before))\n"
    ).split()
    roots = {name.partition(".")[0] for name in loaded}
    assert roots - set(sys.stdlib_module_names) <= {"avagent", "numpy"}


@pytest.mark.parametrize("name", ["pipelines", "transforms", "models"])
def test_links_at_the_top_lead_into_the_package(name):
    link = ROOT / name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / "src" / "avagent" / name
    assert (link / "__init__.py").is_file()


def test_nothing_imports_through_the_links():
    offenders = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
        for module in _imported(path)
        if module.partition(".")[0] in {"pipelines", "transforms", "models", "src"}
    ]
    assert offenders == []


def test_every_shipped_recipe_parses():
    assert "embedded" in shipped_recipes()
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.allowed


def test_files_stay_short():
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := _lines(p)) > MAX_FILE_LINES}
    assert long == {}


def test_functions_stay_short():
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": lines
        for path in SOURCES
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _code_lines(function)) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_no_assert_outside_tests():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_no_machine_paths_in_tracked_files():
    found = [
        f"{name}:{number}: {match.group()}"
        for name in _tracked()
        if name != "tests/test_architecture.py" and (text := _text(ROOT / name)) is not None
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := MACHINE_PATH.search(line))
    ]
    assert found == []


def test_no_media_or_weights_are_committed_but_our_adapter_and_the_converted_networks():
    ours = {
        "src/avagent/models/embedded/data/blazeface.onnx",
        "src/avagent/models/embedded/data/efficientnet-lite2.onnx",
        "src/avagent/models/embedded/data/facemesh.onnx",
        "src/avagent/models/llm/adapters/smollm2-planner/adapter_model.safetensors",
    }
    suffixes = (
        ".mp4",
        ".mkv",
        ".webm",
        ".wav",
        ".ogg",
        ".mp3",
        ".flac",
        ".g722",
        ".onnx",
        ".pth",
        ".pt",
        ".safetensors",
    )
    assert {name for name in _tracked() if name.endswith(suffixes)} == ours


def test_every_fetched_package_has_its_licence_noted():
    notes = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    fetched = re.findall(r'package="([a-z][a-z0-9-]+)', _text(ROOT / "tools/fetch_media.py") or "")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        re.split(r"[<>=\[;]", requirement)[0]
        for group, requirements in project["optional-dependencies"].items()
        if group != "dev"
        for requirement in requirements
    ]
    core = [re.split(r"[<>=\[;]", requirement)[0] for requirement in project["dependencies"]]
    by_hand = re.findall(
        r"^([a-zA-Z][\w-]+)==", "\n".join(p.read_text() for p in (ROOT / "requirements").glob("*.txt")), re.MULTILINE
    )
    assert len(fetched) == 15
    assert [name for name in [*core, *extras, *fetched, *by_hand] if f"`{name}`" not in notes] == []


def test_the_changelog_knows_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{avagent.__version__}]" in changelog or "## [Unreleased]" in changelog


def _imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
    return names


def _lines(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def _tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_applying_decisions_loads_no_model_runtime():
    """Beam's inference module imports torch where it is installed: only what decides may import it."""
    code = (
        "import sys, avagent.pipelines.commands.apply\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
