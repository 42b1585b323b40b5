package workload

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// changes reports whether an operation is one that may change something.
func changes(op history.Event) bool {
	switch op.F {
	case Read, Ask:
		return false
	case Txn:
		return !history.ReadOnly(op.Value)
	default:
		return true
	}
}

// conduct is how a system behaves: it answers the n-th operation on a correct store,
// honestly or not.
type conduct func(s *store, n int64, op history.Event) (history.Value, error)

func honest(s *store, _ int64, op history.Event) (history.Value, error) { return s.apply(op) }

var errTimeout = errors.New("timeout")

// unsure leaves one operation in twenty without an answer: it happens at once, never,
// or some time later.
func unsure(s *store, n int64, op history.Event) (history.Value, error) {
	switch {
	case n%60 == 0:
		_, _ = s.apply(op)
	case n%60 == 20:
	case n%60 == 40:
		s.after(50*time.Millisecond, func() { _, _ = s.apply(op) })
	default:
		return s.apply(op)
	}
	return history.Nil(), errTimeout
}

// refuses fails one operation in twenty for reasons of its own.
func refuses(s *store, n int64, op history.Event) (history.Value, error) {
	if n%20 == 0 {
		return history.Nil(), history.Definite(errors.New("not the leader"))
	}
	return s.apply(op)
}

// loses acknowledges one change in twenty without making it.
func loses(s *store, n int64, op history.Event) (history.Value, error) {
	if n%20 == 0 && changes(op) {
		return op.Value, nil
	}
	return s.apply(op)
}

// doubles makes one change in twenty twice.
func doubles(s *store, n int64, op history.Event) (history.Value, error) {
	if n%20 == 0 && changes(op) {
		_, _ = s.apply(op)
	}
	return s.apply(op)
}

// dirty makes one change in twenty and says that it failed.
func dirty(s *store, n int64, op history.Event) (history.Value, error) {
	if n%20 == 0 && changes(op) {
		_, _ = s.apply(op)
		return history.Nil(), history.Definite(errors.New("aborted"))
	}
	return s.apply(op)
}

// halves makes only the first step of one transaction in twenty.
func halves(s *store, n int64, op history.Event) (history.Value, error) {
	if n%20 == 0 && changes(op) {
		part := op
		part.Value = history.List(op.Value.At(0))
		_, _ = s.apply(part)
		return op.Value, nil
	}
	return s.apply(op)
}

// torn lets others see a transaction between its first step and the others.
func torn(s *store, _ int64, op history.Event) (history.Value, error) {
	if !changes(op) || op.Value.Len() < 2 {
		return s.apply(op)
	}
	first, rest := op, op
	first.Value = history.List(op.Value.At(0))
	var later []history.Value
	for i := 1; i < op.Value.Len(); i++ {
		later = append(later, op.Value.At(i))
	}
	v, err := s.apply(first)
	if err != nil {
		return v, err
	}
	// What the later steps read is what they read now: time does not stand still for
	// the transaction.
	rest.Value = history.List(later...)
	steps, _ := history.ParseSteps(rest.Value)
	for i := range steps {
		if steps[i].F == history.StepRead {
			steps[i].Value = s.regs[steps[i].Key]
		}
	}
	s.after(500*time.Microsecond, func() { _, _ = s.apply(rest) })
	w := history.Steps(steps...)
	out := []history.Value{v.At(0)}
	for i := range w.Len() {
		out = append(out, w.At(i))
	}
	return history.List(out...), nil
}

// peeks returns an element without taking it, now and then.
func peeks(s *store, n int64, op history.Event) (history.Value, error) {
	v, err := s.apply(op)
	if n%20 == 0 && op.F == Dequeue && err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sets[op.Key] = append([]history.Value{v}, s.sets[op.Key]...)
	}
	return v, err
}

// hurries lets an element overtake all others, now and then.
func hurries(s *store, n int64, op history.Event) (history.Value, error) {
	v, err := s.apply(op)
	if n%10 == 0 && op.F == Enqueue {
		s.mu.Lock()
		defer s.mu.Unlock()
		slices.Reverse(s.sets[op.Key])
	}
	return v, err
}

