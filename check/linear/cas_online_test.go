package linear

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// casEvent is a call, the return, or that nobody waits for the return any more.
type casEvent struct {
	at   history.Time
	kind int
	op   int
}

// casEvents are in the order of time, of those at one time the calls first.
func casEvents(ops []CASOp, rng *rand.Rand) []casEvent {
	events := make([]casEvent, 0, 2*len(ops))
	for i := range ops {
		op := &ops[i]
		events = append(events, casEvent{op.Call, isCall, i})
		switch {
		case !op.crashed():
			events = append(events, casEvent{op.Return, isReturn, i})
		case op.Kind != CASWrite && rng.IntN(4) > 0:
			events = append(events, casEvent{op.Call + history.Time(rng.IntN(8)), isDrop, i})
		}
	}
	slices.SortStableFunc(events, func(a, b casEvent) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind))
	})
	return events
}

// monitorCAS feeds a monitor.
func monitorCAS(ops []CASOp, events []casEvent) *CASMonitor {
	m := NewCASMonitor()
	tickets := make([]ReadTicket, len(ops))
	for _, e := range events {
		tell(m, ops, tickets, e)
	}
	return m
}

func tell(m *CASMonitor, ops []CASOp, tickets []ReadTicket, e casEvent) {
	op := &ops[e.op]
	switch {
	case op.isRead() && e.kind == isCall:
		tickets[e.op] = m.CallRead(e.at)
	case op.isRead() && e.kind == isReturn:
		m.ReturnRead(e.op, tickets[e.op], op.Value, e.at)
	case op.isRead():
		m.DropRead(tickets[e.op], e.at)
	case op.Kind == CASWrite && e.kind == isCall:
		m.CallWrite(e.op, op.Value, e.at)
	case op.Kind == CASWrite:
		m.ReturnWrite(e.op, op.Value, e.at)
	case e.kind == isCall:
		tickets[e.op] = m.CallSwap(e.op, op.Old, op.Value, e.at)
	case e.kind == isReturn:
		m.ReturnSwap(e.op, tickets[e.op], e.at)
	default:
		m.DropSwap(tickets[e.op], e.at)
	}
}

// TestCASMonitor compares with the twin, also on what was known before and with the event
// that is said to be the first with which a violation is certain.
func TestCASMonitor(t *testing.T) {
	e := casEngine(false)
	var seen tally
	kinds := map[Kind]int{}
	for round := range sweep.Rounds(t, 6000) {
		rng := seeded(round)
		ops := randomCAS(newWorld(rng, 10), false)
		got := monitorCAS(ops, casEvents(ops, rng)).Result()
		want := e.legal(ops)
		seen.count(want)
		if (got.Answer == Linearizable) != want || got.Answer == NotApplicable {
			t.Fatalf("round %d: %v, twin says %v: %+v", round, got, want, ops)
		}
		if want {
			continue
		}
		c := got.Conflict
		kinds[c.Kind]++
		if e.legal(e.known(ops, c.At, true)) {
			t.Fatalf("round %d: %+v was not certain: %+v", round, c, ops)
		}
		if !e.legal(e.known(ops, c.At, false)) {
			t.Fatalf("round %d: %+v was certain before: %+v", round, c, ops)
		}
	}
	seen.check(t)
	t.Logf("kinds of conflicts: %v", kinds)
	for _, k := range []Kind{
		Opposed, Initial, Unwritten, Unfounded, Inverted, Twice, Circle, Replaced,
	} {
		if kinds[k] == 0 {
			t.Errorf("no conflict of kind %d", k)
		}
	}
}

