package check

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// EdgeKind says why one operation comes before another.
type EdgeKind string

// The kinds of edges that linearizability knows.
const (
	// RealTime: it had returned before the other was called.
	RealTime EdgeKind = "real-time"
	// ProgramOrder is RealTime within one process.
	ProgramOrder EdgeKind = "program-order"
	// ReadFrom: the other saw what it made.
	ReadFrom EdgeKind = "read-from"
	// WriteOrder: what it made was replaced by what the other made.
	WriteOrder EdgeKind = "write-order"
)

// The kinds of edges between transactions, as package graph names them.
const (
	// WW: the other overwrote what it wrote.
	WW EdgeKind = "ww"
	// WR: the other read what it wrote.
	WR EdgeKind = "wr"
	// RW: the other overwrote what it had read.
	RW EdgeKind = "rw"
	// InProcess: it had returned before in the same process.
	InProcess EdgeKind = "process"
	// InTime: it had returned before the other was called.
	InTime EdgeKind = "realtime"
)

// Edge is an order between two operations of a counterexample.
type Edge struct {
	// From comes before To; both are positions in Ops.
	From int `json:"from"`
	To   int `json:"to"`
	// Kind and Why, a clause in words, are the reason.
	Kind EdgeKind `json:"kind"`
	Why  string   `json:"why"`
}

// mutualEdges are those between two operations of which each read what the other one replaced.
func mutualEdges(items []item, a, b *history.Operation) []Edge {
	at := func(op *history.Operation) int {
		return slices.IndexFunc(items, func(it item) bool { return it.op == op })
	}
	edge := func(a, b *history.Operation) Edge {
		return Edge{From: at(a), To: at(b), Kind: RW, Why: fmt.Sprintf("process %d replaced what "+
			"process %d had read", b.Process, a.Process)}
	}
	return []Edge{edge(a, b), edge(b, a)}
}

// edgesMost is for how many operations edges are of use to anybody.
const edgesMost = 100

// edges returns what is known about the order of items.
func (l *linearizable) edges(items []item) []Edge {
	if len(items) > edgesMost {
		return nil
	}
	return append(l.timeEdges(items), l.valueEdges(items)...)
}

// before reports whether a had returned when b was called.
func before(a, b *item) bool { return !a.crashed() && a.ret < b.call }

// timeEdges are those of real time, without those that follow from others.
func (l *linearizable) timeEdges(items []item) []Edge {
	var list []Edge
	for a := range items {
	next:
		for b := range items {
			if !before(&items[a], &items[b]) {
				continue
			}
			for c := range items {
				if before(&items[a], &items[c]) && before(&items[c], &items[b]) {
					continue next
				}
			}
			e := Edge{From: a, To: b, Kind: RealTime, Why: l.returnedBefore(&items[a], &items[b])}
			if items[a].op.Process == items[b].op.Process {
				e.Kind = ProgramOrder
			}
			list = append(list, e)
		}
	}
	return list
}

func (l *linearizable) returnedBefore(a, b *item) string {
	return fmt.Sprintf("%s returned at %s, before %s was called at %s",
		l.describe(a), seconds(a.ret), l.describe(b), seconds(b.call))
}

// valueEdges are those of tokens that only one operation here can have made: who saw
// it, and which of two replaced the other.
func (l *linearizable) valueEdges(items []item) []Edge {
	maker := make(map[models.Token]int)
	for i := range items {
		for _, t := range items[i].p.Facts.Makes {
			if _, twice := maker[t]; twice {
				maker[t] = -1
			} else {
				maker[t] = i
			}
		}
	}
	var list []Edge
	for i := range items {
		for _, t := range items[i].p.Facts.Sees {
			if m, found := maker[t]; found && m >= 0 && m != i && !t.Value.IsNil() {
				list = append(list, Edge{From: m, To: i, Kind: ReadFrom,
					Why: fmt.Sprintf("%s saw what %s made", l.describe(&items[i]), l.describe(&items[m]))})
			}
		}
	}
	return append(list, l.writeEdges(items, maker)...)
}

// writeEdges are between makers of two tokens in one place, when somebody who made or
// saw the one had returned before somebody who made or saw the other was called.
func (l *linearizable) writeEdges(items []item, maker map[models.Token]int) []Edge {
	type pair struct{ from, to int }
	var list []Edge
	known := make(map[pair]bool)
	for a := range items {
		for b := range items {
			if !before(&items[a], &items[b]) {
				continue
			}
			for _, t := range touched(&items[a]) {
				for _, u := range touched(&items[b]) {
					from, one := maker[t]
					to, two := maker[u]
					e := pair{from: from, to: to}
					if !one || !two || from < 0 || to < 0 || from == to || t.Place != u.Place ||
						!items[from].p.Facts.Replaces || !items[to].p.Facts.Replaces || known[e] ||
						from == a && to == b {
						continue
					}
					known[e] = true
					list = append(list, Edge{From: from, To: to, Kind: WriteOrder,
						Why: l.returnedBefore(&items[a], &items[b])})
				}
			}
		}
	}
	return list
}

// touched are the tokens that were there, for certain, at some moment while an
// operation was open.
func touched(it *item) []models.Token {
	if it.crashed() {
		return it.p.Facts.Makes // at some moment after its call, if ever
	}
	return append(append([]models.Token(nil), it.p.Facts.Makes...), it.p.Facts.Sees...)
}
