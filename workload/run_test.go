package workload

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// errMismatch is what a refused compare-and-set says.
var errMismatch = history.Definite(errors.New("precondition-failed"))

// store is a correct system in memory: registers, sets and counters by key.
type store struct {
	mu   sync.Mutex
	regs map[history.Key]history.Value
	sets map[history.Key][]history.Value
	sums map[history.Key]int64
	// events are still to happen, now is the virtual time.
	events []event
	now    history.Time
	// locks are the tokens of those that are held, token the last one given out; ttls and
	// ends are for how long each is granted, and until when.
	locks map[history.Key]int64
	token int64
	ttls  map[int64]time.Duration
	ends  map[int64]history.Time
	// old are registers as they were a while ago.
	old map[history.Key]history.Value
}

func newStore() *store {
	return &store{
		regs: map[history.Key]history.Value{}, sets: map[history.Key][]history.Value{},
		sums: map[history.Key]int64{}, locks: map[history.Key]int64{},
		ttls: map[int64]time.Duration{}, ends: map[int64]history.Time{},
	}
}

// apply performs an operation atomically. The kind of object shows in the key.
func (s *store) apply(op history.Event) (history.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind := op.Key[0]; {
	case op.F == Txn:
		return s.transact(op)
	case op.F == Enqueue:
		s.sets[op.Key] = append(s.sets[op.Key], op.Value)
	case op.F == Dequeue:
		return s.dequeue(op.Key)
	case op.F == Write && kind == 'f':
		return s.guarded(op)
	case op.F != Read && op.F != Write && op.F != CAS && op.F != Add:
		return s.others(op)
	case op.F == Write:
		s.regs[op.Key] = op.Value
	case op.F == CAS && !s.regs[op.Key].Equal(op.Value.At(0)):
		return history.Nil(), errMismatch
	case op.F == CAS:
		s.regs[op.Key] = op.Value.At(1)
	case op.F == Add && kind == 's':
		s.sets[op.Key] = append(s.sets[op.Key], op.Value)
	case op.F == Add:
		n, _ := op.Value.AsInt()
		s.sums[op.Key] += n
	case kind == 's' || isLog(op.Key):
		return history.List(append([]history.Value(nil), s.sets[op.Key]...)...), nil
	case kind == 'n':
		return history.Int(s.sums[op.Key]), nil
	default:
		return s.regs[op.Key], nil
	}
	return history.Nil(), nil
}

// client is a connection to whatever invoke does.
type client struct {
	invoke func(ctx context.Context, op history.Event) (history.Value, error)
	closed func() error
}

func (c *client) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	v, err := c.invoke(ctx, op)
	op.Value = v
	return op, err
}

func (c *client) Close() error {
	if c.closed != nil {
		return c.closed()
	}
	return nil
}

// opens returns an opener of clients that do invoke.
func opens(invoke func(thread int, op history.Event) (history.Value, error)) Opener {
	return func(_ context.Context, thread int) (Client, error) {
		return &client{invoke: func(_ context.Context, op history.Event) (history.Value, error) {
			return invoke(thread, op)
		}}, nil
	}
}

// record runs cfg with a fresh recorder and returns the history and Run's error.
func record(t *testing.T, cfg RunConfig) (*history.History, error) {
	return recordUntil(t.Context(), t, cfg)
}

func recordUntil(ctx context.Context, t *testing.T, cfg RunConfig) (*history.History, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), history.FileName)
	rec, err := history.Create(path, history.Header{Test: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Recorder = rec
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 4
	}
	runErr := Run(ctx, cfg)
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := history.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return h, runErr
}

// outcomes counts the operations of a history by type.
func outcomes(h *history.History) map[history.Type]int {
	n := map[history.Type]int{}
	for i := range h.Ops {
		n[h.Ops[i].Type]++
	}
	return n
}

// liar breaks a correct store in one way.
type liar struct {
	*store
	n    atomic.Int64
	kind string
	old  sync.Map // key -> a value that was overwritten
}

