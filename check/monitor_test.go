package check

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// happening makes events of a few processes on one or two registers, or with ids, that
// behave well or, with luck, badly.
type happening struct {
	r       *rand.Rand
	events  []history.Event
	now     history.Time
	held    map[history.Key]int64
	past    map[history.Key][]int64
	pending map[history.Process]history.Event
	next    int64
	// ids makes ids, swaps some compare-and-sets.
	ids, swaps bool
	// bad is how often something goes wrong.
	bad float64
}

func happen(
	r *rand.Rand, n, processes, keys int, what string, bad float64,
) []history.Event {
	h := &happening{
		r: r, ids: what == "ids", swaps: what == "cas-register", held: map[history.Key]int64{},
		past: map[history.Key][]int64{}, pending: map[history.Process]history.Event{}, next: 1,
		bad: bad,
	}
	names := make([]history.Process, processes)
	for i := range names {
		names[i] = history.Process(i)
	}
	for len(h.events) < n {
		at := r.IntN(processes)
		p := names[at]
		if e, open := h.pending[p]; open {
			if h.complete(p, e) == history.Info {
				names[at] = p + history.Process(processes)
			}
			continue
		}
		h.call(p, history.Key(rune('a'+r.IntN(keys))))
	}
	return h.events
}

func (h *happening) tell(e history.Event) {
	h.now += history.Time(h.r.IntN(2)) // some things happen at the same time
	if n := len(h.events); n > 0 && e.Type == history.Invoke && h.events[n-1].Type != history.Invoke {
		h.now++ // and then calls come first
	}
	e.Time, e.Index = h.now, int64(len(h.events))
	h.events = append(h.events, e)
}

func (h *happening) call(p history.Process, k history.Key) {
	e := history.Event{Process: p, Type: history.Invoke, F: "read", Key: k}
	switch {
	case h.ids:
		e.F, e.Key = "generate", ""
	case h.swaps && h.r.IntN(3) > 0:
		old := h.held[k]
		if h.r.IntN(8) == 0 {
			old = h.r.Int64N(h.next)
		}
		e.F, e.Value = "cas", history.Pair(old, h.next)
		if old == 0 {
			e.Value = history.List(history.Nil(), history.Int(h.next))
		}
		h.next++
	case h.r.IntN(2) == 0:
		e.F, e.Value = "write", history.Int(h.next)
		h.next++
	}
	h.tell(e)
	h.pending[p] = e
}

// complete lets an operation take effect, when it returns, and answers it.
func (h *happening) complete(p history.Process, e history.Event) history.Type {
	delete(h.pending, p)
	wrong := h.r.Float64() < h.bad
	e.Type = history.OK
	n, _ := e.Value.AsInt()
	refused := false
	switch {
	case e.F == "cas":
		old, _ := e.Value.At(0).AsInt()
		n, _ = e.Value.At(1).AsInt()
		if old == h.held[e.Key] && !(wrong && h.r.IntN(2) == 0) {
			h.held[e.Key] = n
			h.past[e.Key] = append(h.past[e.Key], n)
		} else {
			refused = !wrong
		}
	case h.ids:
		if e.Value = history.Int(h.next); wrong {
			e.Value = history.Int(h.next - int64(h.r.IntN(4)))
		}
		h.next += int64(1 + h.r.IntN(2))
	case e.F == "write" && !wrong:
		h.held[e.Key] = n
		h.past[e.Key] = append(h.past[e.Key], n)
	case e.F == "read":
		v := h.held[e.Key]
		if past := h.past[e.Key]; wrong && len(past) > 0 {
			v = past[h.r.IntN(len(past))]
		} else if wrong {
			v = h.next - 1
		}
		if e.Value = history.Int(v); v == 0 {
			e.Value = history.Nil()
		}
	}
	switch h.r.IntN(12) {
	case 0:
		e.Type, e.Error, e.Value = history.Info, "timeout", history.Nil()
	case 1:
		refused = refused || wrong || e.F != "write" && e.F != "cas" || h.held[e.Key] != n
	}
	if refused && e.Type == history.OK {
		e.Type, e.Error, e.Value = history.Fail, "no", history.Nil()
	}
	h.tell(e)
	return e.Type
}

