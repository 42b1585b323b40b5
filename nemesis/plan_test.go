package nemesis

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// familyOf names the broad family of a step.
func familyOf(s Step) string {
	for _, f := range broadFamilies() {
		for _, v := range f.flavors {
			if v.kind == s.Fault {
				return f.name
			}
		}
	}
	return s.Fault
}

func plan(t *testing.T, c PlanConfig) []Step {
	t.Helper()
	steps, err := Plan(c)
	if err != nil {
		t.Fatalf("seed %d: %v", c.Seed, err)
	}
	for _, s := range steps {
		if err := s.Validate(); err != nil {
			t.Errorf("seed %d: step %d: %v", c.Seed, s.ID, err)
		}
		if end := s.At + s.For; end > c.Duration || s.At < 0 {
			t.Errorf("seed %d: step %d from %v to %v of %v", c.Seed, s.ID, s.At, end, c.Duration)
		}
	}
	return steps
}

func TestPlanIsDetermined(t *testing.T) {
	for seed := range uint64(20) {
		c := PlanConfig{
			Seed: seed, Nodes: someNodes(5), Faults: []string{"all"}, Duration: time.Minute,
		}
		steps := plan(t, c)
		if again := plan(t, c); !reflect.DeepEqual(steps, again) {
			t.Errorf("seed %d: two different schedules", seed)
		}
		c.Seed++
		if other := plan(t, c); reflect.DeepEqual(steps, other) {
			t.Errorf("seeds %d and %d: the same schedule", seed, seed+1)
		}
	}
}

// TestPlanCovers wants every family in a minute, and the core in twenty seconds.
func TestPlanCovers(t *testing.T) {
	all := []string{"partition", "messages", "kill", "pause", "restart", "clients"}
	tests := []struct {
		faults   []string
		duration time.Duration
		want     []string
	}{
		{[]string{"all"}, time.Minute, all},
		{[]string{"all"}, 45 * time.Second, all},
		{[]string{"all"}, 20 * time.Second, all[:4]},
		{[]string{"all"}, 30 * time.Second, all[:4]},
		{[]string{"partition", "kill"}, 12 * time.Second, []string{"partition", "kill"}},
		{all[:4], 20 * time.Second, all[:4]},
	}
	for _, test := range tests {
		for seed := range uint64(longtest.Of(20, 100)) {
			for _, n := range []int{3, 5} {
				steps := plan(t, PlanConfig{
					Seed: seed, Nodes: someNodes(n), Faults: test.faults, Duration: test.duration,
				})
				var got []string
				for _, s := range steps {
					got = append(got, familyOf(s))
				}
				for _, f := range test.want {
					if !slices.Contains(got, f) {
						t.Errorf("%v, %v, seed %d: no %s in %v",
							test.faults, test.duration, seed, f, got)
					}
				}
			}
		}
	}
}

// TestPlanDeafLeader wants in every minute a leader that hears nobody for long.
func TestPlanDeafLeader(t *testing.T) {
	for _, faults := range []string{"all", "partition"} {
		for seed := range uint64(100) {
			steps := plan(t, PlanConfig{
				Seed: seed, Nodes: someNodes(3), Faults: []string{faults}, Duration: 3 * time.Minute,
			})
			for minute := range 3 {
				from := time.Duration(minute) * time.Minute
				if !slices.ContainsFunc(steps, func(s Step) bool {
					return s.Shape == ShapeDeaf && s.Target == TargetPrimaries &&
						s.For >= longMin && s.At >= from && s.At < from+time.Minute
				}) {
					t.Errorf("%s, seed %d: none in minute %d", faults, seed, minute)
				}
			}
		}
	}
}

// planStats are what a plan looks like over many seeds.
type planStats struct {
	steps, overlapping, long, partitions, aimed, kills, majority int
	gaps                                                         time.Duration
	losses                                                       int
}

