// Package txn decides which isolation levels a history of transactions keeps, where the
// history itself shows the order of all versions: each element is appended to a list only
// once, so that whoever reads the list reads the order in which it came about.
//
// Transactions become columns of numbers, one row for each step. Key by key, the longest
// list that anybody read is the order of the versions, and every other one has to be the
// beginning of it. That gives the dependencies, and package graph decides about them.
//
// What crashed took effect exactly if something of it was seen: then all that it appended
// is there, what it read is unknown, and nobody knows when it ended. An element that was
// acknowledged but is in no list comes behind those that are, so that lists read without
// it are older; that is how lost appends show.
//
// The anomalies have Elle's names (Kingsbury and Alvaro, "Elle: inferring isolation
// anomalies from experimental observations", 2020), which are Adya's with a few more.
package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	"github.com/ordeal-dev/ordeal/history"
)

// Options bound a check. Zero fields have defaults.
type Options struct {
	// Keep is the greatest number of examples of each anomaly. Default: 4.
	Keep int
	// Budget bounds the search for each class of cycles, in edges looked at.
	Budget int
	// Keys is what is claimed of the order of single registers, whatever the level.
	Keys rw.KeyOrder
}

// Report is what was found.
type Report struct {
	// Lattice says which levels hold.
	Lattice graph.Lattice
	// Anomalies are examples, a few of each type, the gravest types first and of one
	// type the smallest first.
	Anomalies []Anomaly
	// Counts are how many there are of each type: reads, elements or groups of
	// transactions, and for cycles the strongly connected components that have one.
	Counts map[Type]int
	Stats  Stats
}

// Stats say how much was looked at.
type Stats struct {
	Txns, Keys, Appends, Reads int
	// Elements are the places in the lists that were read.
	Elements int
	// Versions are the elements of the longest lists, Edges the dependencies.
	Versions, Edges int
	// Unobserved appends took effect, but are in no list.
	Unobserved int
	// Crashed transactions have an unknown outcome; of Resolved ones something was
	// seen.
	Crashed, Resolved int
	// Binding counts the reads that had to have an acknowledged element.
	Binding int
}

// Anomaly is one violation.
type Anomaly struct {
	Type Type
	// Group is the group of keys in which it happened.
	Group history.Key
	// Ops are the places in the history's list of the operations that show it, Culprit the
	// one that shows it last.
	Ops     []int
	Culprit int
	// Minimal says that without any of Ops the others do not show it.
	Minimal bool
	// Why is a sentence or two in words, Mark what is wrong with the culprit of a cycle, ""
	// if it is no more to blame than the others.
	Why, Mark string
	// Called is how the literature calls such a cycle, and what that means; "" for others.
	Called string
	// Gone says of what is lost that it was missing for so long that it is hardly late.
	Gone bool
	// Cycle are the dependencies that lead in a circle, nil for the other anomalies.
	Cycle []Edge

	// hidden says that the cycle has an append that is in no list.
	hidden bool
}

// Edge is one dependency of a cycle: From comes before To. Both are places in the history's
// list of operations.
type Edge struct {
	From, To int
	Kind     graph.Kind
	Why      string
}

// Breaks reports whether the anomaly alone refutes a level.
func (a Anomaly) Breaks(l graph.Level) bool {
	for _, w := range a.Type.Refutes() {
		if l.Implies(w) {
			return true
		}
	}
	return false
}

// ListAppend checks transactions that append unique elements to lists and read them.
// Operations with a key of their own belong to a group of that name, an independent
// database. It fails if the operations are no such transactions, and when ctx ends.
func ListAppend(ctx context.Context, h *history.History, o Options) (*Report, error) {
	if o.Keep <= 0 {
		o.Keep = 4
	}
	c := newColumns(h.Ops, o.Keep)
	r, err := c.listAppend(ctx, o)
	if err != nil {
		return nil, err
	}
	for i, a := range r.Anomalies {
		r.Anomalies[i] = c.reduce(ctx, a)
	}
	return r, nil
}

// Graph returns the dependencies of list-append transactions, numbered as in h.Ops. Its
// Order of a level is a certificate that the level holds, as far as no list has something
// wrong by itself.
func Graph(ctx context.Context, h *history.History) (*graph.Graph, error) {
	return newColumns(h.Ops, 1).graph(ctx)
}

func (c *columns) graph(ctx context.Context) (*graph.Graph, error) {
	err := c.operations(ctx)
	if errors.Is(err, errCareful) {
		keep := c.found.keep
		*c = *newColumns(c.ops, keep)
		c.phrase, c.careful = phrases{c}, true
		err = c.operations(ctx)
	}
	if err != nil {
		return nil, err
	}
	c.byKey()
	if err := c.versions(ctx); err != nil {
		return nil, err
	}
	g := c.dependencies()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ordering transactions: %w", ctx.Err())
	}
	return g, nil
}

func (c *columns) listAppend(ctx context.Context, o Options) (*Report, error) {
	g, err := c.graph(ctx)
	if err != nil {
		return nil, err
	}
	found := g.Analyze(graph.Options{Budget: o.Budget, Keep: o.Keep})
	return c.report(g, found), nil
}

// operations fills the rows.
func (c *columns) operations(ctx context.Context) error {
	for i := range c.ops {
		if i&0xffff == 0 && ctx.Err() != nil {
			return fmt.Errorf("reading transactions: %w", ctx.Err())
		}
		if err := c.operation(i); err != nil {
			op := &c.ops[i]
			return fmt.Errorf("operation %d (process %d, f %q) does not fit list-append: %w",
				op.Index, op.Process, op.F, err)
		}
	}
	return nil
}