func (l *liar) invoke(thread int, op history.Event) (history.Value, error) {
	n := l.n.Add(1)
	odd := n%20 == 0
	switch {
	case l.kind == "loses" && odd && op.F != Read:
		return history.Nil(), nil // acknowledged, and forgotten
	case l.kind == "doubles" && odd && op.F == Add:
		_, _ = l.apply(op)
	case l.kind == "stale" && op.F == Read && thread == 1:
		if v, ok := l.old.Load(op.Key); ok {
			return v.(history.Value), nil
		}
		v, err := l.apply(op)
		l.old.Store(op.Key, v)
		return v, err
	case l.kind == "unsure" && n%40 == 0:
		_, _ = l.apply(op)
		return history.Nil(), errors.New("timeout")
	case l.kind == "unsure" && n%40 == 20:
		return history.Nil(), errors.New("timeout")
	case l.kind == "refuses" && odd:
		return history.Nil(), history.Definite(errors.New("not the leader"))
	case l.kind == "swaps" && odd && op.F == CAS:
		op.F, op.Value = Write, op.Value.At(1) // does not compare
	}
	return l.apply(op)
}

// settle is when a system that forgets loses one object in ten, most of which no longer
// see any operations.
func (l *liar) settle(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.regs {
		if l.kind == "forgets" && strings.HasSuffix(string(key), "3") {
			l.regs[key] = history.Nil()
		}
	}
	for key := range l.sets {
		if l.kind == "forgets" && strings.HasSuffix(string(key), "3") {
			l.sets[key] = nil
		}
	}
	return nil
}

// TestWorkloadsJudge runs every workload against a correct system, which has to be
// found valid, and against systems that break the promise, which must not be.
func TestWorkloadsJudge(t *testing.T) {
	for _, c := range []struct {
		workload, lie string
		want          check.Verdict
	}{
		{"register", "", check.Valid},
		{"cas-register", "", check.Valid},
		{"set-full", "", check.Valid},
		{"counter", "", check.Valid},
		{"register", "unsure", check.Valid},
		{"cas-register", "unsure", check.Valid},
		{"set-full", "unsure", check.Valid},
		{"counter", "unsure", check.Valid},
		{"cas-register", "refuses", check.Valid},
		{"register", "forgets", check.Invalid},
		{"set-full", "forgets", check.Invalid},
		{"register", "loses", check.Invalid},
		{"register", "stale", check.Invalid},
		{"cas-register", "loses", check.Invalid},
		{"cas-register", "swaps", check.Invalid},
		{"set-full", "loses", check.Invalid},
		{"set-full", "stale", check.Invalid},
		{"set-full", "doubles", check.Invalid},
		{"counter", "loses", check.Invalid},
		{"counter", "doubles", check.Invalid},
	} {
		t.Run(c.workload+" "+c.lie, func(t *testing.T) {
			t.Parallel()
			w, err := Lookup(c.workload)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{
				Concurrency: 6, Nodes: 3, TimeLimit: 400 * time.Millisecond, Rate: 4000,
				OpsPerKey: 60, LongLife: 300 * time.Millisecond,
			}
			o.Check.Explain = 100 * time.Millisecond
			l := &liar{store: newStore(), kind: c.lie}
			h, err := record(t, RunConfig{
				Generator: w.Generator(o), Final: w.Final(o), Open: opens(l.invoke), Concurrency: 6,
				BeforeFinal: l.settle,
			})
			if err != nil {
				t.Fatal(err)
			}
			if r := w.Checker(o).Check(t.Context(), h); r.Verdict != c.want {
				t.Errorf("%d operations: %v, want %v: %s", len(h.Ops), r.Verdict, c.want, r.Reason)
			}
		})
	}
}