func (p *planStats) add(steps []Step) {
	end := time.Duration(0)
	for i, s := range steps {
		p.steps++
		if s.At < end {
			p.overlapping++
		}
		if s.For >= longMin {
			p.long++
		}
		if i > 0 {
			p.gaps += s.At - steps[i-1].At
		}
		end = max(end, s.At+s.For)
		switch familyOf(s) {
		case "partition":
			p.partitions++
			if s.Target == TargetPrimaries {
				p.aimed++
			}
		case "kill":
			p.kills++
			if s.Target == TargetMajority || s.Target == TargetAll {
				p.majority++
			}
		case "messages":
			if s.Params["loss"] >= "0.1" && s.Params["loss"] <= "0.4" && len(s.Nodes) == 0 {
				p.losses++
			}
		}
	}
}

// TestPlanProportions holds the plan to its promises, on average over seeds.
func TestPlanProportions(t *testing.T) {
	var p planStats
	for seed := range uint64(200) {
		p.add(plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(5), Faults: []string{"all"}, Duration: 3 * time.Minute,
		}))
	}
	share := func(name string, n, of int, low, high float64) {
		got := float64(n) / float64(of)
		t.Logf("%s: %.2f", name, got)
		if got < low || got > high {
			t.Errorf("%s: %.2f, want %.2f to %.2f", name, got, low, high)
		}
	}
	share("overlapping", p.overlapping, p.steps, 0.25, 0.4)
	share("long", p.long, p.steps, 0.15, 0.3)
	share("partitions aimed at leaders", p.aimed, p.partitions, 0.45, 0.7)
	share("kills of a majority", p.majority, p.kills, 0.35, 0.6)
	share("seconds between starts", int(p.gaps.Seconds()), p.steps, 4.5, 5.5)
	if p.losses == 0 {
		t.Error("no step loses 10 to 40 % on all links")
	}
}

// TestPlanLeavesGaps wants a second without faults again and again.
func TestPlanLeavesGaps(t *testing.T) {
	for seed := range uint64(50) {
		steps := plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(3), Faults: []string{"all"}, Duration: 3 * time.Minute,
		})
		if steps[0].At < 2*time.Second {
			t.Errorf("seed %d: the first begins at %v", seed, steps[0].At)
		}
		end, since := time.Duration(0), 0
		for _, s := range steps {
			since++
			if s.At >= end+500*time.Millisecond {
				since = 1
			}
			if since > crowdSize {
				t.Errorf("seed %d: step %d is the %dth without a gap", seed, s.ID, since)
			}
			end = max(end, s.At+s.For)
		}
		if end > 3*time.Minute-2*time.Second {
			t.Errorf("seed %d: the last ends at %v", seed, end)
		}
	}
}

