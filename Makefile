# `make` lists the targets. A target first installs the tools that the machine lacks, pinned, and links them as .tools.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Build output and tools are outside the clone and shared by all clones: a second clone starts warm.
CACHE ?= $(HOME)/.cache/authentication-api
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Each set of locked Python tools has its own folder, so clones at different commits do not overwrite each other's.
TOOLS := $(CACHE)/tools/$(shell cat requirements*.txt | cksum | cut -d' ' -f1)
include Makefile.tools

# Otherwise aws-lc gathers jitter entropy at start-up, which can stall a cold start.
export AWS_LC_SYS_NO_JITTER_ENTROPY := 1
export SAM_CLI_TELEMETRY := 0
export AWS_DEFAULT_REGION ?= eu-central-1
export PATH := $(TOOLS)/venv/bin:$(NEXTEST_ROOT)/bin:$(NODE_BIN)$(PATH)

STAGE ?= dev
LOCAL := $(CARGO_TARGET_DIR)/debug/local
FUNCTIONS := $(notdir $(wildcard functions/*))

say = @printf '\033[1m==> %s\033[0m\n' '$(1)'

.PHONY: help
help:
	@echo 'make dev             run everything on this machine: http://localhost:3000 (PORT= to change)'
	@echo 'make demo            walk through every endpoint and print each request and response'
	@echo 'make watch           like dev, and rebuild a function when its code changes'
	@echo 'make invoke F=name   send a function an event of events/name (E= picks one); needs `make watch` in another window'
	@echo 'make test            build everything and run all tests'
	@echo 'make check           formatting, lints, dependencies, documentation, template, workflows'
	@echo 'make generate        write what is generated from the code: openapi.yaml, docs, snapshots of events'
	@echo 'make endpoint NAME=x create a function; template.yaml then needs one entry'
	@echo 'make test-endpoint   prove that an endpoint is declared once, in a scratch copy'
	@echo 'make contract        try openapi.yaml on the running API with generated requests'
	@echo 'make events          replay the events of events/ against their snapshots'
	@echo 'make bench           cold start, warm path, size and memory of the release binaries'
	@echo 'make build           release binaries for Lambda in .aws-sam/build, their SBOMs in .aws-sam/sbom'
	@echo 'make test-deploy     deploy what `make build` built into a local AWS and run the flows there'
	@echo 'make test-livekit    enter rooms of a real livekit-server, with and without a session that lives'
	@echo 'make deploy STAGE=s  deploy to dev, staging or prod (samconfig.toml)'
	@echo 'make lock-tools      lock requirements*.in again (UPGRADE=1 moves every version)'
	@echo 'make clean           delete build output; tools stay'

# --- Run ---------------------------------------------------------------------------------------------------------------

.PHONY: dev demo watch invoke
dev: binaries
	@exec $(LOCAL) dev

demo: binaries
	@exec $(LOCAL) demo

watch: binaries python-tools
	@exec $(LOCAL) dev --watch

E ?= $(notdir $(firstword $(sort $(wildcard events/$(F)/*.json))))
invoke: python-tools
	@[[ -n "$(F)" && -d "functions/$(F)" ]] || { echo 'Say which function: make invoke F=sign-in. There are: $(FUNCTIONS)'; exit 2; }
	@[[ -f "events/$(F)/$(E)" ]] || { echo 'No such event. There are: $(notdir $(wildcard events/$(F)/*.json))'; exit 2; }
	cargo lambda invoke $(F) --invoke-address 127.0.0.1 --data-file events/$(F)/$(E)

# --- Prove -------------------------------------------------------------------------------------------------------------

.PHONY: test generate contract check events bench test-deploy test-livekit
test: binaries workos-tools typescript-tools $(CARGO_NEXTEST)
	$(call say,Tests)
	cargo nextest run --workspace --locked

events: binaries $(CARGO_NEXTEST)
	cargo nextest run --workspace --locked -E 'package(tests) and test(/events::/)'

# `make test` fails while these files differ from the code.
generate: binaries $(CARGO_NEXTEST)
	UPDATE_GOLDEN=1 INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo nextest run --workspace --locked \
		-E 'package(tests) and test(/^(generated|events)::/)'

# NAME=say-hello, and if the defaults do not fit: METHOD=GET ROUTE='/greetings/{id}' ACCESS=session, or SCHEDULE='rate(5 minutes)'.
.PHONY: endpoint test-endpoint
endpoint: compiler
	@[[ -n "$(NAME)" ]] || { echo "Name it: make endpoint NAME=say-hello"; exit 2; }
	@python3 tests/endpoint/create.py $(NAME) $(if $(METHOD),--method $(METHOD)) $(if $(ROUTE),--route '$(ROUTE)') \
		$(if $(ACCESS),--access $(ACCESS)) $(if $(SCHEDULE),--schedule '$(SCHEDULE)')
	@cargo update --workspace --offline --quiet

test-endpoint: export SCRATCH := $(CACHE)/test-endpoint
test-endpoint: compiler python-tools $(CARGO_NEXTEST)
	$(call say,Endpoints in a scratch copy)
	@python3 tests/endpoint/prove.py

# `make test` ignores these tests, because they need a tool from PyPI.
contract: export SCHEMATHESIS := $(TOOLS)/contract-venv/bin/schemathesis
contract: binaries contract-tools $(CARGO_NEXTEST)
	cargo nextest run --workspace --locked --run-ignored only -E 'package(tests) and test(/^contract::/)'

# Every page written by hand; in docs/performance.md `make bench` writes the line that begins with "Commit".
PROSE := $(filter-out docs/configuration.md docs/errors.md docs/rounds.md,$(wildcard *.md docs/*.md docs/*/*.md))

