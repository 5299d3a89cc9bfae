#!/bin/sh
# Holds action.yml and every workflow that we show or write against actionlint and the public schemas: the example
# repository, what certstamp init writes, the one in README.md, and our own if there are any.
set -eu
cd "$(dirname "$0")/.."
top=$PWD
lint=$top/.tools/actionlint
valid=$top/testdata/judges/node_modules/.bin/action-validator

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/init" "$work/readme/.github/workflows"
cp -R examples/gitops "$work/example"
go build -o "$work/certstamp" ./cmd/certstamp
(cd "$work/init" && "$work/certstamp" init --action certstamp/certstamp@0000000000000000000000000000000000000000 >/dev/null)
awk '/^```yaml$/ {text=""; inside=1; next} /^```$/ && inside {inside=0; if (text ~ /\njobs:/) printf "%s", text; next} inside {text=text $0 "\n"}' \
	README.md >"$work/readme/.github/workflows/readme.yml"
[ ! -d .github/workflows ] || { mkdir -p "$work/own" && cp -R .github action.yml scripts "$work/own/"; }

count=0
for repo in "$work"/*/; do
	cd "$repo"
	git init -q .
	# A linter doesn't know an action that it would have to fetch. As a local one its inputs and outputs are held against ours.
	mkdir -p certstamp && cp "$top/action.yml" certstamp/
	sed -i 's|uses: certstamp/certstamp@.*|uses: ./certstamp|' .github/workflows/*.yml
	# Labels of runners are the operator's.
	mkdir -p .github && printf 'self-hosted-runner: {labels: ["*"]}\n' >.github/actionlint.yaml
	"$lint" -no-color
	for f in .github/workflows/*.yml; do
		sed -i 's/, attestations: write}/}/' "$f" # actionlint knows this permission; the schema in the validator is older
		"$valid" "$f" || { echo "$f of $(basename "$repo") does not fit the schema of workflows"; exit 1; }
		count=$((count + 1))
	done
done
cd "$top"
"$valid" action.yml || { echo "action.yml does not fit the schema of actions"; exit 1; }
[ "$count" -ge 13 ] || { echo "only $count workflows were found"; exit 1; }
echo "actionlint and action-validator: action.yml and $count workflows"
