package workload

import (
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// TestLostWritesShow loses one acknowledged mutation in some hundred, each on a key
// of its own, under full concurrency and without any fault, and counts how many
// keys are found out. Most of the others cannot be: the next write was concurrent,
// so nobody can say which came first.
func TestLostWritesShow(t *testing.T) {
	for _, c := range []struct {
		workload string
		share    float64
	}{
		{"register", 0.25},
		{"cas-register", 0.4},
	} {
		w, err := Lookup(c.workload)
		if err != nil {
			t.Fatal(err)
		}
		lost := map[history.Key]bool{}
		h := losing(t, w, lost)
		r := check.Linearizable(c.workload, check.Options{Explain: 1}).Check(t.Context(), h)
		d, ok := r.Details.(check.LinearizableDetails)
		if !ok {
			t.Fatalf("details are %T", r.Details)
		}
		for _, key := range d.Invalid {
			if !lost[key] {
				t.Errorf("%s: key %s lost nothing, but is not linearizable", c.workload, key)
			}
		}
		if n := len(d.Invalid); len(lost) < 20 || float64(n) < c.share*float64(len(lost)) {
			t.Errorf("%s: %d of %d keys that lost a write were found", c.workload, n, len(lost))
		}
	}
}

// losing simulates a workload on a correct store that now and then acknowledges a
// mutation without doing it. Keys that it did this to are added to lost.
func losing(t *testing.T, w Workload, lost map[history.Key]bool) *history.History {
	t.Helper()
	o := Options{Concurrency: 10, Nodes: 5, TimeLimit: 20 * time.Second, Rate: 1000}
	s := newStore()
	n := uint64(0)
	out, err := Simulate(Simulation{
		Generator: w.Generator(o), Final: w.Final(o), Concurrency: 10,
		Respond: func(_ int, op history.Event) Answer {
			n++
			r := randAt(5, n)
			a := Answer{Type: history.OK, Latency: time.Duration(1 + r.IntN(6_000_000))}
			if op.F != Read && !lost[op.Key] && r.Split(3).Chance(0.005) {
				lost[op.Key] = true
				return a
			}
			v, err := s.apply(op)
			if a.Value = v; err != nil {
				a.Type, a.Error = history.Fail, err.Error()
			}
			return a
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.New(out.Events...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestForksMeet: in most groups of long-fork two writes follow each other at once, so that
// their commits meet, and in many a write stands alone between reads.
func TestForksMeet(t *testing.T) {
	w, err := Lookup("long-fork")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Concurrency: 10, Nodes: 2, TimeLimit: 20 * time.Second, Rate: 1000}
	out, err := Simulate(Simulation{
		Generator: w.Generator(o), Concurrency: 10,
		Respond: func(int, history.Event) Answer {
			return Answer{Type: history.OK, Latency: 4 * time.Millisecond}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := map[history.Key][]int{} // of each group, the lengths of its runs of writes
	last := map[history.Key]bool{}
	for _, ev := range out.Events {
		if ev.Type != history.Invoke {
			continue
		}
		write := !history.ReadOnly(ev.Value)
		switch {
		case write && last[ev.Key]:
			runs[ev.Key][len(runs[ev.Key])-1]++
		case write:
			runs[ev.Key] = append(runs[ev.Key], 1)
		}
		last[ev.Key] = write
	}
	together, alone := 0, 0
	for _, lengths := range runs {
		if slices.Max(lengths) > 1 {
			together++
		}
		if slices.Contains(lengths, 1) {
			alone++
		}
	}
	if n := len(runs); n < 100 || together < n*7/10 || alone < n/5 {
		t.Errorf("of %d groups %d have writes together and %d a write alone", n, together, alone)
	}
}
