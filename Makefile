# Everything is installed into ignored folders of this checkout: .tools, .cache,
# bin and the node_modules folders. See README.md for what the targets are for.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

BUF_VERSION := 1.75.0
PROTOVALIDATE_VERSION := v1.2.2

BUF := .tools/npm/node_modules/.bin/buf
GEN_TOOL := go tool -modfile=internal/tools/gen/go.mod
LINT := .tools/golangci-lint

# The commit goes into the binary where git can tell it: not in an archive without
# history, nor in a checkout that belongs to another user.
VCS_STAMP := $(shell git status --porcelain >/dev/null 2>&1 && echo true || echo false)

# Each part of a run prints how long it took.
timed = @start=$$(date +%s); echo "== $(1)"; { $(2); } && echo "== $(1): $$(( $$(date +%s) - start )) s"

.PHONY: build
build: ## build bin/signalbox
	@mkdir -p bin
	go build -buildvcs=$(VCS_STAMP) -o bin/signalbox ./cmd/signalbox

.PHONY: demo
demo: build ## run a gateway with sample agents in the foreground
	./bin/signalbox demo

.PHONY: test
test: test-build test-peers test-go test-sdk ## run every test: Go, TypeScript, Python

.PHONY: test-build test-peers test-go test-sdk
test-build:
	$(call timed,build,$(MAKE) --no-print-directory build)
test-peers:
	$(call timed,install test peers,internal/gatewaytest/peers/setup.sh)
test-go:
	$(call timed,go test -race,go test -race -timeout 20m ./...)
test-sdk:
	$(call timed,SDK tests,sdk/test.sh)

.PHONY: check
check: ## generated code is up to date, lint, vet, breaking changes, vulnerabilities
	$(call timed,go build and vet,go build ./... && go vet ./...)
	$(call timed,generated code,.ci/generated.sh)
	$(call timed,buf lint,$(BUF) lint)
	$(call timed,buf breaking,.ci/breaking.sh)
	$(call timed,golangci-lint,$(MAKE) --no-print-directory lint)
	$(call timed,govulncheck,.ci/vulnerabilities.sh)

.PHONY: lint
lint: $(LINT) ## run golangci-lint
	$(LINT) run ./...

.PHONY: generate
generate: vendor-proto $(BUF) ## make all generated code anew
	BUF=$(BUF) sdk/generate.sh
	CGO_ENABLED=0 $(GEN_TOOL) sqlc generate

# buf/validate is not committed: it is copied out of the Go module cache, whose files
# are read-only.
.PHONY: vendor-proto
vendor-proto:
	@dir=$$(go mod download -json github.com/bufbuild/protovalidate@$(PROTOVALIDATE_VERSION) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); \
	mkdir -p .buf-vendor/protovalidate/buf/validate; \
	install -m 0644 "$$dir/proto/protovalidate/buf/validate/validate.proto" .buf-vendor/protovalidate/buf/validate/validate.proto

$(BUF):
	npm install --prefix .tools/npm --no-save --ignore-scripts --no-audit --no-fund --loglevel=error @bufbuild/buf@$(BUF_VERSION)

# Built in the module that pins it, so that its dependencies are not those of the gateway.
$(LINT): internal/tools/lint/go.mod
	go build -modfile=internal/tools/lint/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: bench
bench: build ## measure the gateway against its controls, all in one run
	./bin/signalbox bench $(BENCH_FLAGS)

.PHONY: nightly
nightly: test-build test-peers ## the long runs: fuzzing, fetching Postgres, a minute without it
	$(call timed,long tests,SIGNALBOX_NIGHTLY=1 go test -race -timeout 60m ./internal/postgres ./internal/gatewaytest/...)
	$(call timed,fuzzing,.ci/fuzz.sh 60s)

.PHONY: clean
clean: ## remove what was built and installed
	rm -rf bin .tools .cache .buf-vendor sdk/typescript/node_modules sdk/typescript/dist sdk/python/dist
