#!/bin/sh
# Print the Python that the project's environment is made from: 3.11 or newer, with the venv module.
# $PYTHON, if set, is the only candidate.
usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}
for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    usable "$candidate" || continue
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
    without_venv=$candidate
done
if [ -n "$without_venv" ]; then
    echo "$without_venv has no venv module: install it (on Debian and Ubuntu: the package ${without_venv##*/}-venv)" >&2
else
    echo "Python 3.11 or newer is needed; tried: ${PYTHON:-python3.11 python3.12 python3.13 python3}." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3 ..." >&2
fi
exit 1
