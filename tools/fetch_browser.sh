#!/bin/sh
# Print a Chromium that pages can be tried in; Debian's is installed where that can be done (root, apt-get).
#   tools/fetch_browser.sh
set -u
for candidate in ${CHROMIUM:-chromium chromium-browser google-chrome}; do
    command -v "$candidate" && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null 2>&1 && apt-get install -qq -y --no-install-recommends chromium >/dev/null 2>&1; }
    command -v chromium && exit 0
fi
echo "NOT RUN: the tests of pages in a browser: there is no Chromium (on Debian: apt-get install chromium), or name one: CHROMIUM=/path" >&2
exit 69
