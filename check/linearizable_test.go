package check

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// hardHistory has a violation that a search cannot show in any reasonable time: after
// some harmless operations many writes at once, each value twice, and then a read of
// each value, so that no write may be forgotten, although only one can have been last.
func hardHistory(key history.Key) []history.Operation {
	var ops []history.Operation
	add := func(p int, f history.F, in, out history.Value, call, ret history.Time) {
		ops = append(ops, history.Operation{Process: history.Process(p), F: f, Key: key, In: in,
			Out: out, Type: history.OK, Call: call, Return: ret})
	}
	at := history.Time(0)
	for i := range 60 {
		v := history.Int(int64(i % 5))
		add(0, "write", v, history.Value{}, at, at+5)
		add(1, "read", history.Value{}, v, at+10, at+15)
		at += 20
	}
	for i := range 60 {
		add(10+i, "write", history.Int(int64(i/2)), history.Value{}, at, at+1000)
	}
	at += 2000
	for i := range 30 {
		add(1, "read", history.Value{}, history.Int(int64(i)), at, at+5)
		at += 10
	}
	return ops
}

// easyHistory is a valid history of a few clients on many keys. Every write has its
// own value.
func easyHistory(keys, opsPerKey, clients int) *history.History {
	r := rand.New(rand.NewPCG(3, 3))
	h := &history.History{}
	for k := range keys {
		key := history.Key(fmt.Sprintf("k%d", k))
		state := history.Value{}
		busy := make([]history.Time, clients)
		at := history.Time(k) * 1000
		for i := range opsPerKey {
			p := r.IntN(clients)
			// the instant at which it happens, and an interval around it
			at += history.Time(1 + r.IntN(40))
			op := history.Operation{Key: key, Process: history.Process(k*clients + p), F: "read"}
			op.Call = max(busy[p]+1, at-history.Time(r.IntN(60)))
			at = max(at, op.Call)
			op.Return = at + history.Time(r.IntN(60))
			busy[p] = op.Return
			op.Type = history.OK
			if r.IntN(2) == 0 {
				op.F, op.In = "write", history.Int(int64(i))
				state = op.In
			} else {
				op.Out = state
			}
			h.Ops = append(h.Ops, op)
		}
	}
	number(h)
	return h
}

func number(h *history.History) {
	slices.SortStableFunc(h.Ops, func(a, b history.Operation) int {
		return cmp.Compare(a.Call, b.Call)
	})
	for i := range h.Ops {
		h.Ops[i].Index = int64(i)
	}
}

// within fails the test when f takes absurdly long.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("not done within %v", limit)
	}
}

// TestBounds gives the checker a history that it cannot decide, beside one that it
// can. It has to give up at its bounds, say how far it came, and leave no goroutine.
func TestBounds(t *testing.T) {
	h := easyHistory(10, 30, 3)
	h.Ops = append(h.Ops, hardHistory("hard")...)
	number(h)
	for _, tt := range []struct {
		name   string
		limit  time.Duration // of the context
		o      Options
		reason string
		cause  string
	}{
		{"time", time.Minute, Options{Timeout: 200 * time.Millisecond}, "out of time", "time"},
		{"memory", time.Minute, Options{Memory: 20 << 20}, "out of memory", "memory"},
		{"context", 300 * time.Millisecond, Options{}, "stopped from outside", "time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			var r Result
			within(t, 30*time.Second, func() {
				r = Linearizable("register", tt.o).Check(ctx, h)
			})
			if r.Verdict != Unknown || !strings.HasPrefix(r.Reason, tt.reason) ||
				!strings.Contains(r.Reason, "10 of 11 keys decided; key hard has 210 operations") {
				t.Errorf("%s: %s", r.Verdict, r.Reason)
			}
			d := r.Details.(LinearizableDetails)
			if len(d.Undecided) != 1 || d.Undecided[0].Cause != tt.cause ||
				d.Undecided[0].Explored < 120 {
				t.Errorf("details: %+v", d)
			}
			awaitGoroutines(t, before)
		})
	}
}

// awaitGoroutines waits until no more goroutines run than before.
func awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for runtime.NumGoroutine() > before {
		select {
		case <-deadline:
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		default:
			runtime.Gosched()
		}
	}
}

