package linear

import (
	"strings"
	"testing"
)

// randomQueues draws the history of a queue that is first-in first-out or a bag.
func randomQueues(w *world, fifo bool) []QueueOp {
	ops := make([]QueueOp, len(w.spans))
	values := Nil
	for i, s := range w.spans {
		ops[i] = QueueOp{Span: s, Dequeue: w.IntN(2) == 0}
		if !ops[i].Dequeue {
			values++
			ops[i].Value = values
		}
	}
	var state []Value
	for _, i := range w.moments {
		op := &ops[i]
		switch {
		case !op.Dequeue:
			state = append(state, op.Value)
		case len(state) > 0:
			at := 0
			if !fifo {
				at = w.IntN(len(state))
			}
			op.Value = state[at]
			state = append(state[:at:at], state[at+1:]...)
		}
	}
	for i := range ops {
		if ops[i].Dequeue && ops[i].crashed() {
			ops[i].Value = Nil
		}
	}
	for range w.mistakes(5) {
		a, b := &ops[w.IntN(len(ops))], &ops[w.IntN(len(ops))]
		switch {
		case !a.Dequeue || !b.Dequeue || a.crashed() || b.crashed():
		case a != b && w.IntN(2) == 0:
			a.Value, b.Value = b.Value, a.Value
		case w.IntN(3) == 0:
			a.Value = Nil
		default:
			a.Value = Value(w.IntN(int(values) + 2))
		}
	}
	return ops
}

// queueStep is a queue as a text with a letter for every element.
func queueStep(ops []QueueOp, fifo bool) func(s string, i int) []string {
	return func(s string, i int) (next []string) {
		op := ops[i]
		switch {
		case !op.Dequeue:
			return []string{s + letters(op.Value)}
		case s == "":
			return only(s, op.crashed() || op.Value == Nil)
		}
		for at, letter := range s {
			if op.crashed() || letter == rune(op.Value) {
				next = append(next, s[:at]+strings.TrimPrefix(s[at:], string(letter)))
			}
			if fifo {
				break
			}
		}
		return next
	}
}

func queueEngine(fifo bool) *engine[QueueOp, string] {
	e := &engine[QueueOp, string]{
		draw: func(w *world) []QueueOp { return randomQueues(w, fifo) },
		run:  Bags, order: BagsOrder,
		step:    func(ops []QueueOp) func(string, int) []string { return queueStep(ops, fifo) },
		span:    func(op *QueueOp) *Span { return &op.Span },
		changes: func(op *QueueOp) bool { return true },
		forget: func(op *QueueOp) {
			if op.Dequeue {
				op.Value = Nil
			}
		},
		rename: func(op *QueueOp, name func(Value) Value) { op.Value = name(op.Value) },
		each: func(i, n int) []QueueOp {
			ops := []QueueOp{{Value: Value(i + 1)}}
			for v := range Value(n + 1) {
				ops = append(ops, QueueOp{Dequeue: true, Value: v})
			}
			return ops
		},
		kinds: []Kind{Unwritten, Inverted, Twice, Occupied},
	}
	if fifo {
		e.run, e.order = Queues, QueuesOrder
		e.kinds = append(e.kinds, Overtaken)
	}
	return e
}

func TestQueuesAgainstTwin(t *testing.T) { queueEngine(true).test(t, 6000) }
func TestQueuesChanges(t *testing.T)     { queueEngine(true).testChanges(t, 2000) }
func TestBagsAgainstTwin(t *testing.T)   { queueEngine(false).test(t, 6000) }
func TestBagsChanges(t *testing.T)       { queueEngine(false).testChanges(t, 2000) }
func TestQueuesLong(t *testing.T)        { queueEngine(true).testLong(t, 200) }
func TestBagsLong(t *testing.T)          { queueEngine(false).testLong(t, 200) }

func TestQueuesExhaustively(t *testing.T) { queueEngine(true).testExhaustively(t, 4) }
func TestBagsExhaustively(t *testing.T)   { queueEngine(false).testExhaustively(t, 4) }
