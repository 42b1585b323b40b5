package linear

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// engine is what the tests need to know of an engine for operations T, with a
// second specification of its object, of states S.
type engine[T any, S comparable] struct {
	// draw returns a random history, often one that is spoiled.
	draw func(w *world) []T
	span func(op *T) *Span
	run  func(ops []T) Result
	// order returns a certificate.
	order func(ops []T) []int
	start S
	step  func(ops []T) func(s S, op int) []S
	// changes reports whether an operation may change the object.
	changes func(op *T) bool
	// forget takes away what only an answer could tell. nil: nothing does.
	forget func(op *T)
	// rename replaces the values of an operation.
	rename func(op *T, name func(Value) Value)
	// each returns what operation i of n may be, with an answer.
	each func(i, n int) []T
	// kinds are the kinds of conflicts that have to be found.
	kinds []Kind
	// partial: the engine need not be applicable.
	partial bool
	// exact: a violation is reported with the earliest event that makes it certain.
	exact bool
	// most is how many operations a history has at most, default 10.
	most int
}

// legal is the verdict of the twin.
func (e *engine[T, S]) legal(ops []T) bool {
	return bruteForce(e.spans(ops), e.start, e.step(ops))
}

func (e *engine[T, S]) spans(ops []T) []Span {
	spans := make([]Span, len(ops))
	for i := range ops {
		spans[i] = *e.span(&ops[i])
	}
	return spans
}

// known is what was known of a history with time t, or just before: an operation
// that had not returned has an unknown outcome, and one not called is not there.
func (e *engine[T, S]) known(ops []T, t history.Time, with bool) []T {
	var known []T
	for _, op := range ops {
		s := e.span(&op)
		if s.Return != history.Never && (s.Return > t || s.Return == t && !with) {
			e.crash(&op)
		}
		if s.Call <= t {
			known = append(known, op)
		}
	}
	return known
}

func (e *engine[T, S]) crash(op *T) {
	e.span(op).Return = history.Never
	if e.forget != nil {
		e.forget(op)
	}
}

func (e *engine[T, S]) world(round int) *world {
	if e.most == 0 {
		return newWorld(seeded(round), 10)
	}
	return newWorld(seeded(round), e.most)
}

// test compares the engine with its twin, replays its certificates, and looks
// whether violations were certain when it says so.
func (e *engine[T, S]) test(t *testing.T, few int) {
	var seen tally
	kinds := map[Kind]int{}
	long := []Kind{Circle, Occupied, Unstable} // may need more than four
	for round := range sweep.Rounds(t, few) {
		ops := e.draw(e.world(round))
		got := e.run(ops)
		if got.Answer == NotApplicable && e.partial {
			seen.other++
			continue
		}
		want := e.legal(ops)
		seen.count(want)
		if (got.Answer == Linearizable) != want || got.Answer == NotApplicable {
			t.Fatalf("round %d: %v, twin says %v: %+v", round, got, want, ops)
		}
		if want {
			if err := replay(e.spans(ops), e.order(ops), e.start, e.step(ops)); err != nil {
				t.Fatalf("round %d: %v: %+v", round, err, ops)
			}
			continue
		}
		c := got.Conflict
		kinds[c.Kind]++
		switch {
		case len(c.Culprits()) == 0, len(c.Culprits()) > 4 && !slices.Contains(long, c.Kind):
			t.Fatalf("round %d: culprits of %+v: %+v", round, c, ops)
		case e.legal(e.known(ops, c.At, true)):
			t.Fatalf("round %d: %+v was not certain: %+v", round, c, ops)
		case e.exact && !e.legal(e.known(ops, c.At, false)):
			t.Fatalf("round %d: %+v was certain before: %+v", round, c, ops)
		}
	}
	seen.check(t)
	t.Logf("kinds of conflicts: %v", kinds)
	for _, k := range e.kinds {
		if kinds[k] == 0 {
			t.Errorf("no conflict of kind %d", k)
		}
	}
}

// testExhaustively tries every history of three operations, or of most if CHECK_ROUNDS
// asks for many: every order of calls and returns, and of every operation whatever it
// may be, also without an answer.
func (e *engine[T, S]) testExhaustively(t *testing.T, most int) {
	n := 3
	if sweep.Rounds(t, 0) >= 100_000 {
		n = most
	}
	var seen tally
	ops := make([]T, n)
	eachShape(make([]Span, n), 0, 0, func(spans []Span) {
		e.eachMeaning(ops, spans, 0, func() {
			got := e.run(ops)
			if got.Answer == NotApplicable && e.partial {
				seen.other++
				return
			}
			want := e.legal(ops)
			seen.count(want)
			if (got.Answer == Linearizable) != want || got.Answer == NotApplicable {
				t.Fatalf("%v, twin says %v: %+v", got, want, ops)
			}
			if want {
				if err := replay(e.spans(ops), e.order(ops), e.start, e.step(ops)); err != nil {
					t.Fatalf("%v: %+v", err, ops)
				}
			}
		})
	})
	t.Logf("%d legal, %d illegal, %d not applicable", seen.legal, seen.illegal, seen.other)
	if min(seen.legal, seen.illegal) < 500 {
		t.Errorf("%d legal and %d illegal histories", seen.legal, seen.illegal)
	}
}