// TestPlanEverything plans each family by itself for all sizes of clusters.
func TestPlanEverything(t *testing.T) {
	for _, f := range Families() {
		for _, n := range []int{1, 2, 3, 4, 5, 7} {
			for _, leaderless := range []bool{false, true} {
				steps, err := Plan(PlanConfig{
					Seed: 1, Nodes: someNodes(n), Faults: []string{f.Name},
					Duration: 30 * time.Second, NoPrimaries: leaderless, Orders: allOrders(),
				})
				_, message := slices.BinarySearch([]string{
					"admin", "corrupt", "delay", "duplicate", "echo", "flapping", "hold", "isolate-kill",
					"isolate-restart", "lag", "loss",
					"messages", "move", "one-way", "partition", "rate", "reorder", "replay", "transfer",
				}, f.Name)
				member := n < 3 && slices.Contains([]string{"membership", "volume", "wipe"}, f.Name)
				if impossible := n == 1 && message || member; impossible != (err != nil) {
					t.Errorf("%s of %d nodes: %v", f.Name, n, err)
				}
				for _, s := range steps {
					if err := s.validateIn(&Env{
						Nodes: someNodes(n), Network: &fakeCluster{}, Processes: &fakeCluster{},
						Clocks: &fakeCluster{}, Disks: &fakeCluster{}, Hosts: &fakeCluster{},
						Admin: &fakeCluster{}, Orders: allOrders(),
					}); err != nil {
						t.Errorf("%s of %d nodes: %v", f.Name, n, err)
					}
					if leaderless && s.Target == TargetPrimaries {
						t.Errorf("%s of %d nodes: %+v aims at leaders", f.Name, n, s)
					}
				}
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	var logged bytes.Buffer
	steps, err := Plan(PlanConfig{
		Nodes: someNodes(1), Faults: []string{"all"}, Duration: time.Minute,
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	if err != nil || len(steps) == 0 || !strings.Contains(logged.String(), "fault=partition") {
		t.Errorf("all of one node: %d steps, %v, log %s", len(steps), err, &logged)
	}
	tests := []struct {
		config PlanConfig
		want   string
	}{
		{PlanConfig{Faults: []string{"kil"}}, `no fault "kil"`},
		{PlanConfig{Faults: []string{"kill"}}, "no nodes"},
		{PlanConfig{Faults: []string{"kill", "none"}}, "none excludes"},
		{PlanConfig{Nodes: someNodes(3), Faults: []string{"kill"}}, "duration 0s"},
		{PlanConfig{
			Nodes: someNodes(3), Faults: []string{"pause"}, Duration: 100 * time.Millisecond,
		}, "too short"},
		{PlanConfig{
			Nodes: someNodes(2), Faults: []string{"all"}, Duration: time.Minute, Noise: true,
		}, "noise: it takes three nodes"},
		{PlanConfig{
			Nodes: someNodes(3), Faults: []string{"kill"}, Duration: time.Minute, Noise: true,
		}, "messages among the faults"},
	}
	for _, test := range tests {
		if _, err := Plan(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.config, err, test.want)
		}
	}
	for _, faults := range [][]string{nil, {"none"}} {
		steps, err := Plan(PlanConfig{
			Nodes: someNodes(3), Faults: faults, Duration: time.Minute,
		})
		if err != nil || len(steps) != 0 {
			t.Errorf("%v: %v, %v", faults, steps, err)
		}
	}
}

// TestScheduleRoundTrip writes schedules and reads them back.
func TestScheduleRoundTrip(t *testing.T) {
	for seed := range uint64(20) {
		steps := plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(5), Faults: []string{"all", "rate", "one-way"},
			Duration: 2 * time.Minute,
		})
		var b bytes.Buffer
		must(t, WriteSchedule(&b, steps))
		again, err := ReadSchedule("x", &b)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(steps) {
			t.Errorf("seed %d: %v\n%v\n%v", seed, err, steps, again)
		}
	}
}

func TestReadSchedule(t *testing.T) {
	steps, err := ReadSchedule("mine", strings.NewReader(`
# a comment, and another
// of the other sort
{"at": "2s", "for": "5s", "fault": "partition", "shape": "deaf", "target": "primaries"}
  {"at": "9s", "for": "1s", "fault": "loss", "params": {"loss": 0.3, "jitter": "10ms"}}

{"id": 7, "at": "12s", "for": "1s", "fault": "kill", "nodes": ["n1"]}`))
	if err != nil || len(steps) != 3 {
		t.Fatalf("%v, %v", steps, err)
	}
	if steps[0].ID != 1 || steps[1].ID != 2 || steps[2].ID != 7 {
		t.Errorf("ids %d %d %d", steps[0].ID, steps[1].ID, steps[2].ID)
	}
	if got := steps[1].Params.String(); got != "jitter=10ms loss=0.3" {
		t.Errorf("params %s", got)
	}
	bad := []struct{ line, want string }{
		{`{`, "unexpected end"},
		{`{"at":"1s","for":"1s","fault":"kill","nods":["n1"]}`, `unknown field "nods"`},
		{`{"at":"1","for":"1s","fault":"kill"}`, "at: time: missing unit"},
		{`{"at":"1s","fault":"kill"}`, "for: time: invalid duration"},
		{`{"at":"1s","for":"1s","fault":"explode"}`, `fault "explode" does not exist`},
		{`{"at":"-1s","for":"0s","fault":"kill"}`, "want at >= 0 and for > 0"},
		{`{"at":"1s","for":"1s","fault":"kill","shape":"ring"}`, `kill has no shape "ring"`},
		{`{"at":"1s","for":"1s","fault":"kill","target":"boss"}`, `target "boss" does not exist`},
		{`{"at":"1s","for":"1s","fault":"kill","target":"nodes"}`, "needs a list of nodes"},
		{`{"at":"1s","for":"1s","fault":"loss","params":{"los":1}}`, `no parameter "los"`},
		{`{"at":"1s","for":"1s","fault":"loss","params":{"loss":2}}`, `"2" is no share`},
		{`{"at":"1s","for":"1s","fault":"delay","params":{"delay":50}}`, `"50" is no time`},
		{`{"at":"1s","for":"1s","fault":"rate","params":{"rate":"1k"}}`, `"1k" is no bytes/s`},
		{`{"at":"1s","for":"1s","fault":"loss","params":{"loss":[]}}`, "want a number or text"},
		{`{"id":-1,"at":"1s","for":"1s","fault":"kill"}`, "id -1"},
	}
	for _, test := range bad {
		_, err := ReadSchedule("mine", strings.NewReader("# first\n"+test.line))
		if err == nil || !strings.HasPrefix(err.Error(), "mine:2: ") ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.line, err, test.want)
		}
	}
	line := `{"id":1,"at":"1s","for":"1s","fault":"kill"}`
	_, err = ReadSchedule("mine", strings.NewReader(line+"\n"+line+"\nbad"))
	if err == nil || !strings.Contains(err.Error(), "mine:2: id 1 is that of line 1") ||
		!strings.Contains(err.Error(), "mine:3: ") {
		t.Errorf("all mistakes at once: %v", err)
	}
}

