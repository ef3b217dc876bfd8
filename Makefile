# Saker's build. `make help` lists the targets; CI runs exactly `make test` and `make e2e`.

GO       ?= go
BIN      := bin
PREFIX   ?= /usr/local
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X github.com/saker-security/saker/cmd/internal/version.Version=$(VERSION)
LINT     := $(GO) tool -modfile=tools.mod

# What the build of the eBPF objects and the tests need beyond Go, as Debian names it.
PACKAGES := clang-14 llvm-14 libbpf-dev libc6-dev gcc podman containerd runc prometheus prometheus-alertmanager busybox-static iproute2 e2fsprogs git curl wget python3 openssh-client dpkg-dev systemd \
            redis-server mosquitto rabbitmq-server postgresql influxdb rsyslog

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: run
run: build ## start sensor, forwarder and page on this host
	./$(BIN)/saker up

.PHONY: build
build: need-go ## build bin/saker and bin/saker-sensor
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/saker ./cmd/saker-sensor

.PHONY: install
install: build ## put the programs into PREFIX/bin, /usr/local/bin by default
	install -D -t $(DESTDIR)$(PREFIX)/bin $(BIN)/saker $(BIN)/saker-sensor

.PHONY: package
package: build ## build the deb and rpm packages of the sensor into dist/
	mkdir -p dist
	for p in deb rpm; do \
	  VERSION=$(if $(filter v%,$(VERSION)),$(VERSION),0.0.0-$(VERSION)) GOARCH=$$($(GO) env GOARCH) $(LINT) nfpm package -f cmd/saker-sensor/packaging/nfpm.yaml -p $$p -t dist/ || exit 1; done

.PHONY: test
test: deps gen-check lint vuln ## everything that CI runs but the slow tail
	SAKER_TEST_REQUIRE=1 $(GO) test -race -timeout 12m ./...

.PHONY: e2e
e2e: deps ## the whole product: real kernel, real servers, real containers, kill -9
	SAKER_TEST_REQUIRE=1 SAKER_E2E=1 $(GO) test -count=1 -timeout 20m -v ./e2e/...
	SAKER_TEST_REQUIRE=1 SAKER_E2E=1 $(GO) test -count=1 -timeout 20m -run TestReal $$(grep -rl 'Module:' --include='*_test.go' outputs | xargs -n1 dirname | sort -u | sed 's,^,./,')

.PHONY: bench
bench: build ## benchmarks, and sensor and forwarder from outside; PEER=path measures a Falcosidekick beside it
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) run ./e2e/sensorbench -sensor $(BIN)/saker-sensor
	$(if $(SAKER_UPSTREAM_RULES),$(GO) run ./e2e/sensorbench -sensor $(BIN)/saker-sensor -rules $(SAKER_UPSTREAM_RULES)/falco_rules.yaml)
	$(GO) run ./e2e/bench -saker $(BIN)/saker $(if $(PEER),-peer $(PEER))

.PHONY: gen
gen: need-go ## regenerate eBPF objects, documentation, schema and examples
	$(GO) generate ./sensor/probe
	$(GO) run ./cmd/saker config generate docs

.PHONY: gen-check
gen-check: gen ## fail when what is generated is stale
	@git diff --exit-code --stat -- sensor/probe docs || { \
	  echo 'the generated files above are stale: run "make gen" and commit what it changes' >&2; exit 1; }
	@new=$$(git ls-files --others --exclude-standard -- sensor/probe docs); test -z "$$new" || { \
	  echo "generated files are not committed: $$new" >&2; exit 1; }

.PHONY: lint
lint: need-go ## golangci-lint, gofumpt, go mod tidy
	$(LINT) golangci-lint run ./...
	@out=$$($(LINT) gofumpt -l .); test -z "$$out" || { echo "not formatted (run make fmt): $$out" >&2; exit 1; }
	@$(GO) mod tidy -diff >/dev/null || { echo 'go.mod is not tidy: run "go mod tidy"' >&2; exit 1; }

.PHONY: fmt
fmt: ## format the Go code
	$(LINT) gofumpt -w .

.PHONY: vuln
vuln: need-go ## known vulnerabilities in what we call, where the database can be reached
	@out=$$($(LINT) govulncheck ./... 2>&1); code=$$?; \
	case "$$out" in \
	  *'fetching vulnerabilities'*|*'no such host'*|*'dial tcp'*|*'connection refused'*|*'403'*|*'404'*) \
	    echo 'vuln: the vulnerability database cannot be reached from here; not checked' ;; \
	  *) echo "$$out"; exit $$code ;; \
	esac

.PHONY: deps
deps: need-go ## install what the tests need, or say what is missing
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing:$$missing"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else \
	    echo "missing packages:$$missing" >&2; \
	    echo "install them as root: apt-get install --no-install-recommends$$missing" >&2; exit 1; \
	  fi; fi

.PHONY: need-go
need-go:
	@command -v $(GO) >/dev/null || { echo 'Go is missing: install Go 1.26 or newer (https://go.dev/dl) and put it on the PATH' >&2; exit 1; }

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) dist
