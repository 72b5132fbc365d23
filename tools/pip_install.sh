#!/bin/sh
# pip install, with what it fetches and the size of each file. Usage: pip_install.sh PYTHON ARGUMENTS...
# On a terminal pip shows its own progress bars; in a log only the lines that tell something are kept.
python=$1
shift
if [ -t 1 ]; then
    exec "$python" -m pip --disable-pip-version-check install "$@"
fi
# Not every sh has `pipefail`: pip's exit status is the last line of its output.
{ "$python" -m pip --disable-pip-version-check install --progress-bar off "$@" 2>&1; echo "exit status $?"; } | awk '
    /^exit status [0-9]+$/ { status = $3; next }
    /\.metadata/ { next }
    /^Successfully installed/ { print "installed " NF - 2 " packages"; next }
    /^Installing collected packages/ { print "unpacking ..."; fflush(); next }
    /^(Requirement already|Collecting|Obtaining|Looking in|Ignoring|Stored|Processing|Preparing|Building|Created)/ { next }
    /^ +(Installing|Checking|Getting|Preparing|Building|Created|Stored|Found existing|Uninstalling|Attempting)/ { next }
    /^ *(Attempting uninstall|Successfully (built|uninstalled))/ { next }
    { print; fflush() }
    END { exit status == "" ? 1 : status }'
