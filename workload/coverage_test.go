package workload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// TestFinalCoverage ends the final reads in many ways. What was not read is told, and
// the verdict does not rest on it.
func TestFinalCoverage(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		name  string
		limit time.Duration // of the final phase
		keys  int           // read at the end at most; 0 is the default
		// answers says what becomes of a read of the final phase at a node.
		answers func(node int, key history.Key) history.Type
		cut     int // events that are lost at the end; -1: the whole final phase
		verdict check.Verdict
		says    string
	}{
		{name: "whole", verdict: check.Valid, says: "were read at the end, at each of 3 nodes"},
		{name: "a choice", keys: 8, verdict: check.Valid, says: "8 of "},
		{
			name: "no time", limit: time.Millisecond, verdict: check.Unknown,
			says: "keys were not read at any node (r0, r1, ",
		},
		{
			// The operations on fresh keys take 0.8 s and the reads 0.6 s.
			name: "little time", limit: 1100 * time.Millisecond, verdict: check.Unknown,
			says: "reads of a key at a node were not begun",
		},
		{name: "one answer lost", cut: 40, verdict: check.Unknown, says: "were not begun"},
		{name: "killed before", cut: -1, verdict: check.Unknown, says: "there were no final reads"},
		{
			name: "a dead node", verdict: check.Valid, says: "at 1 of 3 nodes nothing succeeded",
			answers: func(node int, _ history.Key) history.Type {
				return []history.Type{history.OK, history.Info, history.OK}[node]
			},
		},
		{
			name: "no node", verdict: check.Unknown, says: "keys were not read at any node",
			answers: func(int, history.Key) history.Type { return history.Fail },
		},
		{
			name: "a key that nobody returns", verdict: check.Unknown,
			says: "1 of 12 keys were not read at any node (r7)",
			answers: func(_ int, k history.Key) history.Type {
				if k == "r7" {
					return history.Info
				}
				return history.OK
			},
		},
		{
			name: "a key that one node does not return", verdict: check.Valid, says: "each of 3",
			answers: func(node int, k history.Key) history.Type {
				if k == "r7" && node == 2 {
					return history.Info
				}
				return history.OK
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{
				Concurrency: 6, Nodes: 3, TimeLimit: second, Rate: 500, LongLife: second,
				FinalKeys: c.keys, FinalLimit: c.limit, OpsPerKey: 60,
			}
			h := finalHistory(t, o, c.answers, c.cut)
			r := finalPart(t, registerWorkload().Checker(o).Check(t.Context(), h))
			if r.Verdict != c.verdict || !strings.Contains(r.Reason, c.says) {
				t.Errorf("%v: %s; want %v: %s", r.Verdict, r.Reason, c.verdict, c.says)
			}
		})
	}
}

// TestFinalDoesNotRush: rushes are of the main part; when all is healed the rate counts.
func TestFinalDoesNotRush(t *testing.T) {
	o := Options{
		Concurrency: 10, Nodes: 2, TimeLimit: time.Second, Rate: 100,
		Rushes: []Rush{{From: 0, To: time.Hour}},
	}
	w, s := registerWorkload(), newStore()
	out, err := Simulate(Simulation{
		Generator: w.Generator(o), Final: w.Final(o), Concurrency: o.Concurrency,
		Respond: func(_ int, op history.Event) Answer {
			v, err := s.apply(op)
			if err != nil {
				t.Error(err)
			}
			return Answer{Type: history.OK, Value: v, Latency: 5 * time.Millisecond}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var rushed, after int
	var first, last history.Time
	for _, step := range out.Steps {
		switch {
		case !strings.HasPrefix(string(step.Op.Key), "rafter"):
			rushed++
			continue
		case after == 0:
			first = step.Time
		}
		after++
		last = step.Time
	}
	if rushed < 1000 {
		t.Errorf("%d operations in a second of rush, want about 2000", rushed)
	}
	rate := float64(after) / time.Duration(last-first).Seconds()
	if after < 100 || rate > 130 {
		t.Errorf("%d operations after it, %.0f a second, want about 100 a second", after, rate)
	}
}

// finalHistory simulates the register workload with a correct register.
func finalHistory(
	t *testing.T, o Options, answers func(int, history.Key) history.Type, cut int,
) *history.History {
	t.Helper()
	w, s := registerWorkload(), newStore()
	final := false
	out, err := Simulate(Simulation{
		Generator: w.Generator(o), Final: w.Final(o), Concurrency: o.Concurrency,
		Respond: func(thread int, op history.Event) Answer {
			after := strings.HasPrefix(string(op.Key), "rafter")
			final = final || after
			a := Answer{Type: history.OK, Latency: 5 * time.Millisecond}
			if final && !after {
				a.Latency = 100 * time.Millisecond
				if answers != nil {
					a.Type = answers(thread%o.Nodes, op.Key)
				}
			}
			v, err := s.apply(op)
			if a.Value = v; err != nil {
				t.Error(err)
			}
			return a
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	events := out.Events[:len(out.Events)-max(0, cut)]
	if cut < 0 {
		for i := range events {
			if strings.HasPrefix(string(events[i].Key), "rafter") {
				events = events[:i]
				break
			}
		}
	}
	h, err := history.New(events...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func finalPart(t *testing.T, r check.Result) check.Result {
	t.Helper()
	for _, p := range r.Parts {
		if p.Name != "final reads" {
			continue
		}
		if check.Merge(r.Verdict, p.Verdict) != r.Verdict {
			t.Errorf("%v as a whole, but the final reads are %v", r.Verdict, p.Verdict)
		}
		return p
	}
	t.Fatal(fmt.Errorf("no word of the final reads in %+v", r.Parts))
	return check.Result{}
}
