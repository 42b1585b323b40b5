package soak

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlan reads every key.
func TestPlan(t *testing.T) {
	p, err := ParsePlan("dir/plan.yaml", []byte(`
name: nightly
doc: what it is for
seed: 12
budget: {time: 8h, runs: 100, disk: 20GB, memory: 512MiB, parallel: 2}
repeat: 5
defaults: {cluster: sim, rate: 20, time: 1m, check_memory: 1GiB}
matrix:
  - protocol: [paxos, quorum]
    workload: all
    faults: [all, "partition, kill"]
    time: [30s, 2m]
    weight: 3
    limit: 5m
  - {name: canary, canary: true, protocol: paxos, bug: cli-timeout-as-fail, rate: 7, nodes: 3,
     rush: true, noise: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Budget{Time: 8 * time.Hour, Runs: 100, Disk: 20e9, Memory: 512 << 20, Parallel: 2}
	if p.Name != "nightly" || p.Seed != 12 || !p.Seeded || p.Budget != want || p.Repeat != 5 {
		t.Errorf("%+v", p)
	}
	var ids []string
	for _, c := range p.Cells {
		ids = append(ids, c.ID)
	}
	for _, id := range []string{
		"sim/paxos/cas-register/all/30s", "sim/paxos/cas-register/partition+kill/2m",
		"sim/quorum/register/all/2m", "canary/sim/paxos/cas-register/all/1m/cli-timeout-as-fail",
	} {
		if !slices.Contains(ids, id) {
			t.Errorf("no cell %s in %v", id, ids)
		}
	}
	last := p.Cells[len(p.Cells)-1]
	c := last.Config
	if !last.Canary || last.Weight != 1 || c.Rate != 7 || c.Nodes != 3 || c.TimeLimit != time.Minute ||
		c.CheckMemory != 1<<30 || !c.Rush || !c.Noise || last.Limit != c.Longest() {
		t.Errorf("%+v", last)
	}
	first := p.Cells[0]
	if first.Weight != 3 || first.Limit != 5*time.Minute || first.Config.Rate != 20 ||
		first.Config.Rush {
		t.Errorf("%+v", first)
	}
}

// TestPlanMistakes: all of them are told at once, each with its line.
func TestPlanMistakes(t *testing.T) {
	_, err := ParsePlan("plan.yaml", []byte(`name: "two words"
seed: many
bugdet: {time: 1h}
budget: {time: -1s, runs: 0, disk: 20 bananas, memory: 1XB, parallel: 0}
repeat: 1000
defaults: {weight: 2, cluster: sim}
matrix:
  - {protocol: paxos, workload: [register, lock], time: 1ms}
  - {protocol: nothing}
  - {canary: true}
  - {weight: 0, protocol: quorum}
  - {protocol: quorum}
  - {protocol: quorum}
  - {protocol: quorum, limit: 0s, name: x}
  - {system: none.yaml, name: y}
  - {protocol: paxos, bug: abd-no-write-back, name: z}
  - {protocol: quorum, faults: earthquake, name: q}
`))
	if err == nil {
		t.Fatal("no mistake")
	}
	for _, want := range []string{
		`plan.yaml:1: name is "two words"`, `plan.yaml:2: seed is "many"`,
		`plan.yaml:3: unknown key "bugdet"`, `plan.yaml:4: time is -1s`, `plan.yaml:4: runs is 0`,
		`plan.yaml:4: disk is "20 bananas"`, `plan.yaml:4: memory is "1XB"`,
		`plan.yaml:4: parallel is 0`, `plan.yaml:5: repeat is 1000`, `plan.yaml:6: weight is an entry's`,
		`plan.yaml:8: workload lock cannot run`, `plan.yaml:8: time limit is 1ms`,
		`plan.yaml:9: `, `plan.yaml:10: a canary needs a bug`, `plan.yaml:11: weight is 0`,
		`plan.yaml:13: the cell sim/quorum/register/all/1m is there already`,
		`plan.yaml:14: limit: want more than 0s`, `plan.yaml:15: system: open none.yaml`,
		`plan.yaml:16: `, `plan.yaml:17: `,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n > 24 {
		t.Errorf("%d lines: mistakes of several cells are told once\n%v", n, err)
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1B": 1, "20GB": 20e9, "512MiB": 512 << 20, "1.5 TB": 15e11, "3kB": 3000, "2TiB": 2 << 40,
		"": 0, "20": 0, "GB": 0, "-1GB": 0, "1iB": 0, "1PB": 0, "99999999TB": 0,
	} {
		got, err := ParseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

// TestDeck: each round has the cells as often as they weigh, in an order that only the seed
// decides, and the first begins with the canaries.
func TestDeck(t *testing.T) {
	cells := []Cell{
		{CellInfo: CellInfo{ID: "a", Weight: 3}}, {CellInfo: CellInfo{ID: "b", Weight: 1}},
		{CellInfo: CellInfo{ID: "c", Weight: 2, Canary: true}},
	}
	order := func(seed uint64, from, to int) []string {
		d := newDeck(seed, cells)
		var out []string
		for n := from; n <= to; n++ {
			out = append(out, d.cell(n).ID)
		}
		return out
	}
	all := order(1, 1, 600)
	if all[0] != "c" {
		t.Errorf("the first run is of %s, want the canary", all[0])
	}
	for round := range 100 {
		cards := slices.Clone(all[round*6 : round*6+6])
		slices.Sort(cards)
		if got := strings.Join(cards, ""); got != "aaabcc" {
			t.Errorf("round %d deals %s", round, got)
		}
	}
	if !slices.Equal(order(1, 301, 600), all[300:]) {
		t.Error("what is dealt depends on what was dealt before")
	}
	if slices.Equal(order(2, 1, 600), all) {
		t.Error("another seed deals the same")
	}
}

// TestRunSeed: no two runs have the same seed, and another master seed gives others.
func TestRunSeed(t *testing.T) {
	seen := map[uint64]int{}
	const runs = 200_000
	for n := 1; n <= runs; n++ {
		s := runSeed(42, n)
		if before, twice := seen[s]; twice || s >= 1<<seedBits {
			t.Fatalf("run %d has seed %d, as run %d", n, s, before)
		}
		seen[s] = n
	}
	common := 0
	for n := 1; n <= runs; n++ {
		if _, there := seen[runSeed(43, n)]; there {
			common++
		}
	}
	if expected := math.Pow(runs, 2) / (1 << seedBits); float64(common) > 10*expected+10 {
		t.Errorf("%d seeds in common, want about %.1f", common, expected)
	}
}

func TestParseShard(t *testing.T) {
	env := func(string) string { return "4" }
	for text, want := range map[string][2]int{
		"1/1": {1, 1}, "3/10": {3, 10}, "job/10": {5, 10}, "job/5": {5, 5},
		"": {}, "3": {}, "0/3": {}, "4/3": {}, "a/3": {}, "1/0": {}, "job/4": {}, "1/x": {},
	} {
		k, n, err := ParseShard(text, env)
		if want != [2]int{k, n} && err == nil || (err == nil) != (want[1] > 0) {
			t.Errorf("%q: %d/%d, %v; want %v", text, k, n, err, want)
		}
	}
	if _, _, err := ParseShard("job/3", func(string) string { return "" }); err == nil {
		t.Error("outside of a job: no mistake")
	}
}