// TestCatalog holds the catalog to its own rules.
func TestCatalog(t *testing.T) {
	names := map[string]bool{}
	for _, k := range Kinds() {
		if k.Doc == "" || k.Proof == "" || k.build == nil || names[k.Name] ||
			!k.UsesNetwork && !k.UsesProcesses && !k.UsesClocks && k.Admin == nil && k.Host == "" {
			t.Errorf("kind %q is incomplete or there twice", k.Name)
		}
		names[k.Name] = true
		for _, p := range k.Params {
			if err := p.check(p.Default); err != nil || p.Doc == "" {
				t.Errorf("%s: parameter %s: %v", k.Name, p.Name, err)
			}
		}
	}
	seen := map[string]bool{}
	for _, f := range families() {
		if f.doc == "" || len(f.flavors) == 0 || seen[f.name] {
			t.Errorf("family %q is incomplete or there twice", f.name)
		}
		seen[f.name] = true
		for _, v := range f.flavors {
			if !names[v.kind] {
				t.Errorf("family %s: no kind %q", f.name, v.kind)
			}
		}
	}
}

// FuzzReadSchedule reads anything; what it accepts survives being written.
func FuzzReadSchedule(f *testing.F) {
	f.Add(`{"at":"1s","for":"1s","fault":"kill","nodes":["n1"]}`)
	f.Add("# x\n" + `{"id":3,"at":"1h2m","for":"1ns","fault":"loss","params":{"loss":0.30}}`)
	f.Add(`{"at":"0s","for":"1s","fault":"partition","shape":"deaf","target":"primaries"}`)
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := ReadSchedule("x", strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		must(t, WriteSchedule(&b, steps))
		again, err := ReadSchedule("x", &b)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(steps) {
			t.Errorf("%v\n%v\n%v", err, steps, again)
		}
	})
}

