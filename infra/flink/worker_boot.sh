#!/usr/bin/env bash
# The `command` of a PROCESS environment; AVAGENT_PYTHON: the Python that has avagent, else the repository's .venv.
here="$(cd "$(dirname "$0")" && pwd)"
exec "${AVAGENT_PYTHON:-$here/../../.venv/bin/python}" "$here/worker_boot.py" "$@"