func joined(t *testing.T, events []history.Event) *history.History {
	t.Helper()
	h, err := history.New(events...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// performed runs a workload in virtual time against a system with this conduct. What an
// operation does happens when it is called, and it returns a few milliseconds later.
func performed(t *testing.T, w Workload, o Options, c conduct) []history.Event {
	t.Helper()
	s := newStore()
	n := int64(0)
	out, err := Simulate(Simulation{
		Generator: w.Generator(o), Final: w.Final(o), Concurrency: o.Concurrency, Seed: 1,
		Respond: func(_ int, op history.Event) Answer {
			n++
			s.advance(op.Time)
			v, err := c(s, n, op)
			a := Answer{Type: history.OK, Value: v}
			a.Latency = time.Millisecond + time.Duration(randAt(9, uint64(n)).IntN(5_000_000))
			switch {
			case err == nil:
			case history.IsDefinite(err):
				a.Type, a.Error, a.Value = history.Fail, err.Error(), history.Nil()
			default:
				a.Type, a.Error, a.Value = history.Info, err.Error(), history.Nil()
				a.Latency = 40 * time.Millisecond
			}
			return a
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range out.Events {
		out.Events[i].Index = int64(i)
	}
	return out.Events
}

// TestTransactionsJudge runs the workloads of transactions against systems that keep
// the promise in odd ways, which have to be found valid, and such that break it.
func TestTransactionsJudge(t *testing.T) {
	for _, c := range []struct {
		workload, name string
		conduct        conduct
		want           check.Verdict
	}{
		{"multi-register", "honest", honest, check.Valid},
		{"multi-register", "unsure", unsure, check.Valid},
		{"multi-register", "refuses", refuses, check.Valid},
		{"multi-register", "loses", loses, check.Invalid},
		{"multi-register", "torn", torn, check.Invalid},
		{"twin", "honest", honest, check.Valid},
		{"twin", "unsure", unsure, check.Valid},
		{"twin", "refuses", refuses, check.Valid},
		{"twin", "loses", loses, check.Invalid},
		{"twin", "dirty", dirty, check.Invalid},
		{"twin", "halves", halves, check.Invalid},
		{"twin", "torn", torn, check.Invalid},
		{"bank", "honest", honest, check.Valid},
		{"bank", "unsure", unsure, check.Valid},
		{"bank", "refuses", refuses, check.Valid},
		{"bank", "loses", loses, check.Invalid},
		{"bank", "doubles", doubles, check.Invalid},
		{"bank", "dirty", dirty, check.Invalid},
		{"bank", "halves", halves, check.Invalid},
		{"bank", "torn", torn, check.Invalid},
		{"list-append", "honest", honest, check.Valid},
		{"list-append", "unsure", unsure, check.Valid},
		{"list-append", "refuses", refuses, check.Valid},
		{"list-append", "loses", loses, check.Invalid},
		{"list-append", "doubles", doubles, check.Invalid},
		{"list-append", "dirty", dirty, check.Invalid},
		{"rw-register", "honest", honest, check.Valid},
		{"rw-register", "unsure", unsure, check.Valid},
		{"rw-register", "refuses", refuses, check.Valid},
		{"rw-register", "loses", loses, check.Invalid},
		{"rw-register", "dirty", dirty, check.Invalid},
		{"rw-register", "torn", torn, check.Invalid},
	} {
		t.Run(c.workload+" "+c.name, func(t *testing.T) {
			t.Parallel()
			judge(t, c.workload, Promise{}, c.conduct, c.want)
		})
	}
}

// TestQueueJudges does the same with queues.
func TestQueueJudges(t *testing.T) {
	for _, c := range []struct {
		name    string
		conduct conduct
		want    check.Verdict
	}{
		{"honest", honest, check.Valid},
		{"unsure", unsure, check.Valid},
		{"refuses", refuses, check.Valid},
		{"loses", loses, check.Invalid},
		{"doubles", doubles, check.Invalid},
		{"dirty", dirty, check.Invalid},
		{"peeks", peeks, check.Invalid},
		{"hurries", hurries, check.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			judge(t, "queue", Promise{}, c.conduct, c.want)
		})
	}
}

func judge(t *testing.T, name string, p Promise, c conduct, want check.Verdict) {
	t.Helper()
	w, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Concurrency: 6, Nodes: 3, TimeLimit: 1500 * time.Millisecond, Rate: 1200,
		OpsPerKey: 50, LongLife: 300 * time.Millisecond, Promise: p,
		Settle: 20 * time.Millisecond,
	}
	o.Check.Explain = 100 * time.Millisecond
	events := performed(t, w, o, c)
	h := joined(t, events)
	if r := w.Checker(o).Check(t.Context(), h); r.Verdict != want {
		t.Errorf("%d operations: %v, want %v: %s", len(h.Ops), r.Verdict, want, r.Reason)
	}
	if w.Early(o) != nil {
		early(t, events, func() check.Monitor { return w.Early(o) }, want)
	}
}

// early tells a monitor of a history as it happened. What it finds is a violation in the
// end; before the event that it names nothing is found, and after it always the same.
func early(
	t *testing.T, events []history.Event, monitor func() check.Monitor, want check.Verdict,
) {
	t.Helper()
	look := func(events []history.Event, every int) (check.Early, bool) {
		m := monitor()
		for i, e := range events {
			now := e.Time
			if i == len(events)-1 {
				now += 1e10 // nothing comes for a while
			}
			if m.Observe(e); i%every == every-1 || now > e.Time {
				if found, bad := m.Look(t.Context(), now); bad {
					return found, true
				}
			}
		}
		return check.Early{}, false
	}
	found, bad := look(events, 150)
	if !bad {
		return
	}
	if want != check.Invalid {
		t.Errorf("found %+v, and %v in the end", found, want)
		return
	}
	var own []history.Event // of the key, up to the event
	after := 0
	for _, e := range events {
		if found.Key != "" && e.Key != found.Key {
			continue
		}
		if own = append(own, e); e.Index <= found.Event {
			after = len(own)
		}
	}
	for _, n := range []int{after - 1, after, after + 1, (after + len(own)) / 2, len(own)} {
		again, bad := look(own[:min(n, len(own))], len(own))
		if bad != (n >= after) || bad && again.Event != found.Event {
			t.Errorf("found %+v, but in the first %d events, of which it is the last of %d, %t %+v", found,
				n, after, bad, again)
		}
	}
}