// eachMeaning makes operation i and those behind it whatever they may be.
func (e *engine[T, S]) eachMeaning(ops []T, spans []Span, i int, try func()) {
	if i == len(ops) {
		try()
		return
	}
	for _, op := range e.each(i, len(ops)) {
		*e.span(&op) = spans[i]
		ops[i] = op
		e.eachMeaning(ops, spans, i+1, try)
		if e.changes(&op) {
			e.crash(&ops[i])
			e.eachMeaning(ops, spans, i+1, try)
		}
	}
}

// testLong wants histories without mistakes, too long for the twin, to be found
// right, with a certificate.
func (e *engine[T, S]) testLong(t *testing.T, few int) {
	for round := range min(sweep.Rounds(t, few), 5000) {
		rng := seeded(round)
		w := longWorld(rng, 20+rng.IntN(200))
		w.right = true
		ops := e.draw(w)
		got := e.run(ops)
		if got.Answer == NotApplicable && e.partial {
			continue
		}
		if got.Answer != Linearizable {
			t.Fatalf("round %d: %v %+v: %+v", round, got, got.Conflict, ops)
		}
		if err := replay(e.spans(ops), e.order(ops), e.start, e.step(ops)); err != nil {
			t.Fatalf("round %d: %v: %+v", round, err, ops)
		}
	}
}

// testChanges changes histories in ways that must not change the verdict, or only
// from a violation to none.
func (e *engine[T, S]) testChanges(t *testing.T, few int) {
	for round := range sweep.Rounds(t, few) {
		w := e.world(round)
		ops := e.draw(w)
		was := e.run(ops)
		if was.Answer == NotApplicable {
			continue
		}
		for name, change := range map[string]func(ops []T) bool{
			"renamed": func(ops []T) bool { return e.renamed(w, ops) },
			"widened": func(ops []T) bool { return e.widened(w, ops) && was.Answer == Linearizable },
			"crashed": func(ops []T) bool { return e.crashed(w, ops) && was.Answer == Linearizable },
		} {
			changed := slices.Clone(ops)
			if !change(changed) {
				continue
			}
			if is := e.run(changed); is.Answer != was.Answer && (is.Answer != NotApplicable || !e.partial) {
				t.Fatalf("round %d: %v, %s %v: %+v and %+v", round, was, name, is, ops, changed)
			}
		}
		// Nothing gets right without an operation that need not have taken effect, and
		// nothing gets wrong without one that changed nothing.
		at := w.IntN(len(ops))
		if e.span(&ops[at]).crashed() == (was.Answer == Violation) &&
			(was.Answer == Violation || !e.changes(&ops[at])) {
			rest := slices.Delete(slices.Clone(ops), at, at+1)
			if is := e.run(rest); is.Answer != was.Answer && (is.Answer != NotApplicable || !e.partial) {
				t.Fatalf("round %d: %v, without operation %d %v: %+v", round, was, at, is, ops)
			}
		}
		if was.Answer == Linearizable {
			e.testUnneeded(t, round, ops)
		}
	}
}

// testUnneeded deletes the operations that the certificate leaves out.
func (e *engine[T, S]) testUnneeded(t *testing.T, round int, ops []T) {
	var rest []T
	needed := e.order(ops)
	for i := range ops {
		if slices.Contains(needed, i) {
			rest = append(rest, ops[i])
		}
	}
	if is := e.run(rest); is.Answer != Linearizable {
		t.Fatalf("round %d: %v without what nobody needs: %+v and %+v", round, is, ops, rest)
	}
}

func (e *engine[T, S]) renamed(w *world, ops []T) bool {
	if e.rename == nil {
		return false
	}
	names := w.Perm(30)
	for i := range ops {
		e.rename(&ops[i], func(v Value) Value {
			if v == Nil {
				return Nil
			}
			return Value(names[v-1] + 1)
		})
	}
	w.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return true
}

// widened lets an operation return later, unless that is never, or begin earlier.
func (e *engine[T, S]) widened(w *world, ops []T) bool {
	s := e.span(&ops[w.IntN(len(ops))])
	if !s.crashed() {
		s.Return += history.Time(w.IntN(4))
	}
	s.Call -= min(s.Call, history.Time(w.IntN(4)))
	return true
}

// crashed makes the outcome of an operation unknown.
func (e *engine[T, S]) crashed(w *world, ops []T) bool {
	op := &ops[w.IntN(len(ops))]
	if !e.changes(op) {
		return false
	}
	e.crash(op)
	return true
}

// tally counts verdicts and insists that both kinds were seen often.
type tally struct{ legal, illegal, other int }

func (c *tally) count(legal bool) {
	if legal {
		c.legal++
	} else {
		c.illegal++
	}
}

func (c *tally) check(t *testing.T) {
	t.Helper()
	all := c.legal + c.illegal
	t.Logf("%d legal, %d illegal, %d not applicable", c.legal, c.illegal, c.other)
	if all == 0 || c.legal*10 < all || c.illegal*10 < all {
		t.Errorf("%d legal and %d illegal histories: each should be a tenth of all",
			c.legal, c.illegal)
	}
}

// TestSentences wants words for every kind of conflict.
func TestSentences(t *testing.T) {
	for k := Opposed; k < lastKind; k++ {
		c := Conflict{Kind: k, Ops: []int{3, 4, noOp, 6}}
		s := c.Sentence(func(op int) string { return fmt.Sprintf("<%d>", op) })
		if len(s) < 20 || slices.Contains([]rune(s), '{') {
			t.Errorf("kind %d: %q", k, s)
		}
	}
}
