#!/bin/sh
# pip install, with what it fetches and the size of each file. Usage: pip_install.sh PYTHON ARGUMENTS...
# On a terminal pip shows its own progress bars; in a log only the lines that tell something are kept.
python=$1
shift
if [ -t 1 ]; then
    exec "$python" -m pip --disable-pip-version-check install "$@"
fi
# Without `pipefail`, which not every sh has: pip's exit status is the last line.
{ "$python" -m pip --disable-pip-version-check install --progress-bar off "$@" 2>&1; echo "exit status $?"; } | awk '
    /^exit status [0-9]+$/ { status = $3; next }
    /\.metadata/ { next }
    /^ *(Downloading|Using cached|Installing collected|Successfully installed|ERROR|WARNING|error)/ {
        print; fflush(); next
    }
    /^(Requirement already|Collecting|Obtaining|Looking in|Ignoring|Preparing|Building|Created|Stored|Processing|Attempting)/ { next }
    /^ *(Installing build|Checking|Getting|Preparing|Building|Created|Stored|Found existing|Uninstalling|Successfully uninstalled|Attempting)/ { next }
    { print; fflush() }
    END { exit status == "" ? 1 : status }'