// TestCASMonitorLong compares with the engine that sorts, on histories that are too long for
// the twin, and in which much is forgotten.
func TestCASMonitorLong(t *testing.T) {
	e := casEngine(false)
	var seen tally
	for round := range sweep.Rounds(t, 1000) {
		rng := seeded(round)
		w := longWorld(rng, 20+rng.IntN(300))
		w.right = rng.IntN(3) == 0
		ops := randomCAS(w, false)
		got := monitorCAS(ops, casEvents(ops, rng)).Result()
		want := CAS(ops)
		seen.count(want.Answer == Linearizable)
		if got.Answer != want.Answer {
			t.Fatalf("round %d: %v, sorting says %v: %+v", round, got, want, ops)
		}
		if got.Answer != Violation {
			continue
		}
		for _, with := range []bool{false, true} {
			if (CAS(e.known(ops, got.Conflict.At, with)).Answer == Violation) != with {
				t.Fatalf("round %d: not certain with time %d, %+v: %+v", round, got.Conflict.At,
					got.Conflict, ops)
			}
		}
	}
	seen.check(t)
}

// TestCASMonitorOfFailures compares histories some of whose operations fail in the end with
// those without them.
func TestCASMonitorOfFailures(t *testing.T) {
	e := casEngine(false)
	var seen tally
	for round := range sweep.Rounds(t, 3000) {
		rng := seeded(round)
		ops := randomCAS(newWorld(rng, 9), false)
		failed := make([]bool, len(ops))
		m := NewCASMonitor()
		tickets := make([]ReadTicket, len(ops))
		for i := range ops {
			failed[i] = !ops[i].isRead() && !ops[i].crashed() && rng.IntN(4) == 0
		}
		first := history.Never
		for _, ev := range casEvents(ops, rng) {
			if ev.kind == isReturn && failed[ev.op] {
				if ops[ev.op].Kind == CASWrite {
					m.FailWrite(ops[ev.op].Value, ev.at)
				} else {
					m.FailSwap(tickets[ev.op], ev.at)
				}
			} else {
				tell(m, ops, tickets, ev)
			}
			if first == history.Never && m.Result().Answer == Violation {
				first = ev.at
			}
		}
		// What failed by a time is not there; what has not failed yet may still happen.
		known := func(at history.Time, with bool) (list []CASOp) {
			for i, op := range ops {
				past := op.Return < at || with && op.Return == at
				if op.Call > at || failed[i] && past {
					continue
				}
				if !past {
					op.Return = history.Never
				}
				list = append(list, op)
			}
			return list
		}
		want := e.legal(known(history.Never-1, true))
		seen.count(want)
		if got := m.Result(); (got.Answer == Linearizable) != want {
			t.Fatalf("round %d: %v, twin says %v: %+v, failed %v", round, got, want, ops, failed)
		}
		if !want && (e.legal(known(first, true)) || !e.legal(known(first, false))) {
			t.Fatalf("round %d: not certain with %d: %+v, failed %v", round, first, ops, failed)
		}
	}
	seen.check(t)
}

// TestCASMonitorForgets wants what is remembered to be bounded by what is open, in one long
// chain of swaps as well as with many writes.
func TestCASMonitorForgets(t *testing.T) {
	for _, writes := range []int{0, 2, 10} {
		rng := seeded(writes)
		m := NewCASMonitor()
		held, next, most := Nil, Nil, 0
		for i := range 100_000 {
			at := history.Time(10 * i)
			next++
			read := m.CallRead(at)
			if rng.IntN(20) < writes {
				m.CallWrite(i, next, at)
				m.ReturnWrite(i, next, at+2)
			} else {
				swap := m.CallSwap(i, held, next, at)
				if rng.IntN(100) == 0 {
					m.DropSwap(swap, at+1) // and yet it took effect
				} else {
					m.ReturnSwap(i, swap, at+2)
				}
			}
			seen := held
			if rng.IntN(2) == 0 {
				seen = next
			}
			held = next
			m.ReturnRead(i, read, seen, at+5)
			after := m.CallRead(at + 7)
			m.ReturnRead(i, after, held, at+8)
			most = max(most, len(m.values), len(m.r.clusters), m.returned.len(), m.calls.len())
			if r := m.Result(); r.Answer != Linearizable {
				t.Fatalf("operation %d: %+v %+v", i, r, r.Conflict)
			}
		}
		if most > 50 {
			t.Errorf("with %d writes of 20 it remembers %d values", writes, most)
		}
	}
}
