package linear

import (
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
	for range w.IntN(5) { // spoil it
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

// TestRegisterCulprits takes the culprits for a history of their own, beside writes
// of unknown outcome.
func TestRegisterCulprits(t *testing.T) {
	for round := range rounds(t, 3000) {
		ops := randomRegister(newWorld(seeded(round), 10))
		got := Register(ops)
		if got.Answer != Violation {
			continue
		}
		var culprits []RegisterOp
		for _, i := range got.Conflict.Culprits() {
			culprits = append(culprits, ops[i])
		}
		for _, op := range ops {
			if op.Write && !slices.Contains(culprits, op) {
				op.Return = history.Never
				culprits = append(culprits, op)
			}
		}
		if registerEngine.legal(culprits) {
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

// monitorRegister feeds a monitor at every time first with calls.
func monitorRegister(ops []RegisterOp) Result {
	m := NewRegisterMonitor()
	tickets := make([]ReadTicket, len(ops))
	for now := history.Time(0); now < 100; now++ {
		for i, op := range ops {
			switch {
			case op.Call != now:
			case op.Write:
				m.CallWrite(i, op.Value, now)
			default:
				tickets[i] = m.CallRead(now)
			}
		}
		var open returns // in the order of the offline engine
		for i, op := range ops {
			if !op.crashed() {
				open.push(due{op.Return, i})
			}
		}
		for open.len() > 0 {
			d := open.pop()
			switch op := ops[d.op]; {
			case d.at != now:
			case op.Write:
				m.ReturnWrite(d.op, op.Value, now)
			default:
				m.ReturnRead(d.op, tickets[d.op], op.Value, now)
			}
		}
		for i, op := range ops { // reads that crash are given up some time later
			if !op.Write && op.crashed() && op.Call+5 == now {
				m.DropRead(tickets[i], now)
			}
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