// TestRunRenumbersProcesses: unknown outcomes and panics make new processes with new
// clients, the old ones are closed, and the stack of the panic is in the log.
func TestRunRenumbersProcesses(t *testing.T) {
	var n, opened, closed atomic.Int64
	var log bytes.Buffer
	invoke := func(context.Context, history.Event) (history.Value, error) {
		switch n.Add(1) % 4 {
		case 0:
			return history.Nil(), errors.New("timeout")
		case 1:
			panic("client bug")
		case 2:
			return history.Nil(), history.Definite(errors.New("refused"))
		}
		return history.Int(7), nil
	}
	h, err := record(t, RunConfig{
		Generator: Limit(200, f(Read)), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Open: func(context.Context, int) (Client, error) {
			opened.Add(1)
			return &client{invoke: invoke, closed: func() error { closed.Add(1); return nil }}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(h); got[history.Info] != 100 || got[history.Fail] != 50 ||
		got[history.OK] != 50 {
		t.Errorf("outcomes are %v", got)
	}
	next := map[int64]history.Process{0: 0, 1: 1, 2: 2, 3: 3}
	for i := range h.Ops {
		op := &h.Ops[i]
		thread := int64(op.Process) % 4
		if op.Process != next[thread] {
			t.Fatalf("operation %d is of process %d, want %d", i, op.Process, next[thread])
		}
		if op.Type == history.Info {
			next[thread] += 4
		}
	}
	if o, c := opened.Load(), closed.Load(); o != c || o < 100 {
		t.Errorf("%d clients opened, %d closed", o, c)
	}
	said := log.String()
	if !strings.Contains(said, "client bug") || !strings.Contains(said, "run_test.go") {
		t.Error("the panic and its stack are not in the log")
	}
}

// TestRunWithoutClient: an open that fails is a definite failure, and does not spin.
func TestRunWithoutClient(t *testing.T) {
	var opens atomic.Int64
	h, err := record(t, RunConfig{
		Generator: TimeLimit(100*time.Millisecond, f(Read)), Concurrency: 2,
		Backoff: 20 * time.Millisecond,
		Open: func(_ context.Context, thread int) (Client, error) {
			if opens.Add(1); thread == 1 {
				panic("cannot open")
			}
			return nil, errors.New("connection refused")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes(h)
	if got[history.Fail] != len(h.Ops) || len(h.Ops) < 2 || len(h.Ops) > 12 {
		t.Errorf("%d operations with outcomes %v in 100 ms, want about 10 failures", len(h.Ops), got)
	}
	for i := range h.Ops {
		if op := &h.Ops[i]; !strings.HasPrefix(op.Error, "no client: ") || op.Process > 1 {
			t.Errorf("operation %d of process %d: %q", i, op.Process, op.Error)
		}
	}
}

// TestRunFailuresSlowDown: a node that refuses everything at once does not spin.
func TestRunFailuresSlowDown(t *testing.T) {
	h, err := record(t, RunConfig{
		Generator: TimeLimit(200*time.Millisecond, f(Read)), Concurrency: 1,
		Open: opens(func(int, history.Event) (history.Value, error) {
			return history.Nil(), history.Definite(errors.New("connection refused"))
		}),
	})
	if err != nil || len(h.Ops) > 30 {
		t.Errorf("%d failures in 200 ms, error %v", len(h.Ops), err)
	}
}

// TestRunCancel: when the context ends, what is in flight gets its grace and is then
// unknown, even if the client does not listen, and an idle thread ends at once.
func TestRunCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	release := make(chan struct{})
	defer close(release)
	var busy atomic.Int64
	open := func(_ context.Context, thread int) (Client, error) {
		return &client{invoke: func(ctx context.Context, _ history.Event) (history.Value, error) {
			if busy.Add(1) == 3 {
				cancel(errors.New("stopped by test"))
			}
			if thread == 0 {
				<-release // deaf
				return history.Nil(), nil
			}
			<-ctx.Done()
			return history.Nil(), ctx.Err()
		}}, nil
	}
	h, err := recordUntil(ctx, t, RunConfig{
		Generator: Limit(3, EachThread(Once(f(Read)))), Open: open, Concurrency: 3,
		Timeout: time.Hour, Grace: 30 * time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), "stopped by test") {
		t.Errorf("error is %v", err)
	}
	if got := outcomes(h); got[history.Info] != 3 || len(h.Ops) != 3 {
		t.Errorf("outcomes are %v", got)
	}
}

// TestRunTimeout: an operation ends with its time limit; a deaf client loses its
// thread to a new worker, and what it says later is not recorded.
func TestRunTimeout(t *testing.T) {
	release := make(chan struct{})
	var n atomic.Int64
	open := func(_ context.Context, thread int) (Client, error) {
		return &client{invoke: func(ctx context.Context, _ history.Event) (history.Value, error) {
			switch n.Add(1) {
			case 1:
				<-release
			case 2:
				<-ctx.Done()
				return history.Nil(), ctx.Err()
			case 3:
				close(release) // the deaf one comes back, too late
			}
			return history.Int(1), nil
		}}, nil
	}
	h, err := record(t, RunConfig{
		Generator: Limit(20, f(Read)), Open: open, Concurrency: 1,
		Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(h); got[history.Info] != 2 || got[history.OK] != 18 {
		t.Errorf("outcomes are %v", got)
	}
	if h.Ops[0].Error != "client hangs" || h.Ops[1].Error != "context deadline exceeded" {
		t.Errorf("errors are %q and %q", h.Ops[0].Error, h.Ops[1].Error)
	}
}

// TestRunPhases: before the final phase all threads are free; sleep and log are not
// in the history; an error before the final phase leaves it out.
func TestRunPhases(t *testing.T) {
	var inFlight atomic.Int64
	var log bytes.Buffer
	healed := false
	cfg := RunConfig{
		Generator: Concat(Limit(20, f(Write)), Sleep(time.Millisecond), Log("nearly")),
		Final:     Limit(5, f(Read)),
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
		BeforeFinal: func(context.Context) error {
			healed = inFlight.Load() == 0
			return nil
		},
		Open: opens(func(_ int, op history.Event) (history.Value, error) {
			inFlight.Add(1)
			defer inFlight.Add(-1)
			return history.Nil(), nil
		}),
	}
	h, err := record(t, cfg)
	if err != nil || !healed || len(h.Ops) != 25 || h.Ops[24].F != Read || h.Ops[19].F != Write {
		t.Errorf("error %v, healed %v, %d operations", err, healed, len(h.Ops))
	}
	if !strings.Contains(log.String(), "nearly") {
		t.Error("the log operation did not log")
	}
	cfg.BeforeFinal = func(context.Context) error { return errors.New("not healed") }
	if h, err = record(t, cfg); err == nil || !strings.Contains(err.Error(), "not healed") {
		t.Errorf("error is %v", err)
	}
	if len(h.Ops) != 20 {
		t.Errorf("%d operations, want only those before the final phase", len(h.Ops))
	}
}

// TestRunBadGenerator: a generator that breaks its contract ends the run with its
// name.
func TestRunBadGenerator(t *testing.T) {
	ok := opens(func(int, history.Event) (history.Value, error) { return history.Nil(), nil })
	for _, c := range []struct {
		gen  Generator
		want string
	}{
		{Concat(Limit(9, f(Read)), Validate("demo", f("jump"), Read)), "generator demo"},
		{Concat(Limit(9, f(Read)), panicking{}), "oops"},
		{noSuccessor{}, "noSuccessor has no successor"},
	} {
		h, err := record(t, RunConfig{Generator: c.gen, Open: ok})
		if err == nil || !strings.Contains(err.Error(), c.want) || len(h.Ops) > 10 {
			t.Errorf("%d operations, error %v, want %q", len(h.Ops), err, c.want)
		}
	}
	err := Run(t.Context(), RunConfig{Concurrency: -1, Timeout: -1})
	for _, want := range []string{"no generator", "no opener", "no recorder", "-1, not", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// TestRunCounts: the counters agree with the history, and progress is reported.
func TestRunCounts(t *testing.T) {
	var stats Stats
	var reports atomic.Int64
	h, err := record(t, RunConfig{
		Generator: TimeLimit(50*time.Millisecond, Stagger(time.Millisecond, f(Read))),
		Stats:     &stats, ProgressEvery: 5 * time.Millisecond,
		Progress: func(s Snapshot) {
			if s.InFlight() >= 0 && s.InFlight() <= 4 {
				reports.Add(1)
			}
		},
		Open: opens(func(int, history.Event) (history.Value, error) { return history.Nil(), nil }),
	})
	s := stats.Snapshot(history.Time(time.Second))
	if err != nil || s.OK != int64(len(h.Ops)) || s.InFlight() != 0 || reports.Load() == 0 {
		t.Errorf("error %v, %+v for %d operations, %d reports", err, s, len(h.Ops), reports.Load())
	}
	if rate := s.Rate(Snapshot{}); rate != float64(s.OK) {
		t.Errorf("rate is %v, want %d in a second", rate, s.OK)
	}
}
