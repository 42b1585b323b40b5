package workload

import (
	"maps"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
)

// shares gives a lock to one client in ten although another one has it.
func shares(s *store, n int64, op history.Event) (history.Value, error) {
	if n%10 == 0 && op.F == Acquire {
		s.mu.Lock()
		delete(s.locks, op.Key)
		s.mu.Unlock()
	}
	return s.apply(op)
}

// hasty says that a lock is renewed, and takes it back at the time that it had before.
func hasty(s *store, _ int64, op history.Event) (history.Value, error) {
	if op.F != Renew {
		return s.apply(op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token, _ := op.Value.AsInt()
	was := s.ends[token]
	v, err := s.renew(op)
	s.ends[token] = was
	return v, err
}

// careless ends a tenure with whatever token.
func careless(s *store, _ int64, op history.Event) (history.Value, error) {
	if op.F != Release {
		return s.apply(op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locks, op.Key)
	return history.Nil(), nil
}

// lenient accepts old tokens.
func lenient(s *store, n int64, op history.Event) (history.Value, error) {
	if n%5 == 0 && op.F == Write {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.regs[op.Key] = op.Value
		return history.Nil(), nil
	}
	return s.apply(op)
}

// repeats gives out a number once more, now and then.
func repeats(s *store, n int64, op history.Event) (history.Value, error) {
	if n%50 == 0 {
		s.mu.Lock()
		s.token--
		s.mu.Unlock()
	}
	return s.apply(op)
}

// falls gives out numbers from the top.
func falls(s *store, _ int64, op history.Event) (history.Value, error) {
	v, err := s.apply(op)
	n, _ := v.AsInt()
	return history.Int(-n), err
}

// wavers takes decisions back.
func wavers(s *store, n int64, op history.Event) (history.Value, error) {
	if n%30 == 0 {
		s.mu.Lock()
		delete(s.regs, op.Key)
		s.mu.Unlock()
	}
	return s.apply(op)
}

// ages answers one read in three from an old copy.
func ages(s *store, n int64, op history.Event) (history.Value, error) {
	s.mu.Lock()
	if n%40 == 0 {
		s.old = maps.Clone(s.regs)
	}
	v, known := s.old[op.Key]
	s.mu.Unlock()
	if n%3 == 0 && op.F == Read && known {
		return v, nil
	}
	return s.apply(op)
}

// skews lets two transactions work on what both have read.
func skews(s *store, n int64, op history.Event) (history.Value, error) {
	s.mu.Lock()
	if n%2 == 0 {
		s.old = maps.Clone(s.regs)
	}
	steps, err := history.ParseSteps(op.Value)
	for i := range steps {
		if steps[i].F == history.StepRead {
			steps[i].Value = s.old[steps[i].Key]
		}
	}
	s.mu.Unlock()
	if _, failed := s.apply(op); failed != nil {
		return history.Nil(), failed
	}
	return history.Steps(steps...), err
}

// forks hides one key of a group from every other client.
func forks(s *store, n int64, op history.Event) (history.Value, error) {
	v, err := s.apply(op)
	steps, bad := history.ParseSteps(v)
	if err != nil || bad != nil || changes(op) {
		return v, err
	}
	steps[n%2].Value = history.Nil()
	return history.Steps(steps...), nil
}

// shuffles shows a log in another order, now and then.
func shuffles(s *store, n int64, op history.Event) (history.Value, error) {
	v, err := s.apply(op)
	if n%20 != 0 || op.F != Read || v.Len() < 2 {
		return v, err
	}
	list := make([]history.Value, v.Len())
	for i := range list {
		list[i] = v.At(len(list) - 1 - i)
	}
	return history.List(list...), nil
}

// garbles sends back something else, now and then.
func garbles(s *store, n int64, op history.Event) (history.Value, error) {
	if n%50 == 0 {
		return history.Str("what?"), nil
	}
	return s.apply(op)
}

// lags reads what was there some time ago.
func lags(s *store, _ int64, op history.Event) (history.Value, error) {
	if op.F == Read {
		return s.apply(op)
	}
	s.after(10*time.Millisecond, func() { _, _ = s.apply(op) })
	return history.Nil(), nil
}

// overlooks lets one transaction in four read what was there some time ago, and commit all the
// same.
func overlooks(s *store, n int64, op history.Event) (history.Value, error) {
	s.mu.Lock()
	if n%8 == 0 {
		s.old = maps.Clone(s.regs)
	}
	steps, err := history.ParseSteps(op.Value)
	own := map[history.Key]bool{}
	for i := range steps {
		if steps[i].F != history.StepRead {
			own[steps[i].Key] = true
		} else if !own[steps[i].Key] {
			steps[i].Value = s.old[steps[i].Key]
		}
	}
	old := s.old != nil && n%4 == 0 && len(own) > 0
	s.mu.Unlock()
	v, failed := s.apply(op)
	if !old || failed != nil || err != nil || len(steps) < 2 {
		return v, failed
	}
	for i := range steps {
		if own[steps[i].Key] && steps[i].F == history.StepRead {
			return v, nil // it reads what it wrote
		}
	}
	return history.Steps(steps...), nil
}

// TestOthersJudge runs the other workloads against systems that keep their promise,
// perhaps in odd ways, and such that break it. What is wrong for a strong promise may
// be right for a weak one.
func TestOthersJudge(t *testing.T) {
	strong, weak := Promise{}, Promise{Stale: true, Unordered: true,
		Sessions: session.ReadYourWrites | session.MonotonicReads}
	for _, c := range []struct {
		workload, name string
		promise        Promise
		conduct        conduct
		want           check.Verdict
	}{
		{"decide", "honest", strong, honest, check.Valid},
		{"decide", "unsure", strong, unsure, check.Valid},
		{"decide", "refuses", strong, refuses, check.Valid},
		{"decide", "wavers", strong, wavers, check.Invalid},
		{"lock", "honest", strong, honest, check.Valid},
		{"lock", "unsure", strong, unsure, check.Valid},
		{"lock", "refuses", strong, refuses, check.Valid},
		{"lock", "shares", strong, shares, check.Invalid},
		{"lock", "careless", strong, careless, check.Invalid},
		{"lock", "renews", Promise{Renews: true}, honest, check.Valid},
		{"lock", "renews, unsure", Promise{Renews: true}, unsure, check.Valid},
		{"lock", "renews, refuses", Promise{Renews: true}, refuses, check.Valid},
		{"lock", "renews, hasty", Promise{Renews: true}, hasty, check.Invalid},
		{"fenced-register", "honest", strong, honest, check.Valid},
		{"fenced-register", "unsure", strong, unsure, check.Valid},
		{"fenced-register", "refuses", strong, refuses, check.Valid},
		{"fenced-register", "lenient", strong, lenient, check.Invalid},
		{"fenced-register", "loses", strong, loses, check.Invalid},
		{"unique-ids", "honest", strong, honest, check.Valid},
		{"unique-ids", "unsure", strong, unsure, check.Valid},
		{"unique-ids", "repeats", strong, repeats, check.Invalid},
		{"session", "honest", strong, honest, check.Valid},
		{"session", "unsure", weak, unsure, check.Valid},
		{"session", "ages", weak, ages, check.Invalid},
		{"session", "loses", weak, loses, check.Invalid},
		{"log", "honest", strong, honest, check.Valid},
		{"log", "unsure", strong, unsure, check.Valid},
		{"log", "shuffles", weak, shuffles, check.Valid},
		{"log", "shuffles, ordered", strong, shuffles, check.Invalid},
		{"log", "loses", weak, loses, check.Invalid},
		{"log", "doubles", weak, doubles, check.Invalid},
		{"long-fork", "honest", strong, honest, check.Valid},
		{"long-fork", "unsure", strong, unsure, check.Valid},
		{"long-fork", "skews", strong, skews, check.Valid},
		{"long-fork", "forks", strong, forks, check.Invalid},
		{"g2", "honest", strong, honest, check.Valid},
		{"g2", "unsure", strong, unsure, check.Valid},
		{"g2", "skews", strong, skews, check.Invalid},
		{"cached-register", "honest", strong, honest, check.Valid},
		{"cached-register", "unsure", strong, unsure, check.Valid},
		{"cached-register", "ages", strong, ages, check.Invalid},
		{"liveness", "honest", strong, honest, check.Valid},
		{"liveness", "unsure", strong, unsure, check.Valid},
		{"liveness", "torn", strong, torn, check.Invalid},
	} {
		t.Run(c.workload+" "+c.name, func(t *testing.T) {
			t.Parallel()
			judge(t, c.workload, c.promise, c.conduct, c.want)
		})
	}
}

// TestWeakPromises: what is wrong for a strong promise may be right for one that is about
// the end only, or about no order.
func TestWeakPromises(t *testing.T) {
	strong, snapshots := Promise{}, graph.StrongSnapshotIsolation
	for _, c := range []struct {
		workload, name string
		promise        Promise
		conduct        conduct
		want           check.Verdict
	}{
		{"unique-ids", "falls", Promise{Unordered: true}, falls, check.Valid},
		{"unique-ids", "falls, ordered", strong, falls, check.Invalid},
		{"unique-ids", "repeats", Promise{Unordered: true}, repeats, check.Invalid},
		{"eventual-counter", "honest", strong, honest, check.Valid},
		{"eventual-counter", "lags", Promise{Growing: true}, lags, check.Valid},
		{"eventual-counter", "unsure", strong, unsure, check.Valid},
		{"eventual-counter", "refuses", strong, refuses, check.Valid},
		{"eventual-counter", "loses", strong, loses, check.Invalid},
		{"eventual-counter", "doubles", Promise{Growing: true}, doubles, check.Invalid},
		{"eventual-counter", "dirty", Promise{Growing: true}, dirty, check.Invalid},
		{"echo", "honest", strong, honest, check.Valid},
		{"echo", "refuses", strong, refuses, check.Valid},
		{"echo", "garbles", strong, garbles, check.Invalid},
		{"multi-register", "honest", Promise{Isolation: snapshots}, honest, check.Valid},
		{"multi-register", "unsure", Promise{Isolation: snapshots}, unsure, check.Valid},
		{"multi-register", "loses", Promise{Isolation: snapshots}, loses, check.Invalid},
		{"multi-register", "overlooks", Promise{Isolation: snapshots}, overlooks, check.Invalid},
		{"set-full", "lags", Promise{Eventual: true}, lags, check.Valid},
		{"set-full", "lags, linearizable", strong, lags, check.Invalid},
		{"set-full", "loses", Promise{Eventual: true}, loses, check.Invalid},
	} {
		t.Run(c.workload+" "+c.name, func(t *testing.T) {
			t.Parallel()
			judge(t, c.workload, c.promise, c.conduct, c.want)
		})
	}
}

// TestInstancesAreMany: a fault meets instances that are not decided yet only if new ones begin
// all the time.
func TestInstancesAreMany(t *testing.T) {
	o := Options{Concurrency: 15, Nodes: 5, TimeLimit: 10 * time.Second, Rate: 200}
	out := simulate(t, Simulation{
		Generator: decideWorkload().Generator(o), Concurrency: 15, Respond: slowly(3),
	})
	instances := map[history.Key]bool{}
	for _, s := range out.Steps {
		instances[s.Op.Key] = true
	}
	if len(instances) < 300 {
		t.Errorf("%d instances in 10 s, want some 400", len(instances))
	}
}
