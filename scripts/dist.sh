#!/bin/sh
# Makes what a release consists of. The same commit, version and Go make the same bytes, wherever and whenever that is.
#
#	dist            binaries, VERSION and SHA256SUMS: what the action looks for below dist in a release commit
#	dist/release    the page of the release: the same binaries, archives, SBOMs, and SHA256SUMS over all of it
#
# SBOM=no leaves the SBOMs out, for which a tool is installed into .tools. "dist.sh tools" installs it and makes nothing.
set -eu
cd "$(dirname "$0")/.."
: "${GO:=go}" "${DIST:=dist}" "${SBOM:=yes}" "${PLATFORMS:=linux/amd64 linux/arm64 windows/amd64 windows/arm64}"
version=${VERSION:-$(git describe --tags --always --dirty)}
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
case $version in
'' | *[!A-Za-z0-9.+-]*)
	echo "dist: VERSION wants letters, digits, dots, plus and minus" >&2
	exit 2
	;;
esac

# What could make other bytes of the same source: variables, and what go env -w has written. Where modules come from stays.
for name in GOPROXY GOPRIVATE GONOPROXY GONOSUMDB GOSUMDB GOPATH GOMODCACHE GOCACHE; do
	export "$name=$("$GO" env "$name")"
done
export GOENV=off
export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly LC_ALL=C
unset GOOS GOARCH GOAMD64 GOARM64 GOEXPERIMENT GOFIPS140
umask 022

cyclonedx=v1.10.0
tool=$PWD/.tools/cyclonedx-gomod-$cyclonedx
if [ "$SBOM" = yes ] && [ ! -x "$tool" ]; then
	mkdir -p .tools
	GOBIN="$PWD/.tools" "$GO" install "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$cyclonedx"
	mv .tools/cyclonedx-gomod "$tool"
fi
[ "${1:-}" != tools ] || exit 0

rm -rf "$DIST"
mkdir -p "$DIST/release"
for platform in $PLATFORMS; do
	os=${platform%/*} arch=${platform#*/}
	suffix=
	[ "$os" != windows ] || suffix=.exe
	binary=$DIST/certstamp-$os-$arch$suffix
	GOOS=$os GOARCH=$arch "$GO" build -trimpath -buildvcs=false -ldflags="-s -w -buildid= -X main.version=$version" -o "$binary" ./cmd/certstamp
	if [ "$SBOM" = yes ]; then
		"$tool" bin -json -noserial -notimestamp -std -version "$version" -output "$DIST/release/certstamp-$version-$os-$arch.cdx.json" "$binary"
	fi
done
"$GO" run ./cmd/internal/dist -version "$version" -time "$time" -dir "$DIST"
cat "$DIST/release/SHA256SUMS"
