.DEFAULT_GOAL := help
.PHONY: help demo test test-long race lint bench fuzz twins corpora sim recall matrix soak soak-kills manifests pictures build image-base smoke smoke-faults ci clean

help:   ## print these verbs
	@grep -hE '^[a-z-]+: *##' $(MAKEFILE_LIST) | sed 's/: *##/\t/' | expand -t 14
demo:   ## hurt a real cluster: one protocol passes, one planted bug is caught
	go run ./cmd/checker demo
test:   ## run the tests (no root, no Docker, two minutes)
	go test ./...
test-long: ## run all of them in full, as continuous integration does
	ORDEAL_LONG=required go test ./...
race:   ## run all tests under the race detector, in full
	ORDEAL_LONG=required SIM_SEEDS=60 go test -race -timeout 20m ./...
lint:   ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; } && go vet ./... && go tool staticcheck ./...
bench:  ## run the benchmarks of docs/PERFORMANCE.md
	go test -run '^$$' -bench . -benchmem ./history ./check ./check/linear ./workload ./cluster/... && go run ./bench/throughput && go run ./bench/txn
fuzz:   ## fuzz the codecs for a minute each
	for f in FuzzDecode FuzzEDN FuzzForms FuzzParseValue; do \
	  go test -run '^$$' -fuzz $$f -fuzztime 1m -fuzzminimizetime 5x ./history || exit 1; done
twins:  ## compare verdict engines with brute force over 100,000 histories each (an hour)
	ORDEAL_LONG=required CHECK_ROUNDS=100000 go test -timeout 3h ./check/...
corpora: ## compare verdicts with those of recorded histories, CORPORA=directory
	go run ./bench/corpora -dir "$(CORPORA)"
sim:    ## simulate the protocols over 10,000 seeds each
	ORDEAL_LONG=required SIM_SEEDS=10000 go test -timeout 3h -run 'Sim|Disk|Crashes' ./target/...
recall: ## how many planted bugs are found, and how soon, in the simulator (docs/RECALL.md; an hour)
	go run ./cmd/checker recall --parallel 2 --results store/recall.jsonl
matrix: ## every correct protocol, 10 minutes of each workload of its claim (hours)
	go run ./cmd/checker recall --matrix --cluster local --for 10m --nodes 3 --rate 50 --parallel 4 --results matrix.jsonl
soak:   ## soak examples/soak/quick.yaml, SOAK=another plan, in soak/ (docs/SOAK.md)
	go run ./cmd/checker soak $(or $(SOAK),examples/soak/quick.yaml)
KILLS = 20
soak-kills: ## kill soaks with SIGKILL at random moments, KILLS=20 of each, and look whether anything is lost
	ORDEAL_LONG=required ORDEAL_SOAK_KILLS=$(KILLS) go test -count=1 -timeout 20m -v -run 'TestKilled|TestSoakKilled' ./soak ./cmd/checker
manifests: ## write deploy/kubernetes anew
	go test ./soak -run Kubernetes -update
TIMES = 1
track-record: ## known anomalies of other systems, red and green, TIMES each (Linux, root, apt; a quarter of an hour)
	go run ./bench/trackrecord -times $(TIMES) -out docs/TRACK-RECORD.md
pictures: ## make the README's pictures from the report's tests (needs Chromium)
	ORDEAL_LONG=required ORDEAL_CHROMIUM=required ORDEAL_SCREENSHOTS="$(CURDIR)/docs/images" go test -count=1 -run 'TestBrowser/(invalid|moving)$$' ./reports
build:  ## build both programs into bin/
	go build -o bin/ ./cmd/...
image-base: ## base images for docker-compose.yml, made here where no registry is reached
	docker/image-base
smoke:  ## tests in containers, from nothing to nothing (installs docker.io if there is none)
	.ci/smoke
smoke-faults: ## every fault in containers, a killed controller amid each, 20 runs in a row (an hour)
	.ci/smoke-faults
ci:     ## what continuous integration runs
	.ci/run
clean:  ## remove built programs; the store of runs stays
	rm -rf bin
