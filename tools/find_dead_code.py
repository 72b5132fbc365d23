"""Report functions, classes, methods and imports that nothing but tests uses, by vulture. Exit code 1 if there are any.

Variables and attributes are left out: fields of records are read through `dataclasses.asdict`, and attributes of PyAV
and onnxruntime objects are settings.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).resolve().parent.parent
PATHS = ("src", "bench", "examples", "tools")
REPORTED = frozenset({"class", "function", "import", "method", "property", "unreachable_code"})
CALLED_BY_OTHERS = (
    # apache_beam calls these of a PTransform, DoFn, CombineFn, Coder or ModelHandler
    *("expand", "process", "setup", "teardown", "start_bundle", "finish_bundle"),
    *("create_accumulator", "add_input", "merge_accumulators", "extract_output"),
    *("load_model", "run_inference", "get_num_bytes", "batch_elements_kwargs", "get_metrics_namespace"),
    *("share_model_across_processes", "model_copies", "validate_inference_args", "update_model_path"),
    *("should_garbage_collect_on_timeout", "_add_argparse_args", "get_preprocess_fns", "override_metrics"),
    # readers of file-like objects (av, pyarrow)
    *("readable", "readinto", "seekable", "tell", "writable"),
    # a trainer of transformers, and its callbacks
    *("compute_loss", "on_log"),
    # mkdocs, of a module of hooks
    *("on_files", "on_page_markdown"),
    # click.Group
    *("list_commands", "get_command", "format_commands"),
    # Python, of a module; notebooks, of what is to be shown
    *("__getattr__", "__dir__", "_repr_html_"),
)
CALLED_BY_USERS = ("apply_all", "read_clips", "RefinedClips")  # doors for scripts and training code
CALLED_BY_DECORATOR = ("@*.command", "@*.group", "@*.callback", "@field_validator", "@model_validator", "@*_serializer")


def named_in_registry() -> list[str]:
    """Classes that the model registry names by import path."""
    return re.findall(r'"[\w.]+:(\w+)"', (ROOT / "src/avagent/models/registry.py").read_text(encoding="utf-8"))


def main() -> int:
    """The command; answers its exit code."""
    names = [*CALLED_BY_OTHERS, *CALLED_BY_USERS, *named_in_registry()]
    finder = Vulture(ignore_names=names, ignore_decorators=list(CALLED_BY_DECORATOR))
    finder.scavenge([str(ROOT / path) for path in PATHS if (ROOT / path).is_dir()])
    unused = [item for item in finder.get_unused_code(min_confidence=60) if item.typ in REPORTED]
    for item in unused:
        where = Path(item.filename).relative_to(ROOT)
        print(f"{where}:{item.first_lineno}: unused {item.typ} {item.name!r}")
    print(f"dead code: {len(unused)} found")
    return 1 if unused else 0


if __name__ == "__main__":
    sys.exit(main())
