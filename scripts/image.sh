#!/bin/sh
# Makes the image of the Dockerfile without an engine, holds what it says of itself, and runs the program out of it. Its first
# stage is replaced by a folder with the binary that is built here: this machine pulls no image, and CI needs a second for it.
set -eu
cd "$(dirname "$0")/.."

if ! command -v buildah >/dev/null 2>&1; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		echo "install this first: buildah" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null
	apt-get install -y -qq --no-install-recommends buildah >/dev/null
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
store() { buildah --storage-driver vfs --root "$dir/root" --runroot "$dir/run" "$@"; }
fail() {
	echo "the image: $1" >&2
	exit 1
}

version=v0.0.0-image
mkdir -p "$dir/build/out" "$dir/build/etc/ssl/certs" "$dir/empty"
CGO_ENABLED=0 ${GO:-go} build -trimpath -buildvcs=false -ldflags="-s -w -buildid= -X main.version=$version" -o "$dir/build/out/certstamp" ./cmd/certstamp
bundle=/etc/ssl/certs/ca-certificates.crt # its Debian package is ca-certificates
[ -s "$bundle" ] || fail "there is no $bundle to put into it"
cp "$bundle" "$dir/build/etc/ssl/certs/"

build() { # prints the image's id
	store bud --quiet --isolation chroot --timestamp 0 --build-context "build=$dir/build" --build-arg "VERSION=$version" --build-arg REVISION=0 -f Dockerfile "$dir/empty" | tail -1
}
id=$(build)
[ "$id" = "$(build)" ] || fail "two builds of the same files are two images"

say() { store inspect --type image --format "$1" "$id"; }
[ "$(say '{{.OCIv1.Config.User}}')" = 65532:65532 ] || fail "it runs as $(say '{{.OCIv1.Config.User}}')"
[ "$(say '{{.OCIv1.Config.Entrypoint}}')" = '[/certstamp]' ] || fail "it starts $(say '{{.OCIv1.Config.Entrypoint}}')"
[ "$(say '{{index .OCIv1.Config.Labels "org.opencontainers.image.version"}}')" = "$version" ] || fail "its label names another version"

box=$(store from "$id")
root=$(store mount "$box")
files=$(cd "$root" && find . -type f | sort | tr '\n' ' ')
[ "$files" = "./certstamp .$bundle " ] || fail "it holds $files"
cmp -s "$bundle" "$root$bundle" || fail "its list of CAs is another one"

got=$(store run --isolation chroot "$box" /certstamp version)
[ "$got" = "certstamp $version" ] || fail "it says \"$got\""
mkdir -m 0777 "$dir/repository"
store run --isolation chroot -v "$dir/repository:/repository" "$box" /certstamp --format json=/repository/rule.json explain expiry-date >/dev/null
[ "$(stat -c %u:%g "$dir/repository/rule.json")" = 65532:65532 ] || fail "what it writes belongs to $(stat -c %u:%g "$dir/repository/rule.json")"
echo "the image runs certstamp $version as 65532, and holds nothing but $files"