// TestRegularFaults holds plans to what each minute must have: without a power cut of
// all nodes and a deaf leader some mistakes cannot show at all.
func TestRegularFaults(t *testing.T) {
	for _, c := range []struct {
		length     time.Duration
		cuts, deaf int // at least so many in a plan
		mostly     int // of a hundred plans have a power cut
	}{
		{length: 30 * time.Second, mostly: 50},
		{length: time.Minute, cuts: 1, deaf: 1},
		{length: 3 * time.Minute, cuts: 3, deaf: 2},
	} {
		with, seeds := 0, longtest.Of(100, 300)
		for seed := range uint64(seeds) {
			steps, err := Plan(PlanConfig{
				Seed: seed, Duration: c.length, Faults: []string{"all"},
				Nodes: []Node{"n1", "n2", "n3", "n4", "n5"},
			})
			if err != nil {
				t.Fatal(err)
			}
			cuts, deaf := 0, 0
			for _, s := range steps {
				if s.Fault == "kill-all" {
					cuts++
				}
				if s.Shape == ShapeDeaf {
					deaf++
				}
			}
			if cuts > 0 {
				with++
			}
			if cuts < c.cuts || deaf < c.deaf {
				t.Errorf("seed %d, %v: %d power cuts and %d deaf leaders, want %d and %d",
					seed, c.length, cuts, deaf, c.cuts, c.deaf)
			}
		}
		t.Logf("%v: %d of %d plans have a power cut", c.length, with, seeds)
		if with*100 < c.mostly*seeds {
			t.Errorf("%v: want %d %%", c.length, c.mostly)
		}
	}
}

// TestSeries holds tests with successive seeds to deal each way to hurt soon: short ones
// with decks of their own would leave out one in three.
func TestSeries(t *testing.T) {
	for _, first := range []uint64{7000, 123_456_000, 1_000_900} {
		dealt := map[string]bool{}
		for i := range uint64(14) {
			for _, s := range plan(t, PlanConfig{
				Seed: first + i, Nodes: someNodes(5), Faults: []string{"all"},
				Duration: 25 * time.Second,
			}) {
				dealt[fmt.Sprint(s.Fault, " ", s.Shape, " ", s.Else != nil)] = true
			}
		}
		for _, want := range []string{
			"isolate-restart  true", "isolate-kill  true", "kill-seq  true", "echo  true",
			"kill-all  false", "partition deaf true", "partition mute true",
			"flapping isolate true", "partition ring false", "partition bridge false",
		} {
			if !dealt[want] {
				t.Errorf("fourteen seeds from %d: no %q in %v", first, want,
					slices.Sorted(maps.Keys(dealt)))
			}
		}
	}
}

// TestSequels wants many leaders to be cut off while their clock is wrong, and until the cut
// is over, and no partition where none was chosen.
func TestSequels(t *testing.T) {
	for _, partition := range []bool{true, false} {
		wrong, off, longer := 0, 0, 0
		for seed := range uint64(50) {
			faults := []string{"drift"}
			if partition {
				faults = append(faults, "partition")
			}
			steps := plan(t, PlanConfig{
				Seed: seed, Nodes: someNodes(5), Faults: faults, Duration: time.Minute,
			})
			for i, s := range steps {
				if sortOf(s.Fault) == "clock" && s.Else != nil {
					wrong++
				}
				if i > 0 && s.Shape == ShapeIsolate && sortOf(steps[i-1].Fault) == "clock" &&
					s.At < steps[i-1].At+steps[i-1].For {
					off++
					if s.At+s.For < steps[i-1].At+steps[i-1].For {
						longer++
					}
				}
			}
		}
		t.Logf("partitions %v: %d leaders with a wrong clock, %d cut off, %d for as long as it was",
			partition, wrong, off, off-longer)
		if partition && off*3 < wrong || !partition && off > 0 || wrong == 0 || longer*4 < off*3 {
			t.Errorf("partitions %v: %d of %d were cut off", partition, off, wrong)
		}
	}
}

// TestNoise wants one mixture from the first fault to the last, and no other one that could
// not be told from it.
func TestNoise(t *testing.T) {
	for seed := range uint64(50) {
		c := PlanConfig{
			Seed: seed, Nodes: someNodes(5), Faults: []string{"all"}, Duration: time.Minute,
			Noise: true,
		}
		steps := plan(t, c)
		noise := steps[0]
		if noise.Fault != "messages" || noise.For < 50*time.Second {
			t.Errorf("seed %d: the first step is %+v", seed, noise)
		}
		others := 0
		for _, s := range steps[1:] {
			if sortOf(s.Fault) == "messages" && s.Nodes == nil && s.Else == nil {
				t.Errorf("seed %d: beside the noise: %+v", seed, s)
			}
			if s.At+s.For > noise.At+noise.For {
				t.Errorf("seed %d: after the noise: %+v", seed, s)
			}
			others++
		}
		if others < 5 {
			t.Errorf("seed %d: %d other faults", seed, others)
		}
	}
}

