# Everything a developer or CI runs. `make help` lists the targets.

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# The NVML binding compiles with dozens of deprecation warnings that are not ours to mend.
export CGO_CFLAGS := -O2 -g -Wno-deprecated-declarations

# Prometheus' service discovery plug-ins are left out of genaictl: only static, file and HTTP discovery remain.
TAGS := remove_all_sd

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BRANCH   ?= $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
VERSION_PKG := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(VERSION_PKG).Version=$(VERSION) -X $(VERSION_PKG).Revision=$(REVISION) -X $(VERSION_PKG).Branch=$(BRANCH)

TOOLS := .cache/tools/bin
TEST_TIMEOUT ?= 20m
# go test ./pkg/... -run ... with the project's flags: make unit PKG=./collector/... RUN=TestGPU
PKG ?= ./...
RUN ?= .

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/genai_exporter (with NVML when a C compiler is there) and bin/genaictl (static)
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/genai_exporter ./cmd/genai_exporter
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/genaictl ./cmd/genaictl

.PHONY: demo
demo: build ## replayed GPUs, a live request log, the whole bundle and a scripted drill; DEMO_SECONDS=120 ends by itself
	go build -o bin/demo ./demo
	@exec ./bin/demo

.PHONY: deps
deps: ## what the tests need beside Go, gcc and make: pinned tools, and as root on Debian or Ubuntu the system packages
	scripts/deps.sh

.PHONY: test
test: deps vet lint unit freshness promtool-rules ## everything that CI runs
	@echo "all of: vet, lint, unit tests with CLI scripts and end-to-end, freshness, promtool rule tests"

.PHONY: vet
vet: ## go vet, with cgo and without
	go vet -tags $(TAGS) ./...
	CGO_ENABLED=0 go vet ./cmd/genai_exporter/... ./collector/...

.PHONY: lint
lint: ## golangci-lint as .golangci.yml says
	scripts/tools.sh golangci-lint
	$(TOOLS)/golangci-lint run --build-tags $(TAGS)

.PHONY: unit
unit: ## go test with the race detector: unit tests, CLI scripts, end to end. PKG= and RUN= narrow it
	scripts/test.sh -tags $(TAGS) -race -timeout $(TEST_TIMEOUT) -run '$(RUN)' $(PKG)

.PHONY: generate
generate: ## write rendered files and expectations again
	go run -tags $(TAGS) ./cmd/genaictl render
	go test -tags $(TAGS) ./internal/arch -update

.PHONY: freshness
freshness: ## fail when a rendered file differs from what genaictl render writes
	scripts/freshness.sh

.PHONY: promtool-rules
promtool-rules: ## promtool check and test of the rendered rules
	scripts/tools.sh prometheus
	$(TOOLS)/promtool check rules rules/*.yml
	$(TOOLS)/promtool test rules testdata/rules/*.yml
	@if command -v promtool >/dev/null; then promtool --version | head -n 1; promtool check rules rules/*.yml; \
	  promtool test rules testdata/rules/*.yml; \
	else echo "promtool of the oldest supported Prometheus is not installed: the rules were tested with the pinned one only"; fi

.PHONY: bench
bench: ## benchmarks of the packages that have them
	go test -tags $(TAGS) -run '^$$' -bench . -benchmem $(PKG)

.PHONY: clean
clean: ## remove what was built (pinned tools stay in .cache)
	rm -rf bin demo/run
