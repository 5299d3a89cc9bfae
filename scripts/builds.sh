#!/bin/sh
# Builds the binaries of a release twice, from two folders: the bytes must be the same, and the one for Linux small. With
# COLD=1 the second build also begins with an empty cache, which takes minutes.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOARCH=amd64
most=20000000 # bytes of the Linux binary

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/another folder"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$work/another folder"

for GOOS in linux windows; do
	export GOOS
	go build -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$work/first" ./cmd/certstamp
	(
		cd "$work/another folder"
		[ "${COLD:-}" != 1 ] || export GOCACHE="$work/cache"
		go build -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$work/second" ./cmd/certstamp
	)
	cmp "$work/first" "$work/second" || { echo "$GOOS/$GOARCH: two builds differ"; exit 1; }
	size=$(wc -c <"$work/first")
	echo "$GOOS/$GOARCH: two builds are the same $size bytes, sha256 $(sha256sum "$work/first" | cut -d' ' -f1)"
	[ "$GOOS" != linux ] || [ "$size" -lt "$most" ] || { echo "the binary for Linux has $size bytes, the limit is $most"; exit 1; }
done
