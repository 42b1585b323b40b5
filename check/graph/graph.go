// Package graph decides isolation levels on the dependency graph of transactions whose
// version order is known.
//
// A transaction depends on another because it overwrote what that one wrote (ww), read
// what it wrote (wr), or because that one overwrote what it had read (rw). Adya's levels
// are the absence of certain cycles, and here every level is one topological sort by
// Kahn's algorithm over flat arrays, linear in the number of edges. Two ideas make that
// possible. Snapshot isolation is acyclicity, too, when a transaction is split into its
// snapshot and its commit: ww and wr lead from the commit of one to the snapshot of the
// other, rw from snapshot to commit, and what is forbidden is exactly a cycle without two
// adjacent rw. And real-time order, quadratic as edges, costs nothing when transactions
// are kept sorted by call and by return: one may go as soon as it was called before the
// earliest return of all that have not gone.
//
// Only when a sort does not come to its end, Tarjan's algorithm looks at the remainder, and
// a breadth-first search names the shortest cycle of every class, with Elle's names.
//
// Sources: Adya, "Weak consistency: a generalized theory and optimistic implementations for
// distributed transactions" (1999); Cerone and Gotsman, "Analysing snapshot isolation"
// (2016); Crooks, Pu, Alvisi and Clement, "Seeing is believing" (2017); Kingsbury and Alvaro,
// "Elle: inferring isolation anomalies from experimental observations" (2020).
package graph

import (
	"fmt"
	"math"
)

// Txn numbers the transactions of one graph, from 0.
type Txn int32

// Never is the return of a transaction of which nobody knows when it ended: nothing
// comes after it in time.
const Never int64 = math.MaxInt64

// MaxTxns is the greatest number of transactions in a graph.
const MaxTxns = 1 << 30

// Kind says why one transaction comes before another.
type Kind uint8

// The kinds of edges. From WW to RW they are dependencies through data.
const (
	// WW: the second one overwrote what the first one wrote.
	WW Kind = iota
	// WR: the second one read what the first one wrote.
	WR
	// RW: the second one overwrote what the first one had read.
	RW
	// Process: both belong to one session, and the first one had returned before.
	Process
	// Realtime: the first one had returned before the second one was called.
	Realtime
)

// String returns ww, wr, rw, process or realtime.
func (k Kind) String() string {
	names := [...]string{"ww", "wr", "rw", "process", "realtime"}
	if int(k) >= len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

// Edge says that From comes before To. Cause is whatever the builder of the graph gave
// to know the reason again, such as the number of a version; 0 for Process and Realtime.
type Edge struct {
	From, To Txn
	Kind     Kind
	Cause    uint32
}

// kindShift packs the kind of a stored edge, WW to Process, above its target.
const (
	kindShift = 30
	nodeMask  = 1<<kindShift - 1
)

// kinds is a set of kinds of edges.
type kinds uint8

func (s kinds) has(k Kind) bool { return s>>k&1 != 0 }

func kindsOf(list ...Kind) kinds {
	var s kinds
	for _, k := range list {
		s |= 1 << k
	}
	return s
}

// Times are when transactions were called and returned, and in which session, by their
// numbers. Sessions are small numbers from 0; within one session transactions have to be
// numbered in their order. A nil slice says that nothing is known: no order in time, no
// sessions.
type Times struct {
	Call, Return []int64
	Session      []int32
}

// Builder collects the edges of a graph.
type Builder struct {
	txns     int
	from, to []uint32 // to with the kind
	cause    []uint32
}

// NewBuilder begins a graph of txns transactions with room for some edges.
func NewBuilder(txns, edges int) *Builder {
	if txns < 0 || txns > MaxTxns {
		panic(fmt.Sprintf("graph: %d transactions, at most %d", txns, MaxTxns))
	}
	return &Builder{
		txns: txns, from: make([]uint32, 0, edges), to: make([]uint32, 0, edges),
		cause: make([]uint32, 0, edges),
	}
}

// Add adds a dependency of kind WW, WR or RW. Of one on itself nothing is noted.
func (b *Builder) Add(kind Kind, from, to Txn, cause uint32) {
	if from == to {
		return
	}
	b.from = append(b.from, uint32(from))
	b.to = append(b.to, uint32(to)|uint32(kind)<<kindShift)
	b.cause = append(b.cause, cause)
}

// Len returns the number of edges so far.
func (b *Builder) Len() int { return len(b.from) }

// Build returns the graph of the edges so far and of the order within sessions.
func (b *Builder) Build(t Times) *Graph {
	b.sessions(t)
	g := &Graph{n: b.txns, call: t.Call, ret: t.Return, session: t.Session}
	g.off = make([]uint32, b.txns+2)
	for _, f := range b.from {
		g.off[f+2]++
	}
	for i := 2; i < len(g.off); i++ {
		g.off[i] += g.off[i-1]
	}
	g.to = make([]uint32, len(b.to))
	g.cause = make([]uint32, len(b.to))
	for i, f := range b.from {
		at := g.off[f+1]
		g.to[at], g.cause[at] = b.to[i], b.cause[i]
		g.off[f+1]++
	}
	g.off = g.off[:b.txns+1]
	return g
}

// sessions adds the edges between a transaction and the next ones of its session, as far
// as the first of these of which it is known when it ended: after that come those that
// follow it. Of one without a return nobody knows that it came before another.
func (b *Builder) sessions(t Times) {
	if t.Session == nil {
		return
	}
	var last []int32 // by session, the latest that ended
	for i, s := range t.Session {
		for int(s) >= len(last) {
			last = append(last, -1)
		}
		if last[s] >= 0 {
			b.Add(Process, Txn(last[s]), Txn(i), 0)
		}
		if t.Return == nil || t.Return[i] != Never {
			last[s] = int32(i)
		}
	}
}

// With returns the graph with some more edges.
func (g *Graph) With(edges []Edge) *Graph {
	b := NewBuilder(g.n, len(g.to)+len(edges))
	for t := range Txn(g.n) {
		g.EachFrom(t, func(e Edge) { b.Add(e.Kind, e.From, e.To, e.Cause) })
	}
	for _, e := range edges {
		b.Add(e.Kind, e.From, e.To, e.Cause)
	}
	more := b.Build(Times{Call: g.call, Return: g.ret}) // sessions are there already
	more.session = g.session
	return more
}

// Graph is the dependency graph of transactions, as a compressed adjacency list. It is not
// safe for concurrent use.
type Graph struct {
	n int
	// off[t] is where the edges of t begin in to and cause.
	off       []uint32
	to, cause []uint32
	call, ret []int64
	session   []int32
	// byCall and byReturn are filled when they are needed first.
	byCall, byReturn []Txn
}

// Txns returns the number of transactions.
func (g *Graph) Txns() int { return g.n }

// Edges returns the number of edges that are stored, those between sessions included.
func (g *Graph) Edges() int { return len(g.to) }

// EachFrom calls f with every edge that is stored at t.
func (g *Graph) EachFrom(t Txn, f func(Edge)) {
	for i := g.off[t]; i < g.off[t+1]; i++ {
		f(g.edge(t, i))
	}
}

func (g *Graph) edge(from Txn, at uint32) Edge {
	e := g.to[at]
	return Edge{From: from, To: Txn(e & nodeMask), Kind: Kind(e >> kindShift), Cause: g.cause[at]}
}

// timed reports whether there is an order in time.
func (g *Graph) timed() bool { return g.call != nil && g.ret != nil }

// before reports whether a had returned before b was called.
func (g *Graph) before(a, b Txn) bool { return g.timed() && g.ret[a] < g.call[b] }