# Needs no network. Advisories need the RustSec database, so the pipeline checks them separately.
check: compiler python-tools $(CARGO_DENY)
	$(call say,Formatting)
	cargo fmt --all --check
	$(call say,Lints)
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(call say,Dependencies)
	$(CARGO_DENY) --locked check --hide-inclusion-graph bans licenses sources
	$(call say,Documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
	$(call say,Template)
	cfn-lint template.yaml
	sam validate --lint
	$(call say,Workflows)
	zizmor --offline --quiet --persona pedantic .github
	$(call say,Prose is at most 120 characters wide)
	@! LC_ALL=C.UTF-8 grep -nE '^[^|].{120}' $(PROSE) | grep -v ':Commit `'
	@echo 'All checks passed.'

.PHONY: advisories
advisories: compiler $(CARGO_DENY)
	$(CARGO_DENY) --locked check advisories

# Built for this machine by cargo alone: `make build` builds for Lambda's processor and its older glibc.
bench: compiler | $(NODE)
	bench/run

# tests/deploy/local_aws.py starts the stack. `make test` ignores the tests that need it.
test-deploy: export MINISTACK := $(TOOLS)/deploy-venv/bin/ministack
test-deploy: export DEPLOY_PYTHON := $(TOOLS)/deploy-venv/bin/python
test-deploy: build binaries deploy-tools $(CARGO_NEXTEST)
	cargo nextest run --workspace --locked --run-ignored only -E 'package(tests) and test(/deploy::/)'

# `make test` ignores these tests: Go builds the server in some minutes. The output has the times that they measure.
test-livekit: binaries livekit-tools $(CARGO_NEXTEST)
	$(call say,Rooms of a real livekit-server)
	cargo nextest run --workspace --locked --run-ignored only --success-output final \
		-E 'package(tests) and test(/^real_livekit::/)'

# --- Ship --------------------------------------------------------------------------------------------------------------

.PHONY: build deploy
ARCH := $(shell awk '/^  Architecture:/ { here = 1 } here && /Default:/ { print $$2; exit }' template.yaml)
TARGET := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu

# One compile for all functions; `sam build` then finds each binary fresh and only copies it.
build: compiler python-tools sbom
	$(call say,Release build of $(words $(FUNCTIONS)) functions)
	cargo lambda build --release --locked $(if $(filter arm64,$(ARCH)),--arm64)
	$(call say,Packing)
	sam build
	@printf '%-28s %10s %10s\n' function bytes zipped
	@for f in .aws-sam/build/*/bootstrap; do \
		printf '%-28s %10d %10d\n' "$$(basename "$$(dirname "$$f")")" "$$(wc -c < "$$f")" "$$(gzip -6 -c "$$f" | wc -c)"; \
	done

# cargo-cyclonedx writes a file next to each manifest of the workspace; only those of the functions are kept. The commit's
# date makes them reproducible.
.PHONY: sbom
sbom: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
sbom: compiler $(CARGO_CYCLONEDX)
	$(call say,SBOM of $(words $(FUNCTIONS)) functions)
	@rm -rf .aws-sam/sbom && mkdir -p .aws-sam/sbom
	$(CARGO_CYCLONEDX) cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --target $(TARGET)
	@mv functions/*/*.cdx.json .aws-sam/sbom/
	@find shared local tests bench -name '*.cdx.json' -delete

deploy: build
	sam deploy --config-env $(STAGE)

.PHONY: clean
clean:
	rm -rf .aws-sam $(CARGO_TARGET_DIR)

# --- What the targets need ---------------------------------------------------------------------------------------------

.PHONY: binaries
binaries: compiler
	$(call say,Building (the first time takes some minutes))
	cargo build --workspace --locked
