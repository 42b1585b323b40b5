package commit

import (
	"testing"

	"pgregory.net/rapid"
)

// TestLocks plays random transactions against the table: no two conflicting holders,
// nobody waits in a circle, and when all holders let go everybody gets a turn.
func TestLocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lockTable{}
		keys := []string{"a", "b", "c"}
		waits := map[uint64]string{} // who waits, and for which key
		held := map[uint64]bool{}
		over := map[uint64]bool{}
		finish := func(n uint64) {
			over[n] = true
			delete(waits, n)
			delete(held, n)
			for _, k := range keys {
				l.release(k, TxnID{N: n})
			}
		}
		settle := func() {
			for again := true; again; {
				again = false
				for _, k := range keys {
					id, granted, ok := l.next(k, nil)
					again = again || ok
					if ok && granted {
						delete(waits, id.N)
						held[id.N] = true
					} else if ok {
						finish(id.N)
					}
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := uint64(rapid.IntRange(1, 6).Draw(t, "txn"))
			switch {
			case over[n] || waits[n] != "":
			case held[n] && rapid.IntRange(0, 3).Draw(t, "end") == 0:
				finish(n)
			default:
				k := rapid.SampledFrom(keys).Draw(t, "key")
				waits[n] = k
				l.want(k, wait{empty: !held[n],
					hold: hold{txn: TxnID{N: n}, age: n, exclusive: rapid.Bool().Draw(t, "x")}})
			}
			settle()
			for _, s := range l {
				for i, h := range s.holders {
					for _, o := range s.holders[:i] {
						if h.conflicts(o) {
							t.Fatalf("%v and %v both hold", h, o)
						}
					}
				}
			}
			if len(waits) > 0 && movers(held, waits) == 0 {
				t.Fatalf("everybody waits: %v", waits)
			}
		}
		for len(waits)+len(held) > 0 {
			before := len(waits) + len(held)
			for n := range held {
				if waits[n] == "" {
					finish(n)
				}
			}
			settle()
			if len(waits)+len(held) == before {
				t.Fatalf("stuck: %v wait, %v hold", waits, held)
			}
		}
	})
}

// movers counts the holders that do not wait.
func movers(held map[uint64]bool, waits map[uint64]string) int {
	n := 0
	for id := range held {
		if waits[id] == "" {
			n++
		}
	}
	return n
}
