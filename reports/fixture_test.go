package reports

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// ms1 is a millisecond of the test.
const ms1 = history.Time(time.Millisecond)

// nemesisEvent is a start or stop of a fault, as the nemesis records it.
func nemesisEvent(at history.Time, t history.Type, f history.F, what string) history.Event {
	return history.Event{
		Time: at, Process: history.Nemesis, Type: t, F: f, Value: history.Map(
			history.Field{Name: "id", Value: history.Int(1)},
			history.Field{Name: "fault", Value: history.Str("partition")},
			history.Field{Name: "what", Value: history.Str(what)},
			history.Field{Name: "nodes", Value: history.List(history.Str("n1"))},
		),
	}
}

func event(
	at history.Time, p history.Process, t history.Type, f history.F, v history.Value,
) history.Event {
	return history.Event{Time: at, Process: p, Type: t, F: f, Key: "k1", Value: v}
}

// staleRead is an illegal history of a register: 1 is replaced by 2, and a client
// reads 1 after that, in the middle of a partition.
func staleRead(t testing.TB) *history.History {
	t.Helper()
	return newHistory(t,
		event(1*ms1, 0, history.Invoke, "write", history.Int(1)),
		event(2*ms1, 0, history.OK, "write", history.Int(1)),
		nemesisEvent(3*ms1, history.Invoke, "start", "n1 | n2 n3"),
		nemesisEvent(4*ms1, history.Info, "start", "n1 | n2 n3"),
		event(5*ms1, 1, history.Invoke, "write", history.Int(2)),
		event(8*ms1, 1, history.OK, "write", history.Int(2)),
		event(9*ms1, 2, history.Invoke, "write", history.Int(3)),
		event(12*ms1, 0, history.Invoke, "read", history.Nil()),
		event(900*ms1, 0, history.OK, "read", history.Int(1)),
		history.Event{
			Time: 1009 * ms1, Process: 2, Type: history.Info, F: "write", Key: "k1",
			Value: history.Int(3), Error: "timeout",
		},
		event(1100*ms1, 1, history.Invoke, "read", history.Nil()),
		event(1101*ms1, 1, history.OK, "read", history.Int(2)),
		nemesisEvent(1200*ms1, history.Invoke, "stop", "n1 | n2 n3"),
		nemesisEvent(1201*ms1, history.Info, "stop", "n1 | n2 n3"),
		event(1300*ms1, 1, history.Invoke, "write", history.Int(4)),
		history.Event{
			Time: 1301 * ms1, Process: 1, Type: history.Fail, F: "write", Key: "k1",
			Value: history.Int(4), Error: "no leader",
		},
	)
}

func newHistory(t testing.TB, events ...history.Event) *history.History {
	t.Helper()
	h, err := history.New(events...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// baseRun is a run with everything but a history and a result.
func baseRun() Run {
	return Run{
		Name: "reference paxos register", Claim: "linearizable per key", Seed: 7,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Repeat:  "checker test --workload register --seed 7",
		Nodes:   []string{"n1", "n2", "n3"}, Concurrency: 3,
		Facts: []Fact{{Name: "system", Value: "reference paxos"}, {Name: "clients", Value: "3"}},
		Faults: []nemesis.FaultRecord{{
			Step: nemesis.Step{ID: 1, Fault: "partition"}, What: "n1 | n2 n3",
			Start: 3 * ms1, End: 1201 * ms1, Injected: true, Bit: true, Healed: true,
			Evidence: nemesis.Evidence{Bit: true, Why: "41 messages were dropped on 4 links"},
			Healing:  nemesis.Evidence{Bit: true, Why: "probes over 4 links arrived"},
		}, {
			Step: nemesis.Step{ID: 2, Fault: "kill", At: 2 * time.Second}, Skipped: "no primary",
		}},
		Phases: []Phase{
			{Name: "main phase", Start: ms1, End: 1301 * ms1},
			{Name: "set up", Start: 0, End: ms1},
		},
		Logs: []NodeLog{{Node: "n1", Path: "nodes/n1/node.log", Text: "elected\nlost the lease\n"}},
	}
}

// judged completes a run with what the checkers really say about the history.
func judged(t testing.TB, h *history.History, checkers ...check.Checker) Run {
	t.Helper()
	r := baseRun()
	r.History = h
	r.Result = check.Compose("register", checkers...).Check(t.Context(), h)
	return r
}

func invalidRun(t testing.TB) Run {
	t.Helper()
	r := judged(t, staleRead(t), check.Linearizable("register", check.Options{}), check.Stats())
	if r.Result.Verdict != check.Invalid {
		t.Fatalf("the fixture is %s: %s", r.Result.Verdict, r.Result.Reason)
	}
	return r
}

func validRun(t testing.TB) Run {
	t.Helper()
	h := newHistory(t,
		event(1*ms1, 0, history.Invoke, "write", history.Int(1)),
		event(2*ms1, 0, history.OK, "write", history.Int(1)),
		event(3*ms1, 1, history.Invoke, "read", history.Nil()),
		event(9*ms1, 1, history.OK, "read", history.Int(1)),
	)
	r := judged(t, h, check.Linearizable("register", check.Options{}), check.Stats())
	if r.Result.Verdict != check.Valid {
		t.Fatalf("the fixture is %s: %s", r.Result.Verdict, r.Result.Reason)
	}
	r.Faults = nil
	return r
}

func unknownRun(t testing.TB) Run {
	t.Helper()
	h := newHistory(t,
		event(1*ms1, 0, history.Invoke, "write", history.Int(1)),
		event(2*ms1, 0, history.OK, "write", history.Int(1)),
	)
	r := judged(t, h, check.Linearizable("register", check.Options{}), check.Stats())
	if r.Result.Verdict != check.Unknown {
		t.Fatalf("the fixture is %s: %s", r.Result.Verdict, r.Result.Reason)
	}
	r.Notes = []string{"node n2 ended by itself at 1.2 s"}
	r.Faults[0].Healed, r.Faults[0].HealError = false, "n1 is gone"
	r.Faults[0].End = history.Never
	return r
}

// longRun is a run of many operations, spread over latencies and outcomes.
func longRun(t testing.TB, operations int) Run {
	t.Helper()
	types := []history.Type{history.OK, history.OK, history.Fail, history.Info}
	h := &history.History{Ops: make([]history.Operation, operations)}
	for i := range h.Ops {
		call := history.Time(i) * ms1 / 2
		took := history.Time(100+i*7919%1000003) * 1000
		h.Ops[i] = history.Operation{
			Index: int64(i), Process: history.Process(i), Call: call, Return: call + took,
			Ended: call + took, F: "write", Type: types[i%len(types)],
		}
		if h.Ops[i].Type == history.Info {
			h.Ops[i].Return = history.Never
		}
	}
	r := baseRun()
	r.History, r.Result = h, check.Result{Name: "x", Reason: fmt.Sprint(operations)}
	return r
}

func render(t testing.TB, r Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