// TestAftermaths wants troubled disks to be followed, once they are sound, by a power cut or
// by a cut of other nodes, and lost disks by a cut of others while they are lost.
func TestAftermaths(t *testing.T) {
	cuts, others, lost, late := 0, 0, 0, 0
	for seed := range uint64(80) {
		steps := plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(5), Duration: time.Minute,
			Faults: []string{"disk", "wipe", "kill", "partition"},
		})
		for i, s := range steps[1:] {
			last := steps[i]
			apart := s.Shape == ShapeGroup && len(last.Nodes) > 0 &&
				!slices.ContainsFunc(s.Nodes, func(n Node) bool {
					return slices.Contains(last.Nodes, n)
				})
			troubled := stopsByDisk(last.Fault) || last.Fault == "disk-torn"
			switch after := s.At >= last.At+last.For; {
			case troubled && after && s.Fault == "kill-all":
				cuts++
			case troubled && after && apart:
				others++
			case last.Fault == "disk-wipe" && !after && apart:
				lost++
			case troubled && !after && apart && i+2 < len(steps):
				next, end := steps[i+2], last.At+last.For
				if next.Params["stagger"] != "" && next.At >= end && next.At < s.At+s.For {
					late++ // all restart while others are still cut off
				}
			}
		}
	}
	t.Logf("after troubled disks %d power cuts and %d cuts of others; %d beside lost disks; "+
		"%d power cuts while others had been away", cuts, others, lost, late)
	if cuts < 10 || others < 8 || lost < 35 || late < 4 {
		t.Error("these are too few")
	}
}

// TestShift wants many cuts to be followed by one of others that begins just before the first
// ends, and a node that both have left alone to be hit at that moment.
func TestShift(t *testing.T) {
	shifts, blows := 0, map[string]int{}
	for seed := range uint64(60) {
		steps := plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(5), Duration: time.Minute,
			Faults: []string{"partition", "kill", "wipe"},
		})
		for i, s := range steps[1:] {
			last := steps[i]
			if s.Shape != ShapeGroup || len(last.Nodes) == 0 || last.Fault != "partition" ||
				last.At+last.For-s.At != changeTime {
				continue
			}
			shifts++
			if left := len(others(last.Nodes, s.Nodes)); left != len(last.Nodes) {
				t.Errorf("seed %d: %v is cut after %v", seed, s.Nodes, last.Nodes)
			}
			if i+2 == len(steps) {
				continue
			}
			next := steps[i+2]
			if next.At > s.At && next.At < last.At+last.For {
				blows[next.Fault]++
				if hit := slices.Concat(last.Nodes, s.Nodes); len(others(next.Nodes, hit)) == 0 {
					t.Errorf("seed %d: %v is hit between %v and %v", seed, next.Nodes, last.Nodes, s.Nodes)
				}
			}
		}
	}
	t.Logf("%d shifts, at which there was %v", shifts, blows)
	if shifts < 15 || blows["kill"] < 5 || blows["disk-wipe"] < 5 {
		t.Error("these are too few")
	}
}

// TestSlowAndKilled wants nodes to be killed while their disks are slow.
func TestSlowAndKilled(t *testing.T) {
	slow, killed := 0, 0
	for seed := range uint64(60) {
		steps := plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(5), Duration: time.Minute, Faults: []string{"disk", "kill"},
		})
		for i, s := range steps {
			if s.Fault != "disk-slow" {
				continue
			}
			slow++
			if i+1 < len(steps) && steps[i+1].Fault == "kill" && steps[i+1].At < s.At+s.For &&
				fmt.Sprint(steps[i+1].Nodes) == fmt.Sprint(s.Nodes) {
				killed++
			}
		}
	}
	t.Logf("%d slow disks, %d of them of nodes that were killed", slow, killed)
	if killed*3 < slow {
		t.Error("these are too few")
	}
}
