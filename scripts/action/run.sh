#!/bin/sh
# Runs certstamp for action.yml on everything but Windows; run.ps1 is its twin. Inputs are CERTSTAMP_IN_* variables.
# Nothing of an input is ever evaluated or printed: what a runner reads in its log it may take for a command.
set -euf

fail() { # what was found, what to do
	printf 'certstamp: error: %s\ncertstamp: hint: %s\n' "$1" "$2" >&2
	exit 2
}

sha256() { # of a file, as hex
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1"
	else
		shasum -a 256 <"$1"
	fi | cut -c 1-64
}

# verified copies a file aside, where nothing else writes, and holds the copy against a digest: what is checked is what runs.
verified() { # file, digest, what to do otherwise
	cat "$1" >"$own/certstamp"
	got=$(sha256 "$own/certstamp")
	[ "$got" = "$2" ] || fail "the certstamp binary has SHA-256 $got, which is not the expected one" "$3"
	chmod 0700 "$own/certstamp"
	program=$own/certstamp
}

build() {
	command -v go >/dev/null 2>&1 || fail "allow-build is set and there is no go in PATH" "install Go, or give the input binary"
	# The compiler gets what it needs to find its modules, and no secret of this step.
	keep=" PATH HOME TMPDIR GOROOT GOPATH GOMODCACHE GOCACHE GOFLAGS GOPROXY GONOPROXY GOSUMDB GONOSUMDB GOPRIVATE "
	keep="$keep HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR "
	(
		for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
			case $keep in *" $name "*) ;; *) unset "$name" 2>/dev/null || : ;; esac
		done
		export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
		exec go build -C "$1" -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$2" ./cmd/certstamp
	) >&2 || fail "certstamp could not be built" "read what go says above, or give the input binary"
	program=$2
}

action=$GITHUB_ACTION_PATH
own=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/certstamp.XXXXXX")

case $CERTSTAMP_IN_COMMAND in
'' | *[!a-z]*) fail "the input command is no command" "name one of those in action.yml" ;;
esac
case $CERTSTAMP_IN_ALLOW_BUILD in
true | false | '') ;;
*) fail "the input allow-build is neither true nor false" "write true or false" ;;
esac

# The binary is found before the directory changes: a relative path means the workspace.
if [ -n "$CERTSTAMP_IN_BINARY" ]; then
	[ -f "$CERTSTAMP_IN_BINARY" ] || fail "there is no file where the input binary says" "put certstamp there, or leave the input out"
	if [ -n "$CERTSTAMP_IN_BINARY_SHA256" ]; then
		verified "$CERTSTAMP_IN_BINARY" "$CERTSTAMP_IN_BINARY_SHA256" "find out who changed the file, or correct the input binary-sha256"
	else
		program=$(cd "$(dirname -- "$CERTSTAMP_IN_BINARY")" && pwd)/$(basename -- "$CERTSTAMP_IN_BINARY")
		[ -x "$program" ] || fail "the file that the input binary names cannot be executed" "chmod +x it"
	fi
else
	[ -z "$CERTSTAMP_IN_BINARY_SHA256" ] || fail "the input binary-sha256 is set without binary" "give both, or neither"
	case ${RUNNER_OS:-}/${RUNNER_ARCH:-} in
	Linux/X64) name=certstamp-linux-amd64 ;;
	Linux/ARM64) name=certstamp-linux-arm64 ;;
	*) name= ;;
	esac
	if [ -n "$name" ] && [ -f "$action/dist/$name" ]; then
		[ -f "$action/dist/SHA256SUMS" ] || fail "the action has dist/$name and no dist/SHA256SUMS" "use a release commit of the action"
		want=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$name\$/\1/p" "$action/dist/SHA256SUMS")
		[ "${#want}" = 64 ] || fail "dist/SHA256SUMS does not name $name once" "use a release commit of the action"
		verified "$action/dist/$name" "$want" "use a release commit of the action: dist/$name is not the released file"
	elif [ "$CERTSTAMP_IN_ALLOW_BUILD" = true ]; then
		build "$action" "$own/certstamp"
	elif [ -n "$name" ]; then
		fail "this commit of the action has no dist/$name" "use a release commit, or mirror $name of the release to the runner and give its path as the input binary"
	else
		fail "there is no released certstamp for this system" "build certstamp for it and give its path as the input binary, or set allow-build: true"
	fi
fi

unset CDPATH
if [ -n "$CERTSTAMP_IN_WORKING_DIRECTORY" ]; then
	[ -d "$CERTSTAMP_IN_WORKING_DIRECTORY" ] || fail "the input working-directory is no folder" "name one that is there after the checkout"
	cd -- "$CERTSTAMP_IN_WORKING_DIRECTORY"
fi

set -- "$CERTSTAMP_IN_COMMAND"

# Every line that is not empty is one argument. A here-document of a variable is not expanded a second time.
while IFS= read -r line || [ -n "$line" ]; do
	[ -z "$line" ] || set -- "$@" "--stamp=$line"
done <<LINES
$CERTSTAMP_IN_STAMP
LINES

if [ -n "$CERTSTAMP_IN_PLAN" ]; then
	case $CERTSTAMP_IN_COMMAND in
	plan) set -- "$@" "--out=$CERTSTAMP_IN_PLAN" ;;
	*) set -- "$@" "--plan=$CERTSTAMP_IN_PLAN" ;;
	esac
fi
[ -z "$CERTSTAMP_IN_PLAN_SHA256" ] || set -- "$@" "--plan-sha256=$CERTSTAMP_IN_PLAN_SHA256"

text=yes
while IFS= read -r line || [ -n "$line" ]; do
	[ -n "$line" ] || continue
	case $line in *=*) ;; *) text=no ;; esac
	set -- "$@" "--format=$line"
done <<LINES
$(printf %s "$CERTSTAMP_IN_FORMATS" | tr -s ' ,\t' '[\n*]')
LINES
[ "$text" = no ] || set -- "$@" --format=text

while IFS= read -r line || [ -n "$line" ]; do
	[ -z "$line" ] || set -- "$@" "$line"
done <<LINES
$CERTSTAMP_IN_ARGS
LINES

unset CERTSTAMP_IN_COMMAND CERTSTAMP_IN_STAMP CERTSTAMP_IN_PLAN CERTSTAMP_IN_PLAN_SHA256 CERTSTAMP_IN_FORMATS \
	CERTSTAMP_IN_ARGS CERTSTAMP_IN_WORKING_DIRECTORY CERTSTAMP_IN_BINARY CERTSTAMP_IN_BINARY_SHA256 CERTSTAMP_IN_ALLOW_BUILD
# In place of this shell, so that the runner's signal reaches certstamp, which then stops between two steps.
exec "$program" "$@"
