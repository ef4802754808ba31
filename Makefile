# `go test ./...` is the test suite and needs nothing but Go. `make verify` is what
# CI runs beside it. Go alone is enough for both: every other tool is built from
# tools/go.mod into bin/tools, once. The race detector also wants a C compiler.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Where what is built goes; a Go tool that another one calls is found in PATH.
bin := $(CURDIR)/bin
tools := bin/tools/.built
export PATH := $(bin)/tools:$(PATH)
# Builds never ask git for a version: a checkout that has none is as good.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

# Packages whose floats become weights, data, metrics or pictures.
bits := ./ddpm/... ./allreduce/... ./worker/... ./internal/picture/...
# Packages with assembly, each beside its generator and the portable code.
kernels := ./ddpm/kernel ./ddpm/rng ./allreduce
# Packages with goroutines that share memory.
concurrent := ./allreduce/... ./storage/... ./coordinator/... ./worker/...

##@ Every day

.PHONY: help
help: ## Say what there is (the default).
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the three commands into bin/.
	go build -o bin/ ./cmd/...

.PHONY: test
test: ## Run the test suite.
	go test ./...

.PHONY: test-deps
test-deps: ## Build the S3 servers that tests run against, once, into the user's cache.
	go run ./internal/s3test/install

.PHONY: generate
generate: proto kernel reference ## Write what is generated anew: proto, kernel and reference.

.PHONY: proto
proto: $(tools) ## Generate Go from proto/.
	cd proto && buf format -w && buf generate

.PHONY: reference
reference: ## Write docs/cli.md and docs/configuration.md from the commands.
	tools/reference.sh docs

.PHONY: kernel
kernel: ## Generate the kernels' assembly.
	go generate $(kernels)

.PHONY: clean
clean: ## Remove bin/ and dist/.
	rm -rf bin dist

.PHONY: arm64
arm64: ## Test the mathematics on an emulated arm64 (needs qemu-user).
	GOARCH=arm64 go test -exec qemu-aarch64-static -short ./ddpm/... ./allreduce

.PHONY: browser
browser: ## Test the dashboard in a headless Chromium (skips where there is none).
	cd test/browser && go test -count=1 -timeout 60m .

.PHONY: kube-test
kube-test: ## Test the chart on a real Kubernetes (test/kube/doc.go says how it is given).
	go -C test/kube test -count=1 -timeout 90m -v . -args -pictures '$(PICTURES)'

##@ Releases

# What --version says. Without git, or with another idea: make release VERSION=v1.2.3.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
IMAGE ?= ddpm-cluster:$(VERSION)

.PHONY: release
release: ## Archives for all systems and SHA256SUMS into dist/.
	go run ./internal/release -version '$(VERSION)' -commit '$(COMMIT)' -targets '$(TARGETS)'

.PHONY: release-check
release-check: ## Build a release twice, in another place and with an empty cache, and compare.
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' TARGETS='$(TARGETS)' deploy/release-check.sh

.PHONY: image
image: ## The container image, by docker (IMAGE=name:tag).
	docker build -f deploy/Dockerfile --build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' -t '$(IMAGE)' .

##@ What CI runs

.PHONY: verify
verify: fmt generated vet lint fused purego race chart ## All of the following, cheapest first.

.PHONY: fmt
fmt: ## gofmt has nothing to change.
	@echo 'gofmt -l .'
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then \
		printf 'not formatted:\n%s\nrun gofmt -w on them\n' "$$files"; exit 1; fi

.PHONY: generated
generated: $(tools) ## Generated code is what its sources generate.
	tools/generated.sh

.PHONY: vet
vet: ## go vet, also of the portable kernels, the long chaos tests and for another system.
	go vet ./...
	go vet -tags purego ./ddpm/... ./allreduce ./internal/cpulevel
	go vet -tags chaos ./test/chaos
	GOOS=darwin GOARCH=arm64 go vet ./...

.PHONY: lint
lint: $(tools) ## golangci-lint and buf lint; go.mod is tidy.
	go mod tidy -diff
	golangci-lint run
	cd proto && buf lint && buf format --diff --exit-code

.PHONY: fused
fused: ## Go fuses no multiply-add where bits count, seen on arm64.
	go run ./internal/lint/fused $(bits)

.PHONY: purego
purego: ## Tests of the mathematics without assembly.
	go test -tags purego -short ./ddpm/... ./allreduce ./internal/cpulevel

.PHONY: race
race: ## Tests of concurrent packages under the race detector.
	go test -race -short $(concurrent)

.PHONY: chart
chart: ## helm's lint and templates, decoded strictly (its tests are a module of their own).
	go -C deploy/helm/test vet ./...
	go -C deploy/helm/test test ./...

.PHONY: chart-readme
chart-readme: ## Write the table of values in the chart's README.
	go -C deploy/helm/test test -run TestREADME ./... -update

# GOOS and the like are for the product, not for tools that run here.
$(tools): tools/go.mod tools/go.sum
	@mkdir -p $(@D)
	env -u GOOS -u GOARCH GOBIN=$(abspath $(@D)) CGO_ENABLED=0 go -C tools install tool
	@touch $@
