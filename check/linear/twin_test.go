package linear

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// The dumb twin of every engine: it tries all orders, taking each operation of
// unknown outcome or leaving it out.

// bruteForce reports whether operations with these spans have a legal order. step
// executes operation op on a state and returns the states that may follow.
func bruteForce[S comparable](spans []Span, start S, step func(s S, op int) []S) bool {
	required := 0
	for i, s := range spans {
		if !s.crashed() {
			required |= 1 << i
		}
	}
	type config struct {
		done  int
		state S
	}
	seen := map[config]bool{}
	var search func(c config) bool
	search = func(c config) bool {
		if c.done&required == required {
			return true
		}
		if seen[c] {
			return false
		}
		seen[c] = true
		for i := range spans {
			if c.done&(1<<i) != 0 || !mayBeNext(spans, c.done, i) {
				continue
			}
			for _, next := range step(c.state, i) {
				if search(config{c.done | 1<<i, next}) {
					return true
				}
			}
		}
		return false
	}
	return search(config{0, start})
}

// mayBeNext reports whether nothing that is left was over before i was called.
func mayBeNext(spans []Span, done, i int) bool {
	for j := range spans {
		if done&(1<<j) == 0 && spans[j].before(spans[i]) {
			return false
		}
	}
	return true
}

// only is the result of a step that changes nothing.
func only[S any](s S, ok bool) []S {
	if ok {
		return []S{s}
	}
	return nil
}

// world draws random histories: spans with many ties, and the moments at which
// the operations would take effect in a correct object.
type world struct {
	*rand.Rand
	spans []Span
	// moments are operations in the order in which they take effect. Some of those
	// that crash are not among them.
	moments []int
	// right histories have no mistakes.
	right bool
}

// mistakes is how many answers to spoil, less than n.
func (w *world) mistakes(n int) int {
	if w.right {
		return 0
	}
	return w.IntN(n)
}

func newWorld(rng *rand.Rand, most int) *world {
	n := 1 + max(rng.IntN(most), rng.IntN(most))
	w := &world{Rand: rng, spans: make([]Span, n)}
	long := 1 + rng.IntN(8)
	crash := rng.IntN(4)
	type moment struct{ at, op int }
	var ms []moment
	at := 0
	for i := range w.spans {
		at += rng.IntN(3)
		length := rng.IntN(long)
		w.spans[i] = Span{history.Time(at), history.Time(at + length)}
		effect := at + rng.IntN(length+1)
		if rng.IntN(10) < crash {
			w.spans[i].Return = history.Never
			effect = at + rng.IntN(12)
			if rng.IntN(3) == 0 {
				continue
			}
		}
		ms = append(ms, moment{effect, i})
	}
	rng.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
	for i := range ms { // insertion sort keeps the shuffled order of equal moments
		for j := i; j > 0 && ms[j].at < ms[j-1].at; j-- {
			ms[j], ms[j-1] = ms[j-1], ms[j]
		}
	}
	for _, m := range ms {
		w.moments = append(w.moments, m.op)
	}
	return w
}

// seeded returns a source of randomness for one round.
func seeded(round int) *rand.Rand { return rand.New(rand.NewPCG(uint64(round), 20)) }

// replay verifies a certificate: order has every operation of known outcome once,
// nobody stands behind an operation that was called after it had returned, and each
// step is possible.
func replay[S any](spans []Span, order []int, start S, step func(s S, op int) []S) error {
	placed := make([]bool, len(spans))
	latest := history.Time(-1)
	states := []S{start}
	for _, op := range order {
		if placed[op] {
			return fmt.Errorf("operation %d stands in %v twice", op, order)
		}
		placed[op] = true
		if spans[op].Return < latest {
			return fmt.Errorf("operation %d stands too late in %v", op, order)
		}
		latest = max(latest, spans[op].Call)
		var next []S
		for _, s := range states {
			next = append(next, step(s, op)...)
		}
		if states = next; len(states) == 0 {
			return fmt.Errorf("operation %d is not possible in %v", op, order)
		}
	}
	for op, s := range spans {
		if !placed[op] && !s.crashed() {
			return fmt.Errorf("operation %d is missing in %v", op, order)
		}
	}
	return nil
}

// longWorld has up to thirty operations open at a time. Some take very long.
func longWorld(rng *rand.Rand, n int) *world {
	w := &world{Rand: rng, spans: make([]Span, n)}
	var effects []due
	clients, crash, slow := 1+rng.IntN(30), rng.IntN(8), rng.IntN(4)
	at := 0
	for i := range w.spans {
		at += rng.IntN(4)
		length := rng.IntN(2*clients + 1)
		if rng.IntN(100) < slow {
			length *= 20
		}
		s := Span{history.Time(at), history.Time(at + length)}
		effect := history.Time(at + rng.IntN(length+1))
		if rng.IntN(100) < crash {
			s.Return = history.Never
			effect += history.Time(rng.IntN(300))
		}
		w.spans[i] = s
		if !s.crashed() || rng.IntN(2) == 0 {
			effects = append(effects, due{effect, i})
		}
	}
	slices.SortFunc(effects, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	for _, d := range effects {
		w.moments = append(w.moments, d.op)
	}
	return w
}

// eachShape puts calls and returns at one time after the other. Operations are called
// in their order; called of them are, by now, and those without return are open.
func eachShape(spans []Span, called int, now history.Time, try func(spans []Span)) {
	if int(now) == 2*len(spans) {
		try(spans)
		return
	}
	if called < len(spans) {
		spans[called] = Span{Call: now, Return: history.Never}
		eachShape(spans, called+1, now+1, try)
	}
	for i := range called {
		if spans[i].crashed() {
			spans[i].Return = now
			eachShape(spans, called, now+1, try)
			spans[i].Return = history.Never
		}
	}
}
