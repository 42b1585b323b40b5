package check

import (
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// pruned counts what prune did with the operations of unknown outcome that may
// have changed something.
type pruned struct {
	kept, dropped, closed int
}

// prune removes or bounds operations of unknown outcome, without changing whether
// the history is linearizable. A search is exponential in those that stay, and
// slow exactly when there is a violation to find.
//
// An operation may be dropped when nobody saw what it makes: in a linearization
// that contains it, nothing before the next change depends on it, so without it
// the rest is a linearization too; and where it is missing it can be added at the
// end. This fails when some answer says what the state was not, because then the
// unseen value may have been what made it true; such a history is left alone. An
// operation that was seen only by others that are dropped is dropped with them.
//
// An operation whose token nobody else can have made, and which somebody saw, took
// effect before the first of those who saw it returned: there its interval ends.
// The initial nil counts as made by somebody else. What an operation of unknown
// outcome saw, a compare-and-set for example, it saw before its own interval ended.
//
// This is the cut of Gibbons and Korach, "Testing shared memories" (1997), that a
// write precedes its reads, put to use for writes that never returned.
func prune(items []item) ([]item, pruned) {
	var stats pruned
	crashed := false
	for i := range items {
		crashed = crashed || items[i].crashed()
	}
	if !crashed {
		return items, stats
	}
	k := newKnowledge(items)
	for k.pass(items) {
	}
	out := make([]item, 0, len(items))
	for _, it := range items {
		switch {
		case !it.crashed():
		case it.p.Facts.Pure:
			continue
		case k.droppable(&it):
			stats.dropped++
			continue
		default:
			stats.kept++
			if end := k.end(&it); end < it.ret {
				it.ret = max(end, it.call)
				stats.closed++
			}
		}
		out = append(out, it)
	}
	return out, stats
}

// knowledge is what a history says about its tokens.
type knowledge struct {
	// makers counts the operations that may have made a token.
	makers map[models.Token]int
	// seen is the time by which a token certainly existed, Never when that is
	// not known although somebody may have seen it.
	seen   map[models.Token]history.Time
	denies bool
}

func newKnowledge(items []item) *knowledge {
	k := &knowledge{
		makers: make(map[models.Token]int),
		seen:   make(map[models.Token]history.Time),
	}
	for i := range items {
		it := &items[i]
		k.denies = k.denies || it.p.Facts.Denies
		for _, t := range it.p.Facts.Makes {
			k.makers[t]++
		}
		if !it.crashed() {
			k.see(it, it.ret)
		}
	}
	return k
}

// see notes that it saw its tokens by end, and reports whether that was news.
func (k *knowledge) see(it *item, end history.Time) bool {
	news := false
	for _, t := range it.p.Facts.Sees {
		if old, found := k.seen[t]; !found || end < old {
			k.seen[t] = end
			news = true
		}
	}
	return news
}

// pass lets what was seen of crashed operations tell what they saw.
func (k *knowledge) pass(items []item) bool {
	news := false
	for i := range items {
		it := &items[i]
		if it.crashed() && !it.p.Facts.Pure && !k.droppable(it) && k.see(it, k.end(it)) {
			news = true
		}
	}
	return news
}

func (k *knowledge) droppable(it *item) bool {
	f := &it.p.Facts
	if k.denies || f.Pinned || len(f.Makes) == 0 {
		return false
	}
	for _, t := range f.Makes {
		if _, found := k.seen[t]; found {
			return false
		}
	}
	return true
}

// end returns the time by which the operation certainly took effect, or Never.
func (k *knowledge) end(it *item) history.Time {
	end := history.Never
	for _, t := range it.p.Facts.Makes {
		if seen, found := k.seen[t]; found && k.makers[t] == 1 && !t.Value.IsNil() {
			end = min(end, seen)
		}
	}
	return end
}
