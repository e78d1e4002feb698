# What a developer runs here; `make` alone lists it. The programs behind it are in e2e/src/bin.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Each step uses all cores by itself, and the steps of `test` go from the quick to the slow.
.NOTPARALLEL:

CACHE := $(or $(SKYFLEET_CACHE),$(HOME)/.cache/skyfleet)
# Outside the work tree, so that a fresh clone starts warm. The path needs no compiler version and no lock file in it: cargo
# keeps a fingerprint of both with everything it built, and builds anew what does not fit.
export CARGO_TARGET_DIR ?= $(CACHE)/target
SERVER_TARGET_DIR := $(CACHE)/inference-target
PROGRAMS := $(CARGO_TARGET_DIR)/debug

# Namespaces, cgroups and mounts need root. Compilers do not, and what they write must stay its owner's: only what was
# built before runs as root.
AS_ROOT := $(CURDIR)/e2e/as-root

START := $(shell date +%s)
announce = @printf '\n== %s, after %d s\n' $@ $$(($$(date +%s) - $(START)))

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 28

.PHONY: demo
demo: packages tools ## Start four clusters, mirror a model and serve it in three of them
	$(announce)
	$(AS_ROOT) $(PROGRAMS)/demo up

.PHONY: demo-down
demo-down: programs ## End the demo and leave nothing of it
	$(AS_ROOT) $(PROGRAMS)/demo down

.PHONY: test
test: format packages balancers lint tools test-inference-server test-workspace ## Everything: format, lints, unit tests, real clusters and stores
	$(announce)

.PHONY: format
format: ## Check the format
	$(announce)
	cargo fmt --all --check
	cd examples/inference-server && cargo fmt --check

.PHONY: lint
lint: ## Run clippy; a warning is an error
	$(announce)
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: test-inference-server
test-inference-server: programs ## Lint and test the example inference server on its real model
	$(announce)
	cd examples/inference-server && export CARGO_TARGET_DIR=$(SERVER_TARGET_DIR) MODEL_DIR="$$($(PROGRAMS)/artifacts model)" \
		&& cargo clippy --release --all-targets --locked -- -D warnings && cargo test --release --locked

.PHONY: test-workspace
test-workspace: ## Run all tests of the workspace; those on real clusters need root
	$(announce)
	cargo test --workspace --locked --config "target.'cfg(unix)'.runner = ['$(AS_ROOT)']"

.PHONY: bench-plan
bench-plan: ## Measure placement on 100 clusters and 5,000 models, in turns with Karmada's algorithm
	$(announce)
	cd bench/peers/karmada && CGO_ENABLED=0 go build -o $(CACHE)/karmada-peer .
	KARMADA_PEER=$(CACHE)/karmada-peer cargo bench --package skyfleet-plan --bench plan --locked

.PHONY: bench-balance
bench-balance: ## Measure balancing in a simulation of unequal replicas, and what a pick costs
	$(announce)
	cargo bench --package skyfleet-balance --bench balance --locked

.PHONY: bench-fleet
bench-fleet: packages ## Measure the operator with 100 simulated members: changes, restarts, black holes
	$(announce)
	$(PROGRAMS)/artifacts kubernetes
	cargo build --package skyfleet --package skyfleet-bench --bins --locked --profile bench-fleet
	$(AS_ROOT) $(CARGO_TARGET_DIR)/bench-fleet/fleet-bench $(BENCH_ARGS)

.PHONY: bench-mirror
bench-mirror: ## Measure skyfleet mirror, in turns with its peers, which it installs; BENCH_ARGS=--help tells what it takes
	$(announce)
	cargo build --package skyfleet --package skyfleet-bench --bins --locked --profile bench-fleet
	$(CARGO_TARGET_DIR)/bench-fleet/mirror-bench $(BENCH_ARGS)

.PHONY: bench-gateway
bench-gateway: balancers ## Measure the gateway, in turns with NGINX, HAProxy and Apache httpd, which it installs; BENCH_ARGS=--help tells what it takes
	$(announce)
	cargo build --package skyfleet-gateway-bench --locked --profile bench-fleet
	$(AS_ROOT) $(CARGO_TARGET_DIR)/bench-fleet/gateway-bench $(BENCH_ARGS)

.PHONY: bench-flows
bench-flows: ## Measure transforms, in turns with pyarrow and DuckDB, which it installs; BENCH_ARGS=--help tells what it takes
	$(announce)
	cargo build --package skyfleet-flows-bench --locked --profile bench-fleet
	$(CARGO_TARGET_DIR)/bench-fleet/flows-bench $(BENCH_ARGS)

.PHONY: packages
packages: programs ## Install the Debian packages that the lab and a browser need, asking first
	$(announce)
	$(AS_ROOT) $(PROGRAMS)/lab install $(if $(CI),--yes)
	$(AS_ROOT) $(PROGRAMS)/lab install --browsers $(if $(CI),--yes)

.PHONY: balancers
balancers: programs ## Install load balancers, which the gateway is tried and measured with, asking first
	$(announce)
	$(AS_ROOT) $(PROGRAMS)/lab install --balancers $(if $(CI),--yes)

.PHONY: tools
tools: programs ## Build, once a machine, what the lab runs: Kubernetes, object stores, helm, a metrics adapter, images, the model
	$(announce)
	$(PROGRAMS)/artifacts

.PHONY: programs
programs: # The whole workspace's choice of features, as the tests have it: a package alone would build its dependencies again.
	@cargo build --workspace --bins --locked

.PHONY: crds
crds: ## Write crds/, its copy in the chart and docs/resources.md anew from the types
	UPDATE_CRDS=1 cargo test --package skyfleet-api --test api --locked -- definitions reference
	cp crds/*.yaml charts/skyfleet-crds/definitions/
