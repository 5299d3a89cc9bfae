#!/bin/sh
# Runs the Windows binary under Wine: the whole demo, and a validation whose JSON must be what the Linux binary says, byte for byte.
set -eu
cd "$(dirname "$0")/.."

wine=/usr/lib/wine/wine64
cc=x86_64-w64-mingw32-gcc-win32
if [ ! -x "$wine" ] || ! command -v "$cc" >/dev/null 2>&1; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		echo "install these first: wine64 gcc-mingw-w64-x86-64-win32" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null
	apt-get install -y -qq --no-install-recommends wine64 gcc-mingw-w64-x86-64-win32 >/dev/null
fi

dir=$(mktemp -d)
trap 'WINEPREFIX="$dir/prefix" /usr/lib/wine/wineserver -k 2>/dev/null || true; rm -rf "$dir"' EXIT
export WINEPREFIX="$dir/prefix" WINEDEBUG=-all CGO_ENABLED=0
export XDG_RUNTIME_DIR="$dir"

GOOS=windows GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$dir/certstamp.exe" ./cmd/certstamp
go build -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$dir/certstamp" ./cmd/certstamp
"$cc" -shared -O2 -o "$dir/bcryptprimitives.dll" scripts/wine/bcryptprimitives.c -ladvapi32
cd "$dir"
"$wine" wineboot >/dev/null 2>&1 || true # makes the prefix
cp bcryptprimitives.dll prefix/drive_c/windows/system32/

"$wine" certstamp.exe demo --out demo >demo.log 2>&1 || { tail -40 demo.log; exit 1; }
for line in 'rotation: success' 'verify: 11 of 11 endpoints serve the planned certificate' 'verify: 13 of 13 endpoints serve the planned certificate' 'refused: '; do
	grep -q "$line" demo.log || { echo "the demo under Wine did not say \"$line\""; tail -40 demo.log; exit 1; }
done
cd demo/repository
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
../../certstamp validate --no-password --as-of "$now" --format json=../../linux.json >/dev/null 2>&1 || true # findings or not: what it says counts
"$wine" ../../certstamp.exe validate --no-password --as-of "$now" --format json=../../windows.json >/dev/null 2>&1 || true
cd "$dir"
grep -q '"folder"' linux.json || { echo "validate says nothing of a folder"; exit 1; }
cmp linux.json windows.json || { diff linux.json windows.json | head -20; exit 1; }
echo "under Wine: the demo rotates its stamps, and validate says what it says on Linux ($(wc -c <windows.json) bytes)"
