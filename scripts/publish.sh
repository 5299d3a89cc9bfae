#!/bin/sh
# Publishes what scripts/dist.sh made for a tag: the binaries as a commit on top of it, for the action, and a release with all
# files. It builds nothing, and publishes only what has the digest that the build reported. The tag itself stays where it is.
set -eu
tag=$1 digest=$2
cd "$(dirname "$0")/.."

printf '%s  dist/release/SHA256SUMS\n' "$digest" | sha256sum -c --quiet -
(cd dist/release && sha256sum -c --quiet --strict SHA256SUMS)
(cd dist && sha256sum -c --quiet --strict SHA256SUMS)
# And only what has a sum: a file that is merely there was vouched for by nobody.
only() { # DIRECTORY PATTERN
	(cd "$1" && for f in $2; do
		[ "$f" = SHA256SUMS ] || cut -c 67- SHA256SUMS | grep -qxF "$f" || {
			echo "publish: $1/$f has no sum" >&2
			exit 1
		}
	done)
}
only dist/release '*'
only dist 'certstamp-*'
[ "$(cat dist/VERSION)" = "$tag" ] || {
	echo "publish: dist is of $(cat dist/VERSION), the tag is $tag" >&2
	exit 1
}
# The sums of the bundle came with it; those of the release were vouched for. So every binary has to be in both.
for binary in dist/certstamp-*; do
	cmp "$binary" "dist/release/${binary##*/}"
done
[ "$(git rev-parse HEAD)" = "$(git rev-parse "refs/tags/$tag^{commit}")" ] || {
	echo "publish: the checkout is not the commit of $tag" >&2
	exit 1
}

git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
# The same commit each time, so that a run that ended half-way can be repeated: its tag is there already then.
GIT_COMMITTER_DATE=$(git log -1 --format=%cI HEAD)
GIT_AUTHOR_DATE=$GIT_COMMITTER_DATE
export GIT_COMMITTER_DATE GIT_AUTHOR_DATE
git add -f dist/certstamp-* dist/VERSION dist/SHA256SUMS
git commit -q -m "release: the binaries of $tag

Made by scripts/dist.sh out of the commit below this one. The SHA-256 of the
release's SHA256SUMS is
$digest."
git tag -f "action-$tag" >/dev/null
git push -q origin "refs/tags/action-$tag"
commit=$(git rev-parse HEAD)

notes=$(mktemp)
trap 'rm -f "$notes"' EXIT
cat >"$notes" <<NOTES
\`CHANGELOG.md\` says what changes for operators.

The action, with its binaries:

    uses: ${GITHUB_REPOSITORY:-OWNER/certstamp}@$commit # action-$tag

\`docs/releases.md\` says how to check these files, and how to make them again. The SHA-256 of SHA256SUMS is $digest.
NOTES
set -- --verify-tag --title "$tag" --notes-file "$notes"
case $tag in *-*) set -- "$@" --prerelease ;; esac
# A run may have ended in the middle: what there is is a draft, which is completed, or a release, which is not touched any more.
case $(gh release view "$tag" --json isDraft --jq .isDraft 2>/dev/null || :) in
true)
	gh release upload "$tag" --clobber dist/release/*
	gh release edit "$tag" --draft=false
	;;
false)
	there=$(mktemp -d)
	trap 'rm -rf "$notes" "$there"' EXIT
	gh release download "$tag" --dir "$there"
	diff -rq dist/release "$there" || {
		echo "publish: $tag is published with other files" >&2
		exit 1
	}
	echo "publish: $tag is published already, with exactly these files"
	;;
*) gh release create "$tag" "$@" dist/release/* ;;
esac