// firstWrong is the twin: it asks about every beginning.
func firstWrong(t *testing.T, events []history.Event, judge Checker) int {
	t.Helper()
	for n := 1; n <= len(events); n++ {
		h, err := history.New(append([]history.Event(nil), events[:n]...)...)
		if err != nil {
			t.Fatal(err)
		}
		if judge.Check(t.Context(), h).Verdict == Invalid {
			return n - 1
		}
	}
	return -1
}

// TestMonitorsFindTheFirstEvent compares monitors with a checker that is asked about
// every beginning of a history.
func TestMonitorsFindTheFirstEvent(t *testing.T) {
	search := Linearizable("register", Options{Engine: engineDepth, Certify: -1,
		Counterexamples: -1})
	swaps := Linearizable("cas-register", Options{Engine: engineDepth, Certify: -1,
		Counterexamples: -1})
	for _, c := range []struct {
		name, what string
		monitor    func() Monitor
		judge      Checker
	}{
		{"registers", "register", MonitorRegisters, search},
		{"cas-registers", "cas-register", MonitorCASRegisters, swaps},
		{"registers, again and again", "register", func() Monitor {
			return RecheckWhole(Linearizable("register", Options{Certify: -1, Counterexamples: -1}))
		}, search},
		{"registers, key by key", "register", func() Monitor {
			return Recheck(Linearizable("register", Options{Certify: -1, Counterexamples: -1}))
		}, search},
		{"ids", "ids", MonitorIDs, Compose("ids", UniqueIDs(), IncreasingIDs())},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := sweep.Rand(t, 7, uint64(len(c.name)))
			total := sweep.Rounds(t, 300)
			bad := 0
			for range total {
				events := happen(r, 4+r.IntN(28), 1+r.IntN(4), 1+r.IntN(2), c.what, 0.25*r.Float64())
				want := firstWrong(t, events, c.judge)
				m := c.monitor()
				var got Early
				found := false
				for _, e := range events {
					if m.Observe(e); r.IntN(8) == 0 && !found {
						now := e.Time + history.Time(r.IntN(2))*2*restAfter // keys may be at rest
						got, found = m.Look(t.Context(), now)
					}
				}
				if !found {
					got, found = m.Look(t.Context(), 1<<40)
				}
				if found != (want >= 0) || found && got.Event != int64(want) {
					t.Fatalf("found %t %+v, want event %d of %+v", found, got, want, events)
				}
				if found {
					bad++
				}
			}
			if bad < total/10 || bad > total*9/10 {
				t.Errorf("%d of %d are bad", bad, total)
			}
		})
	}
}

