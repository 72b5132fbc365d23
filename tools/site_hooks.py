"""Hooks of the documentation site (`mkdocs.yml`): pages that are made from the code, and links into the code.

Commands, recipe keys and actions have no second description that could grow old: their pages are made from the command
line's help, the schema of recipes and the parameter classes. Where the demo's recordings are at hand, each action is
heard and seen on one of them; nothing of that is committed.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tools")]

from site_actions import examples  # noqa: E402

from avagent.core.actions import ACTIONS, NOISE_FILTERS, PAPER_ACTIONS  # noqa: E402
from avagent.pipelines.cli import COMMANDS, commands  # noqa: E402
from avagent.pipelines.recipe import Recipe, shipped_recipes  # noqa: E402

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?!docs/)[^)]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    shown = dict(examples())
    pages: dict[str, str | bytes] = {"commands.md": commands_page(), "recipes.md": recipes_page()}
    pages["actions.md"] = actions_page({kind: example.html for kind, example in shown.items()})
    for example in shown.values():
        pages |= {f"actions/{name}": content for name, content in example.files.items()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Links to files of the repository become their paths: the site stands for itself."""

    def plain(found: re.Match[str]) -> str:
        target = os.path.normpath((Path("docs") / page.file.src_uri).parent / found.group(2))
        if target.startswith("docs/"):
            return found.group(0)
        text = found.group(1)
        return text if text.strip("`") in target else f"{text} (`{target}`)"

    return _OUTSIDE.sub(plain, markdown)


def commands_page() -> str:
    """Every command with its help, as the command line prints it."""
    parts = ["# Commands\n", "What `avagent COMMAND --help` prints.\n"]
    root = click.Context(commands, info_name="avagent")
    for name in COMMANDS:
        command = commands.get_command(root, name)
        if command is not None:
            text = click.Context(command, info_name=name, parent=root, max_content_width=100).get_help()
            parts.append(f"## avagent {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def recipes_page() -> str:
    """Every key of a recipe, and the shipped recipes."""
    schema = Recipe.model_json_schema()
    folder = ROOT / "src" / "avagent" / "pipelines" / "recipes"
    shipped = (
        f"### {n}\n\n```yaml\n{(folder / f'{n}.yaml').read_text('utf-8').rstrip()}\n```\n" for n in shipped_recipes()
    )
    keys = ("| key | values | default | |\n|---|---|---|---|", *_rows(schema, schema.get("$defs", {}), ""))
    return "\n".join(["# Recipes\n", _RECIPES, "## Keys\n", *keys, "\n## Shipped recipes\n", *shipped])


_RECIPES = """\
A recipe is a YAML file, or the name of a shipped one: `--recipe NAME|FILE`. `--set policy.threshold=0.9` changes one
value. Unknown keys are refused, and the nearest known one is named. All keys but those of `worker`, `max_failure_ratio`
and `failure_check_after` belong to the fingerprint by which nightly runs tell what to decide again.
"""


def _rows(schema: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, found in schema.get("properties", {}).items():
        inner = _section(found, known)
        if inner is not None and not prefix.startswith(f"{name}."):
            note = found.get("description") or inner.get("description", "").splitlines()[0]
            yield f"| **`{prefix}{name}`** | section | | {_cell(note)} |"
            yield from _rows(inner, known, f"{prefix}{name}.")
        else:
            default = "" if found.get("default", "") in ("", [], {}) else f"`{found['default']}`"
            cells = (f"`{prefix}{name}`", _values(found, known), default, found.get("description", ""))
            yield f"| {' | '.join(map(_cell, cells))} |"


def _section(found: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The section that a key holds; None: a value."""
    for option in (found, *found.get("anyOf", ())):
        inner = known.get(str(option.get("$ref", "")).rpartition("/")[2])
        if inner is not None and "properties" in inner:
            return inner
    return None


def _values(found: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "anyOf" in found:
        return " or ".join(_values(option, known) for option in found["anyOf"])
    if "$ref" in found:
        return _values(known[found["$ref"].rpartition("/")[2]], known)
    if "enum" in found:
        return ", ".join(f"`{value}`" for value in found["enum"])
    bounds = [f"{sign} {found[key]:g}" for key, sign in _BOUNDS.items() if key in found]
    if found.get("type") == "array":
        return f"list of {_values(found['items'], known)}" if "items" in found else "list"
    return " ".join([str(found.get("type", "any")), *bounds])


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def actions_page(shown: Mapping[str, str]) -> str:
    """Every action with its parameters, their bounds and defaults, and what is shown of it."""
    parts = ["# Actions\n", _ACTIONS]
    for kind, action in ACTIONS.items():
        sort = "noise filter" if kind in NOISE_FILTERS else "coordination"
        own = "" if kind in PAPER_ACTIONS else "; not of the paper's set"
        parts.append(f"## {kind}\n\n*{sort}{own}.* {inspect.getdoc(action)}\n")
        parts.append("| parameter | default | |\n|---|---|---|")
        notes = _notes(action)
        for field in fields(action):
            if field.name != "kind":
                default = "needed" if field.default is MISSING else f"`{field.default}`"
                parts.append(f"| `{field.name}` | {default} | {_cell(notes.get(field.name, ''))} |")
        parts.append(f"\n{shown.get(kind, '')}\n")
    return "\n".join(parts)


_ACTIONS = """\
A plan holds at most one noise filter and one coordination action. The paper's set is eight of the nine; `shift` is
ours. Pictures are never touched.
"""


def _notes(action: type) -> dict[str, str]:
    """The strings under the fields of a class."""
    (found,) = ast.parse(inspect.getsource(action)).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    notes: dict[str, str] = {}
    for field, note in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(note, ast.Expr):
            notes[field.target.id] = inspect.cleandoc(ast.literal_eval(note.value))
    return notes
