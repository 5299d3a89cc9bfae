#!/bin/sh
# Installs the programs of others that judge reports and workflows: Chromium and Node by deps.sh, packages of Node as their
# lock file has them. What they are for is in testdata/judges/README.md.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh judges

cd testdata/judges
lock=$(sha256sum package-lock.json)
[ "$(cat node_modules/.lock 2>/dev/null)" != "$lock" ] || exit 0
npm ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel=error >/dev/null
printf '%s' "$lock" >node_modules/.lock