// TestViolationBesideHardKey must be found although another key cannot be decided.
func TestViolationBesideHardKey(t *testing.T) {
	h := easyHistory(10, 30, 3)
	h.Ops = append(h.Ops, hardHistory("hard")...)
	h.Ops = append(h.Ops, mustTimeline(t, `
		p0 write 1 on bad 0..10
		p1 read = 2 on bad 20..30`).Ops...)
	number(h)
	r := Linearizable("register", Options{Timeout: time.Second}).Check(t.Context(), h)
	if r.Verdict != Invalid || len(r.Counterexamples) != 1 || r.Counterexamples[0].Key != "bad" {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// TestViolationIsDrawn: the pages exist exactly when they are needed most, and
// what the system under test returned cannot become part of their code.
func TestViolationIsDrawn(t *testing.T) {
	h := mustTimeline(t, `
		p0 write 1 0..10
		p2 read = 1 12..13
		p0 write "</script><script>alert(1)</script>" 20..30
		p1 read = 1 40..50`)
	r := Linearizable("register", Options{}).Check(t.Context(), h)
	if r.Verdict != Invalid || len(r.Counterexamples) != 1 {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	cx := r.Counterexamples[0]
	if !cx.Minimal || len(cx.Ops) != 3 || !cx.Ops[2].Culprit {
		t.Errorf("minimal %t, %+v", cx.Minimal, cx.Ops)
	}
	for name, page := range map[string]string{
		"Visualization": cx.Visualization, "WholeVisualization": cx.WholeVisualization,
	} {
		for _, want := range []string{"<html", "read() = 1", "no place for read() = 1"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s (%d bytes) lacks %q", name, len(page), want)
			}
		}
		if strings.Contains(page, "<script>alert") {
			t.Errorf("%s: a value became code", name)
		}
		// Porcupine's script makes HTML of these.
		for _, state := range regexp.MustCompile(`"StateDescription":"([^"\\]|\\.)*"`).
			FindAllString(page, -1) {
			if strings.Contains(state, `\u003c`) {
				t.Errorf("%s: a value becomes code when somebody points at it: %s", name, state)
			}
		}
		if !strings.Contains(page, "process 1, operation 3") {
			t.Errorf("%s does not say which operations it shows", name)
		}
	}
	r = Linearizable("register", Options{PageSize: 1000}).Check(t.Context(), h)
	if p := r.Counterexamples[0].Visualization; p != "" {
		t.Errorf("a page of %d bytes, limit 1000", len(p))
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// TestModelPanics: a panic inside Porcupine's goroutine would end the program.
func TestModelPanics(t *testing.T) {
	m := models.Register()
	m.Apply = func(s models.Scalar, _ models.RegisterIn, _ models.RegisterOut,
	) (models.Scalar, bool) {
		panic("no such register")
	}
	r := LinearizableSpec(m.Spec(), Options{}).Check(t.Context(), mustTimeline(t, `
		p0 write 1 0..10
		p1 read = 1 40..50`))
	if r.Verdict != Unknown || !strings.Contains(r.Reason, "the model panicked") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	if d := r.Details.(LinearizableDetails); !strings.Contains(d.Stack, "no such register") {
		t.Errorf("stack: %q", d.Stack)
	}
}

// TestUnansweredOperations is the reason for dominance and for pruning: a stale read
// beside unanswered writes that nobody ever saw, and some that were seen later.
// Porcupine alone does not come to an end with it.
func TestUnansweredOperations(t *testing.T) {
	var b strings.Builder
	at := 0
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format+" %d..%d\n", append(args, at, at+5)...)
		at += 10
	}
	for i := range 60 {
		line("p0 write %d", i)
		line("p1 read = %d", i)
		fmt.Fprintf(&b, "p%d write %d %d..?\n", 100+i, 1000+i, at)
		if i%3 == 0 && i > 0 {
			line("p1 read = %d", 1000+i-1)
		}
	}
	line("p1 read = 5")
	h := mustTimeline(t, b.String())
	for _, engine := range Engines() {
		var r Result
		within(t, 20*time.Second, func() {
			r = Linearizable("register", Options{Engine: engine}).Check(t.Context(), h)
		})
		if r.Verdict != Invalid {
			t.Fatalf("engine %s: %s: %s", engine, r.Verdict, r.Reason)
		}
		want := map[string]float64{"unknown operations": 60, "max concurrency": 61}
		for _, m := range r.Power {
			if w, ok := want[m.Name]; ok && m.Value != w {
				t.Errorf("%s = %v, want %v", m.Name, m.Value, w)
			}
		}
		if cx := r.Counterexamples[0]; !cx.Minimal || len(cx.Ops) > 4 ||
			cx.Until != h.Ops[len(h.Ops)-1].Return {
			t.Errorf("engine %s: minimal %t, %d operations, until %d", engine, cx.Minimal,
				len(cx.Ops), cx.Until)
		}
	}
	r := Linearizable("register", Options{
		Engine: "porcupine", KeepUnknown: true, Timeout: 100 * time.Millisecond,
	}).Check(t.Context(), h)
	if r.Verdict != Unknown {
		t.Errorf("Porcupine without pruning: %s: then this history tests nothing", r.Verdict)
	}
}

func BenchmarkLinearizable(b *testing.B) {
	for _, bb := range []struct{ keys, ops, clients int }{
		{100, 100, 5}, {1000, 100, 5}, {1000, 150, 10},
	} {
		b.Run(fmt.Sprintf("keys=%d/ops=%d/clients=%d", bb.keys, bb.ops, bb.clients),
			func(b *testing.B) {
				h := easyHistory(bb.keys, bb.ops, bb.clients)
				c := Linearizable("register", Options{})
				b.ReportAllocs()
				for b.Loop() {
					if r := c.Check(b.Context(), h); r.Verdict != Valid {
						b.Fatal(r.Reason)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/
					float64(b.N)/float64(len(h.Ops)), "ns/operation")
			})
	}
}
