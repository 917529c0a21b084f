# What a person does with this repository. `make` lists it.

# The newest tag, or the commit; goes into the binary.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.version=$(VERSION)
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# Tools that are built once stay outside of the checkout, where .ci/run finds them too.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/taskgrid-tools/bin
GOLANGCI_VERSION = v2.15.0
GOLANGCI = $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
BUF = go tool -modfile=tools/go.mod buf

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build ./taskgrid, static
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o taskgrid ./cmd/taskgrid

.PHONY: gen
gen: ## generate proto/**/*.pb.go, docs/configuration.md and deploy/kubernetes/compose
	$(BUF) generate
	mkdir -p docs
	go generate ./cmd/taskgrid
	cd deploy/kubernetes/check && go run ./facts

.PHONY: check
check: ## within a minute: format, vet, build, the tests that start no processes
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	go test -short $$(go list ./... | grep -v /tests/process)

.PHONY: test
test: ## all tests with the race detector; the process tests start the built binary
	go test -race -timeout 20m $(TESTFLAGS) ./tests/virtual ./tests/process ./... # what takes longest begins first

.PHONY: repeat
repeat: ## all tests RUNS=200 times beside CPU load, for FOR=1h; the count goes on where it was (RUNS=200 FOR=0: to the end; REPEATFLAGS=-race=false: quicker)
	go run ./tests/repeat -runs $(or $(RUNS),200) -for $(or $(FOR),1h) $(REPEATFLAGS)

.PHONY: e2e
e2e: ## the process tests alone, then the compose tests
	go test -count=1 $(TESTFLAGS) ./tests/process/...
	$(MAKE) compose

.PHONY: compose
compose: ## the compose tests; they need a container engine and docker compose (.ci/engine up)
	COMPOSE_TESTS=1 go test -count=1 -timeout 30m $(TESTFLAGS) ./tests/compose/...

.PHONY: simulate
simulate: ## faults in virtual time: SEEDS=10000 of the rules alone, STORMS=300 of the whole; or one with its log: SEED=4711
	GOGC=400 go test -count=1 -timeout 0 ./tests/simulation $(TESTFLAGS) -v -run Keeps -seeds $(or $(SEEDS),10000) -seed $(or $(SEED),0)
	test -n "$(SEED)" || GOGC=400 go test -count=1 -timeout 30m ./tests/virtual $(TESTFLAGS) -run InAStorm -storms $(or $(STORMS),300)

.PHONY: chaos
chaos: ## faults to real processes under load, DURATION=3m, then failovers; CHAOS_SEED=… repeats the order of the faults
	CHAOS_DURATION=$(or $(DURATION),3m) go test -count=1 -v -timeout 30m $(TESTFLAGS) -run TestNothingIsLostStuckOrDoneTwiceUnderChaos ./tests/chaos
	FAILOVERS=3 go test -count=1 -timeout 30m $(TESTFLAGS) ./tests/failover
	FAILOVERS=3 go test -count=1 $(TESTFLAGS) -run TestTheGapOfAFailoverIsShort ./tests/process

.PHONY: soak
soak: ## the same for long, DURATION=1h, and nothing may grow
	SOAK_DURATION=$(or $(DURATION),1h) go test -count=1 -v -timeout 0 $(TESTFLAGS) -run TestNothingGrowsInALongRun ./tests/chaos

FUZZTIME ?= 20s

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME (20s), two at a time
	.ci/fuzz $(FUZZTIME)

.PHONY: histories
histories: ## 200 runs of a cluster with failovers, each checked for linearizability
	HISTORIES=200 go test -count=1 -run TestWhatCallersSeeOfATaskHasAnOrder $(TESTFLAGS) ./tests/virtual

.PHONY: limits
limits: ## the bounds of docs/limits.md in full: a million tasks, 10,000 watchers, 10,000 payloads of 64 KiB …
	LIMITS=full go test -count=1 -v -timeout 15m ./tests/limits $(TESTFLAGS)
	LIMITS=full go test -count=1 -timeout 10m ./tests/virtual ./monitoring ./internal/rpc -run 'Thousand|TestOneCallTooMany' $(TESTFLAGS)

.PHONY: mutants
mutants: ## known mistakes, laid over our code one at a time: the tests must notice each
	go run ./tests/mutants $(MUTANTFLAGS)

.PHONY: failures
failures: ## measure the table of docs/failures.md, in some ten minutes
	FAILURES_ROUNDS=100 go test -count=1 -v -timeout 1h $(TESTFLAGS) -run TestHowLongFaultsTake ./tests/chaos

.PHONY: failover
failover: ## kill leaders of three dispatchers under 500 tasks/s and measure the pauses, N=30
	FAILOVERS=$(or $(N),30) go test -count=1 -v -timeout 1h $(TESTFLAGS) ./tests/failover

.PHONY: kubernetes
kubernetes: $(GOLANGCI) ## check deploy/kubernetes against published schemas and docker-compose.yml; needs no cluster
	cd deploy/kubernetes/check && $(GOLANGCI) run --allow-parallel-runners -c ../../../.golangci.yml ./...
	cd deploy/kubernetes/check && go test -count=1 $(TESTFLAGS) ./...

.PHONY: demo
demo: ## a grid with the random test client, in a temporary folder
	go run ./cmd/taskgrid up --client --ephemeral

.PHONY: bench
bench: build ## measure a grid on this machine (BENCHFLAGS='--phases …')
	./taskgrid bench $(BENCHFLAGS)

.PHONY: bench-peers
bench-peers: build ## measure TaskGrid beside asynq, river and JetStream (needs redis-server, postgresql); draws docs/peers.svg
	cd bench/peers && go run . -svg ../../docs/peers.svg $(BENCHFLAGS)

.PHONY: microbench
microbench: ## the micro-benchmarks, for benchstat
	go test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...

.PHONY: lint
lint: $(GOLANGCI) ## gofmt, go vet, golangci-lint, buf lint
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	$(GOLANGCI) run --allow-parallel-runners ./...
	$(BUF) lint

$(GOLANGCI): # takes some minutes, once
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

.PHONY: cross
cross: ## build for Linux, macOS and Windows on amd64 and arm64 into .build
	@mkdir -p .build
	@for platform in $(PLATFORMS); do \
		os=$${platform%/*}; arch=$${platform#*/}; file=.build/taskgrid-$$os-$$arch; \
		[ $$os != windows ] || file=$$file.exe; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags "$(LDFLAGS)" -o $$file ./cmd/taskgrid || exit 1; \
		echo "$$file $$(( $$(wc -c <$$file) / 1000000 )) MB"; \
	done
