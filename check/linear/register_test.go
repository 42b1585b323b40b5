package linear

import (
	"cmp"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
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
	each: func(i, n int) []RegisterOp {
		ops := []RegisterOp{{Write: true, Value: Value(i + 1)}}
		for v := range Value(n + 1) {
			ops = append(ops, RegisterOp{Value: v})
		}
		return ops
	},
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
	for round := range sweep.Rounds(t, 3000) {
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
	for round := range sweep.Rounds(t, 3000) {
		ops := randomRegister(newWorld(seeded(round), 10))
		end := monitorRegister(len(ops), registerEvents(ops))
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

// registerEvent is a call, the return, or that nobody waits for the return any more,
// which happens to reads of unknown outcome some time later.
type registerEvent struct {
	at   history.Time
	kind int
	op   int
	RegisterOp
}

const (
	isCall = iota
	isReturn
	isDrop
)

// registerEvents are in the order of time, of those at one time the calls first.
func registerEvents(ops []RegisterOp) []registerEvent {
	events := make([]registerEvent, 0, 2*len(ops))
	for i, op := range ops {
		events = append(events, registerEvent{op.Call, isCall, i, op})
		switch {
		case !op.crashed():
			events = append(events, registerEvent{op.Return, isReturn, i, op})
		case !op.Write:
			events = append(events, registerEvent{op.Call + 5, isDrop, i, op})
		}
	}
	slices.SortStableFunc(events, func(a, b registerEvent) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind))
	})
	return events
}

// monitorRegister feeds a monitor with the events of n operations.
func monitorRegister(n int, events []registerEvent) Result {
	m := NewRegisterMonitor()
	tickets := make([]ReadTicket, n)
	for i := range events {
		switch e := &events[i]; {
		case e.kind == isDrop:
			m.DropRead(tickets[e.op], e.at)
		case e.Write && e.kind == isCall:
			m.CallWrite(e.op, e.Value, e.at)
		case e.Write:
			m.ReturnWrite(e.op, e.Value, e.at)
		case e.kind == isCall:
			tickets[e.op] = m.CallRead(e.at)
		default:
			m.ReturnRead(e.op, tickets[e.op], e.Value, e.at)
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
	for round := range sweep.Rounds(t, 500) {
		rng := seeded(round)
		w := longWorld(rng, 20+rng.IntN(300))
		ops := randomRegister(w)
		cas := casOf(ops)
		want := CAS(cas)
		got := decideRegister(ops, 1+rng.IntN(8))
		seen.count(want.Answer == Linearizable)
		if got.Answer != want.Answer {
			t.Fatalf("round %d: %v, sorting says %v: %v", round, got, want, ops)
		}
		online := monitorRegister(len(ops), registerEvents(ops))
		if online.Answer != got.Answer {
			t.Fatalf("round %d: %v, online %v: %v", round, got, online, ops)
		}
		if got.Answer != Violation {
			continue
		}
		if CAS(casOf(withCulprits(ops, got.Conflict))).Answer != Violation {
			t.Fatalf("round %d: %+v is no conflict: %v", round, got.Conflict, ops)
		}
		if online.Conflict.At != got.Conflict.At {
			t.Fatalf("round %d: %+v, online %+v: %v", round, got.Conflict, online.Conflict, ops)
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
		run := registerRun{r: newRegister(), ops: ops, every: settleEvery}
		if res := run.all(); res.Answer != Linearizable {
			t.Fatal(res)
		}
		if got := len(run.r.clusters); got > 600 {
			t.Errorf("%d clusters at a time with %d operations of 20 clients", got, n)
		}
		got := cap(run.r.forward.items) + cap(run.r.backward.items) + cap(run.r.byFirst.items)
		if got > 4000 {
			t.Errorf("room for %d zones with %d operations of 20 clients", got, n)
		}
	}
}

func TestRegisterExhaustively(t *testing.T) { registerEngine.testExhaustively(t, 4) }

// TestRegisterReplacedLater reads a value that is forgotten, after the one that
// replaced it has been read and is a forward zone by now, too.
func TestRegisterReplacedLater(t *testing.T) {
	ops := []RegisterOp{
		{Span: Span{0, 1}, Value: 1, Write: true},
		{Span: Span{2, 5}, Value: 2, Write: true},
		{Span: Span{3, 4}, Value: 1},
		{Span: Span{7, 8}, Value: 2},
		{Span: Span{9, 10}, Value: 1},
	}
	for every := range 6 {
		got := decideRegister(ops, every)
		if got.Answer != Violation || got.Conflict.Kind != Opposed || got.Conflict.At != 10 ||
			!slices.Equal(got.Conflict.Ops, []int{0, 3, 1, 4}) {
			t.Errorf("forgetting after every %d returns: %v %+v", every, got, got.Conflict)
		}
	}
}
