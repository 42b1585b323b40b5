package linear

import (
	"cmp"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// randomRegister draws the history of a register; often one answer is wrong.
func randomRegister(w *world) []RegisterOp {
	ops := make([]RegisterOp, len(w.spans))
	values := Value(0)
	for i, s := range w.spans {
		ops[i] = RegisterOp{Span: s, Write: w.IntN(2) == 0}
		if ops[i].Write {
			values++
			ops[i].Value = values
		}
	}
	state := Nil
	for _, i := range w.moments {
		if ops[i].Write {
			state = ops[i].Value
		}
		ops[i].Value = state
	}
	for range w.mistakes(5) {
		if i := w.IntN(len(ops)); !ops[i].Write {
			ops[i].Value = Value(w.IntN(int(values) + 1))
		}
	}
	return ops
}

func registerStep(ops []RegisterOp) func(s Value, i int) []Value {
	return func(s Value, i int) []Value {
		if ops[i].Write {
			return []Value{ops[i].Value}
		}
		return only(s, s == ops[i].Value)
	}
}

var registerEngine = engine[RegisterOp, Value]{
	draw: randomRegister, run: Register, order: RegisterOrder, step: registerStep,
	span:    func(op *RegisterOp) *Span { return &op.Span },
	changes: func(op *RegisterOp) bool { return op.Write },
	rename:  func(op *RegisterOp, name func(Value) Value) { op.Value = name(op.Value) },
	kinds:   []Kind{Opposed, Initial, Unwritten},
	exact:   true,
}

func TestRegisterAgainstTwin(t *testing.T) { registerEngine.test(t, 6000) }
func TestRegisterChanges(t *testing.T)     { registerEngine.testChanges(t, 2000) }

// withCulprits is a history of the culprits, beside writes of unknown outcome.
func withCulprits(ops []RegisterOp, c *Conflict) []RegisterOp {
	var culprits []RegisterOp
	for _, i := range c.Culprits() {
		culprits = append(culprits, ops[i])
	}
	for _, op := range ops {
		if op.Write && !slices.Contains(culprits, op) {
			op.Return = history.Never
			culprits = append(culprits, op)
		}
	}
	return culprits
}

func TestRegisterCulprits(t *testing.T) {
	for round := range rounds(t, 3000) {
		ops := randomRegister(newWorld(seeded(round), 10))
		got := Register(ops)
		if got.Answer == Violation && registerEngine.legal(withCulprits(ops, got.Conflict)) {
			t.Fatalf("round %d: %+v is no conflict: %v", round, got.Conflict, ops)
		}
	}
}

// TestRegisterMonitor feeds the events one by one and looks for the earliest one
// with which a violation is certain.
func TestRegisterMonitor(t *testing.T) {
	var seen tally
	for round := range rounds(t, 3000) {
		ops := randomRegister(newWorld(seeded(round), 10))
		end := monitorRegister(ops)
		want := Register(ops)
		seen.count(want.Answer == Linearizable)
		if end.Answer != want.Answer {
			t.Fatalf("round %d: %v online, %v offline: %v", round, end, want, ops)
		}
		if want.Answer != Violation {
			continue
		}
		// Which of several conflicts is found depends on the order of returns at one
		// time; when is the same.
		off, on := want.Conflict, end.Conflict
		if on.At != off.At {
			t.Fatalf("round %d: %v online, %v offline: %v", round, on, off, ops)
		}
	}
	seen.check(t)
}

// monitorRegister feeds a monitor, at every time first with calls. Reads that crash
// are given up some time later.
func monitorRegister(ops []RegisterOp) Result {
	type event struct {
		at   history.Time
		kind int // call, return, giving up
		op   int
	}
	var events []event
	for i, op := range ops {
		events = append(events, event{op.Call, 0, i})
		switch {
		case !op.crashed():
			events = append(events, event{op.Return, 1, i})
		case !op.Write:
			events = append(events, event{op.Call + 5, 2, i})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind))
	})
	m := NewRegisterMonitor()
	tickets := make([]ReadTicket, len(ops))
	for _, e := range events {
		switch op := ops[e.op]; {
		case e.kind == 2:
			m.DropRead(tickets[e.op], e.at)
		case op.Write && e.kind == 0:
			m.CallWrite(e.op, op.Value, e.at)
		case op.Write:
			m.ReturnWrite(e.op, op.Value, e.at)
		case e.kind == 0:
			tickets[e.op] = m.CallRead(e.at)
		default:
			m.ReturnRead(e.op, tickets[e.op], op.Value, e.at)
		}
	}
	return m.Result()
}

