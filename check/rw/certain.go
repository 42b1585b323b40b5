package rw

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Rule is why a dependency between two transactions is certain.
type Rule uint8

// The rules.
const (
	// ReadIt: To read the version that From wrote.
	ReadIt Rule = iota
	// InitialFirst: From read the initial state of the key, and To wrote the key.
	InitialFirst
	// ReadThenWrote: To read Older and wrote Newer itself.
	ReadThenWrote
	// OfKeys: the key was claimed to keep an order, and somebody was done with Older
	// before somebody else began with Newer.
	OfKeys
	// OtherwiseCycle: if Newer were older than Older, there would be a cycle.
	OtherwiseCycle
)

// arc is a dependency of one transaction on another.
type arc struct {
	from, to     txn
	kind         graph.Kind
	rule         Rule
	older, newer version
}

// manyArcs bounds the arcs from readers to those who overwrote what they read, which may
// be as many as pairs of transactions.
const manyArcs = 8_000_000

// certain returns the dependencies that hold whatever the order of versions. It reports
// false if there are too many: then some of kind rw are missing.
func (p *problem) certain() (arcs []arc, all bool) {
	arcs = make([]arc, 0, len(p.reads)+len(p.writes))
	for t := range txn(p.n) {
		for _, r := range p.readsOf(t) {
			if w := p.writer[r.version]; w != nobody {
				arcs = append(arcs, arc{w, t, graph.WR, ReadIt, r.version, r.version})
			}
		}
	}
	for _, r := range p.again {
		v := p.versionOf(r.key, r.writer)
		arcs = append(arcs, arc{r.writer, r.by, graph.WR, ReadIt, v, v})
	}
	for _, r := range p.relations {
		arcs = p.replaced(arcs, r.older, r.newer, OfKeys)
	}
	limit := len(arcs) + manyArcs
	p.successors(func(older, newer version, rule Rule) bool {
		arcs = p.overwritten(arcs, older, newer, rule)
		return len(arcs) <= limit
	})
	return arcs, len(arcs) <= limit
}

// successors calls f with versions of which the first is certainly older than the second,
// until it says no.
func (p *problem) successors(f func(older, newer version, rule Rule) bool) {
	for t := range txn(p.n) {
		for _, r := range p.readsOf(t) {
			if p.wroteKey(t, r.key) && !f(r.version, p.versionOf(r.key, t), ReadThenWrote) {
				return
			}
		}
	}
	for _, r := range p.relations {
		if !f(r.older, r.newer, OfKeys) {
			return
		}
	}
	for k := range p.keys {
		v := p.first[k]
		if len(p.readersOf(v)) == 0 {
			continue
		}
		for next := v + 1; next < p.first[k+1]; next++ {
			if p.blind(next) && !f(v, next, InitialFirst) {
				return
			}
		}
	}
}

// blind reports whether the writer of a version had not read the key.
func (p *problem) blind(v version) bool {
	return !slices.ContainsFunc(p.readsOf(p.writer[v]), func(r access) bool {
		return r.key == p.key[v]
	})
}

// succession adds what follows from one version being older than another.
func (p *problem) succession(arcs []arc, older, newer version, rule Rule) []arc {
	return p.overwritten(p.replaced(arcs, older, newer, rule), older, newer, rule)
}

// replaced adds the ww between the writers of two versions.
func (p *problem) replaced(arcs []arc, older, newer version, rule Rule) []arc {
	if from := p.writer[older]; from != nobody {
		arcs = append(arcs, arc{from, p.writer[newer], graph.WW, rule, older, newer})
	}
	return arcs
}

// overwritten adds the rw from the readers of the older of two versions.
func (p *problem) overwritten(arcs []arc, older, newer version, rule Rule) []arc {
	to := p.writer[newer]
	for _, r := range p.readersOf(older) {
		if r != to {
			arcs = append(arcs, arc{r, to, graph.RW, rule, older, newer})
		}
	}
	return arcs
}

// graphOf builds the dependency graph of arcs; their numbers are the causes of its edges.
func (p *problem) graphOf(arcs []arc) *graph.Graph {
	b := graph.NewBuilder(p.n, len(arcs)+p.n)
	for i, a := range arcs {
		b.Add(a.kind, graph.Txn(a.from), graph.Txn(a.to), uint32(i))
	}
	return b.Build(graph.Times{Call: p.call, Return: p.ret, Session: p.session})
}

// inTime returns enough pairs of which one returned before the other was called for all
// such pairs to follow: to the next ones only.
func (p *problem) inTime(f func(from, to txn)) {
	if p.call == nil {
		return
	}
	byCall := make([]txn, p.n)
	for i := range byCall {
		byCall[i] = txn(i)
	}
	slices.SortFunc(byCall, func(a, b txn) int { return cmp.Compare(p.call[a], p.call[b]) })
	earliest := make([]int64, p.n+1) // return of those called from here on
	earliest[p.n] = graph.Never
	for i := p.n - 1; i >= 0; i-- {
		earliest[i] = min(earliest[i+1], p.ret[byCall[i]])
	}
	for t := range txn(p.n) {
		ret := p.ret[t]
		at, _ := slices.BinarySearchFunc(byCall, ret, func(u txn, ret int64) int {
			if p.call[u] <= ret {
				return -1
			}
			return 1
		})
		for limit := earliest[at]; at < p.n && p.call[byCall[at]] <= limit; at++ {
			f(t, byCall[at])
		}
	}
}