// TestMonitorsForget demands that what monitors remember does not grow with the history:
// a few registers and ids for a while, and then a key after the other.
func TestMonitorsForget(t *testing.T) {
	const n = 150_000
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	for name, m := range map[string]Monitor{
		"registers": MonitorRegisters(), "cas-registers": MonitorCASRegisters(),
		"ids": MonitorIDs(),
		"again": Recheck(CheckerFunc(func(context.Context, *history.History) Result {
			return Result{}
		})),
		"sessions": RecheckWhole(SessionGuarantees(GuaranteesOptions{})),
	} {
		h := &happening{r: rand.New(rand.NewPCG(1, 1)), held: map[history.Key]int64{},
			past: map[history.Key][]int64{}, pending: map[history.Process]history.Event{}, next: 1,
			ids: name == "ids", swaps: name == "cas-registers"}
		names := []history.Process{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
		before := heap()
		for i := range n {
			p := names[i%10]
			k := history.Key(rune('a' + i/2000))
			if e, open := h.pending[p]; open {
				h.complete(p, e)
			} else {
				h.call(p, k)
			}
			e := h.events[len(h.events)-1]
			h.events = append(h.events[:0], e)
			clear(h.past)
			if h.now += 1e8; e.Type == history.Info {
				names[i%10] += 10
			}
			m.Observe(e)
			if i%1000 == 0 {
				if found, bad := m.Look(t.Context(), e.Time); bad {
					t.Fatalf("%s: %+v", name, found)
				}
			}
		}
		if grown := heap() - before; grown > 2<<20 {
			t.Errorf("%s: %d bytes more after %d events", name, grown, n)
		}
		runtime.KeepAlive(m)
	}
}

// TestFirstOfSeveralKeys: the event that is told is the first of all keys, also if the key that
// it is about was not due.
func TestFirstOfSeveralKeys(t *testing.T) {
	bad := CheckerFunc(func(_ context.Context, h *history.History) Result {
		if slices.ContainsFunc(h.Ops, func(op history.Operation) bool { return op.F == "bad" }) {
			return Result{Verdict: Invalid}
		}
		return Result{Verdict: Valid}
	})
	m := Recheck(bad)
	tell := func(i int64, key history.Key, f history.F) {
		m.Observe(history.Event{Index: i, Time: history.Time(i), Type: history.Invoke, Key: key, F: f,
			Process: history.Process(i)})
	}
	tell(0, "rare", "bad")
	for i := int64(1); i < leastGrowth; i++ {
		tell(i, "often", "good")
	}
	if found, ok := m.Look(t.Context(), leastGrowth); ok {
		t.Fatalf("%+v, but no key was due", found)
	}
	tell(leastGrowth, "often", "bad")
	if found, ok := m.Look(t.Context(), leastGrowth); !ok || found.Event != 0 || found.Key != "rare" {
		t.Errorf("%t %+v, want the event 0", ok, found)
	}
}

// TestForgottenKeys: what a monitor of all keys finds is true of the whole history, although it
// has forgotten keys that nobody used for a while, and some of which are used again; it
// still finds most of what is wrong.
func TestForgottenKeys(t *testing.T) {
	r := sweep.Rand(t, 11, 0)
	judge := SessionGuarantees(GuaranteesOptions{})
	total, bad, seen, forgot := sweep.Rounds(t, 300), 0, 0, 0
	for range total {
		events := happen(r, 20+r.IntN(60), 1+r.IntN(4), 2+r.IntN(4), "register", 0.1*r.Float64())
		for i := range events {
			events[i].Time *= 10e9
		}
		want := firstWrong(t, events, judge)
		m := RecheckWhole(judge).(*recheck)
		m.least = 8
		var got Early
		found := false
		for _, e := range events {
			if m.Observe(e); !found && r.IntN(3) == 0 {
				got, found = m.Look(t.Context(), e.Time+2*restAfter)
			}
		}
		if !found {
			got, found = m.Look(t.Context(), 1<<60)
		}
		if found && (want < 0 || got.Event < int64(want)) {
			t.Fatalf("found %+v, want event %d of %+v", got, want, events)
		}
		if want >= 0 {
			bad++
		}
		if found {
			seen++
		}
		if len(m.left) > 0 {
			forgot++
		}
	}
	t.Logf("%d of %d are bad, %d of them were seen, %d had forgotten keys", bad, total, seen, forgot)
	if bad < total/10 || bad > total*9/10 || seen < bad/2 || forgot < total/10 {
		t.Error("too few of a kind")
	}
}

// TestRecheckWhileObserved looks while events are told, and finds no violation where there is
// none: what is looked at does not change under the look.
func TestRecheckWhileObserved(t *testing.T) {
	events := happen(rand.New(rand.NewPCG(3, 3)), 3000, 5, 3, "register", 0)
	m := Recheck(Linearizable("register", Options{Certify: -1, Counterexamples: -1}))
	told := make(chan struct{})
	go func() {
		defer close(told)
		for _, e := range events {
			m.Observe(e)
		}
	}()
	looks := 0
	for done := false; !done; looks++ {
		select {
		case <-told:
			done = true
		default:
		}
		if found, bad := m.Look(t.Context(), 1<<40); bad {
			t.Fatalf("%+v", found)
		}
	}
	t.Logf("%d looks", looks)
}