func TestRegisterMonitorOfFailedWrites(t *testing.T) {
	m := NewRegisterMonitor()
	m.CallWrite(0, 1, 10)
	m.FailWrite(1, 20)
	m.CallWrite(1, 2, 30)
	read := m.CallRead(31)
	m.ReturnRead(2, read, 2, 35)
	if r := m.Result(); r.Answer != Linearizable {
		t.Fatalf("before the failure: %v", r)
	}
	m.FailWrite(2, 40)
	r := m.Result()
	if r.Answer != Violation || r.Conflict.Kind != Unwritten || r.Conflict.At != 40 ||
		!slices.Equal(r.Conflict.Ops, []int{2}) {
		t.Errorf("a value was read whose write failed: %+v", r.Conflict)
	}
}

func TestRegisterPreconditions(t *testing.T) {
	write := func(v Value, call, ret history.Time) RegisterOp {
		return RegisterOp{Span: Span{call, ret}, Value: v, Write: true}
	}
	for name, ops := range map[string][]RegisterOp{
		"written twice":     {write(1, 1, 2), write(1, 3, 4)},
		"the first value":   {write(Nil, 1, 2)},
		"ends before start": {write(1, 3, 2)},
	} {
		if got := Register(ops); got.Answer != NotApplicable || got.Why == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestRegisterAgainstCAS compares two engines that share nothing but the theorem,
// one that forgets and one that sorts, on histories that are too long for the twin.
func TestRegisterAgainstCAS(t *testing.T) {
	var seen tally
	for round := range rounds(t, 500) {
		rng := seeded(round)
		w := longWorld(rng, 20+rng.IntN(300))
		ops := randomRegister(w)
		cas := casOf(ops)
		want := CAS(cas)
		got := Register(ops)
		seen.count(want.Answer == Linearizable)
		if got.Answer != want.Answer {
			t.Fatalf("round %d: %v, sorting says %v: %v", round, got, want, ops)
		}
		if got.Answer != Violation {
			if m := monitorRegister(ops); m.Answer != Linearizable {
				t.Fatalf("round %d: online %+v: %v", round, m, ops)
			}
			continue
		}
		if CAS(casOf(withCulprits(ops, got.Conflict))).Answer != Violation {
			t.Fatalf("round %d: %+v is no conflict: %v", round, got.Conflict, ops)
		}
		if m := monitorRegister(ops); m.Answer != Violation || m.Conflict.At != got.Conflict.At {
			t.Fatalf("round %d: %+v, online %+v: %v", round, got.Conflict, m.Conflict, ops)
		}
		// With the event at which it was certain there is a conflict, before it not.
		for _, with := range []bool{false, true} {
			known := casOf(registerEngine.known(ops, got.Conflict.At, with))
			if (CAS(known).Answer == Violation) != with {
				t.Fatalf("round %d: not certain with time %d: %v", round, got.Conflict.At, ops)
			}
		}
	}
	seen.check(t)
}

// TestRegisterForgets wants what is remembered to be bounded by what is open.
func TestRegisterForgets(t *testing.T) {
	for _, n := range []int{20_000, 80_000} {
		ops := registerHistory(n, 20, 0, true)
		run := registerRun{r: newRegister(), ops: ops}
		if res := run.all(); res.Answer != Linearizable {
			t.Fatal(res)
		}
		if got := len(run.r.clusters); got > 400 {
			t.Errorf("%d clusters at a time with %d operations of 20 clients", got, n)
		}
		got := cap(run.r.forward.items) + cap(run.r.backward.items) + cap(run.r.byFirst.items)
		if got > 2000 {
			t.Errorf("room for %d zones with %d operations of 20 clients", got, n)
		}
	}
}
