# certstamp: see "make help".
export CGO_ENABLED = 0
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS = -s -w -buildid= -X main.version=$(VERSION)
GOLANGCI = v2.15.0
ACT = v0.2.89
ACTIONLINT = v1.7.12
OUT ?= demo-out
FUZZTIME ?= 30s
# The race detector watches all code but the arithmetic of the standard library, which shares nothing and takes a third of the gate.
UNWATCHED = crypto/internal/fips140/... crypto/des crypto/md5 crypto/rc4 crypto/sha1 math/big
RACE = -race $(foreach p,$(UNWATCHED),-gcflags=$(p)=-race=false)

.DEFAULT_GOAL := help
.PHONY: help build test demo demo-smb ci lint fmt vet bench bench-smb fuzz chaos chaos-smb wine image dist workflows screenshot deps tools judges

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./certstamp
	$(GO) build -trimpath -buildvcs=false -ldflags="$(LDFLAGS)" -o certstamp ./cmd/certstamp

demo: ## rotate two simulated stamps and write $(OUT)/report.html
	@$(GO) run -trimpath -buildvcs=false ./cmd/certstamp demo --out $(OUT)

demo-smb: deps ## the same with a real Samba server for the shares; needs root
	@$(GO) run -trimpath -buildvcs=false ./cmd/certstamp demo --smb --out $(OUT)

test: deps ## all tests
	$(GO) test ./...

# Without CI a test whose other program is missing is skipped; the gate is no gate then. Everything below it inherits this.
ci: export CI = true
ci: deps judges tools fmt vet lint workflows ## what the gate runs: format, vet for four platforms, lint, race tests, the demo, chaos
	$(MAKE) demo OUT=$$(mktemp -d)/demo
	$(MAKE) wine
	$(MAKE) image
	GO=$(GO) scripts/dist.sh tools
	tally=$$(mktemp) && CERTSTAMP_TALLY=$$tally CGO_ENABLED=1 $(GO) test $(RACE) -p 3 -timeout 20m ./... && cat $$tally

fmt: tools
	@out=$$(.tools/golangci-lint fmt --diff ./... 2>&1) || { echo "$$out"; echo "run: .tools/golangci-lint fmt"; exit 1; }

vet: # the linters vet for this machine
	GOOS=windows GOARCH=amd64 $(GO) vet ./...
	GOOS=windows GOARCH=arm64 $(GO) vet ./...
	GOOS=linux GOARCH=arm64 $(GO) vet ./...

lint: tools ## the linters
	.tools/golangci-lint run ./...

bench: deps ## benchmarks, then the tool against openssl: writes docs/performance*.md
	$(GO) test -run '^$$' -bench . -benchmem ./...
	CERTSTAMP_START_PAGE=$(CURDIR)/docs/performance-start.md $(GO) test -count=1 -run '^$$' -bench '^BenchmarkStart$$' -benchtime 200x ./cmd/certstamp
	CERTSTAMP_PERFORMANCE=$(CURDIR)/docs/performance.md $(GO) test -count=1 -timeout 60m -run '^TestPerformance$$' ./cmd/certstamp
	CERTSTAMP_PSRP_PAGE=$(CURDIR)/docs/performance-psrp.md $(GO) test -count=1 -run '^TestRoundTrips$$' ./rotate/wsman
	@grep '^[|-]' docs/performance.md docs/performance-psrp.md

bench-smb: deps ## a verified stage against smbclient, over loopback and a round trip of 5 ms: writes docs/performance-smb.md
	SMB_BENCH=$(CURDIR)/docs/performance-smb.md CI=true $(GO) test -count=1 -timeout 30m -run '^$$' -bench '^BenchmarkStage$$' -benchtime 1x ./stage/smb
	@grep '^|' docs/performance-smb.md

fuzz: ## every fuzz target for FUZZTIME
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ {f[n++]=$$1} /^ok/ {for (i=0;i<n;i++) print $$2, f[i]; n=0}' | \
	while read -r pkg target; do echo "$$target $$pkg"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; done

chaos: build ## kill the tool at 200 random moments of the pipeline, rotate 200 times over a network that fails, cut a session at each byte
	CERTSTAMP_CHAOS=200 $(GO) test -count=1 -timeout 60m -run '^TestKilledAnywhere$$' ./cmd/certstamp
	CERTSTAMP_CHAOS=200 $(GO) test -count=1 -timeout 180m -parallel 4 -v -run '^TestRotationsUnderFaults$$' ./cmd/certstamp
	CERTSTAMP_CHAOS=200 $(GO) test -count=1 -timeout 60m -run '^TestResetAtEachByte$$' ./rotate/wsman

chaos-smb: deps ## kill client or server at 200 random moments of a stage over SMB, while a reader looks on
	SMB_CHAOS=200 CI=true $(GO) test -count=1 -timeout 60m -v -run '^TestKilledAnywhere$$' ./stage/smb

wine: ## run the Windows binary under Wine: the demo, and validate against what Linux says
	scripts/wine.sh

image: ## make the container image without an engine, and run certstamp out of it
	GO=$(GO) scripts/image.sh

dist: ## make what a release consists of in ./dist: binaries, archives, SBOMs, checksums
	GO=$(GO) VERSION=$(VERSION) scripts/dist.sh

workflows: tools judges ## action.yml and every workflow against actionlint and the public schemas
	@scripts/workflows.sh

screenshot: judges ## docs/report.png, out of a new demo
	@out=$$(mktemp -d) && $(MAKE) -s demo OUT=$$out/demo && node testdata/judges/judge.mjs --screenshot docs/report.png $$out/demo/report.html && rm -r $$out

deps:
	@scripts/deps.sh

judges: ## install the programs of others that judge reports and workflows
	@scripts/judges.sh

tools: .tools/golangci-lint-$(GOLANGCI) .tools/act-$(ACT) .tools/actionlint-$(ACTIONLINT)

.tools/golangci-lint-$(GOLANGCI):
	@mkdir -p .tools
	GOBIN="$(CURDIR)/.tools" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@touch $@

.tools/act-$(ACT):
	@mkdir -p .tools
	GOBIN="$(CURDIR)/.tools" $(GO) install github.com/nektos/act@$(ACT)
	@touch $@

.tools/actionlint-$(ACTIONLINT):
	@mkdir -p .tools
	GOBIN="$(CURDIR)/.tools" $(GO) install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT)
	@touch $@
