package models

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// The Fs of the halves into which a transaction falls under snapshot isolation. A transaction
// that changes nothing is a snapshot alone; one that reads nothing, or of which nobody knows
// what it has read, a commit alone: its snapshot may as well come just before it.
const (
	// SnapshotF reads everything that the transaction has not written itself.
	SnapshotF history.F = "snapshot"
	// BeginF is SnapshotF of a transaction that commits later.
	BeginF history.F = "begin"
	// CommitF writes everything.
	CommitF history.F = "commit"
)

// SnapshotIn is one half of a transaction.
type SnapshotIn struct {
	F   history.F
	Txn MultiIn
	// ID ties the halves together.
	ID int64
}

// SnapshotState is a map of registers, and the transactions that have a snapshot and not
// committed yet, by their ids.
type SnapshotState struct {
	Values MultiState
	Open   []SnapshotOpen
}

// SnapshotOpen is a transaction that has a snapshot. It will commit.
type SnapshotOpen struct {
	ID   int64
	Keys []Scalar // that it writes, sorted
}

// Snapshots is a map of registers under strong snapshot isolation, each nil at first. Its
// operations are halves of transactions, each of which happens at one instant: they read from
// a snapshot, and nobody else commits to what they write between that and their own commit
// (Berenson et al., "A critique of ANSI SQL isolation levels", 1995: the first committer wins).
// A history of transactions keeps that level in real time if the history of their halves is
// linearizable. Values may come again and again.
func Snapshots() Model[SnapshotState, SnapshotIn, MultiOut] {
	return Model[SnapshotState, SnapshotIn, MultiOut]{
		Name:  "snapshots and commits",
		Doc:   "several values: the snapshots and the commits of transactions",
		Fs:    []history.F{SnapshotF, BeginF, CommitF},
		Init:  func() SnapshotState { return SnapshotState{} },
		Parse: parseSnapshot,
		Apply: applySnapshot,
		Equal: func(a, b SnapshotState) bool {
			return slices.Equal(a.Values, b.Values) &&
				slices.EqualFunc(a.Open, b.Open, func(x, y SnapshotOpen) bool { return x.ID == y.ID })
		},
		Hash: func(s SnapshotState) uint64 {
			h := hashMulti(s.Values)
			for _, o := range s.Open {
				h = mix(h + uint64(o.ID))
			}
			return h
		},
		// Halves are told apart by their transaction.
		Class:    func(SnapshotIn, MultiOut) any { return nil },
		Describe: describeSnapshot,
		DescribeState: func(s SnapshotState) string {
			text := MultiRegister().DescribeState(s.Values)
			for _, o := range s.Open {
				text += fmt.Sprintf(", txn %d is open", o.ID)
			}
			return text
		},
	}
}

// Halves returns the operations of Snapshots that a transaction falls into, with its times and
// its index; those of the last two agree. The error says why it is no transaction.
func Halves(op history.Operation) ([]history.Operation, error) {
	txn := op
	txn.F = "txn"
	p, err := parseMulti(txn)
	if err != nil {
		return nil, err
	}
	half := func(f history.F) history.Operation {
		h := op
		h.F = f
		return h
	}
	switch {
	case op.Type == history.Fail:
		return []history.Operation{half(CommitF)}, nil
	case p.Facts.Pure && op.Type != history.OK:
		return nil, nil
	case p.Facts.Pure:
		return []history.Operation{half(SnapshotF)}, nil
	case op.Type == history.OK && p.Facts.Observes:
		return []history.Operation{half(BeginF), half(CommitF)}, nil
	default:
		return []history.Operation{half(CommitF)}, nil
	}
}

func parseSnapshot(op history.Operation) (p Op[SnapshotIn, MultiOut], err error) {
	if !slices.Contains([]history.F{SnapshotF, BeginF, CommitF}, op.F) {
		return p, unknownF([]history.F{SnapshotF, BeginF, CommitF})
	}
	txn := op
	txn.F = "txn"
	m, err := parseMulti(txn)
	if err != nil {
		return p, err
	}
	p.In = SnapshotIn{F: op.F, Txn: m.In, ID: op.Index}
	p.Out, p.Facts = m.Out, m.Facts
	if op.Type == history.Fail {
		return p, nil
	}
	if op.F == CommitF {
		p.Facts.Observes, p.Facts.Sees = false, nil
	} else {
		p.Facts.Replaces, p.Facts.Makes = false, nil
	}
	if op.F != SnapshotF {
		p.Facts.Pure, p.Facts.InUnit = false, true
		p.Facts.Unit = Token{Place: Int(op.Index)}
	}
	return p, nil
}

func applySnapshot(s SnapshotState, in SnapshotIn, out MultiOut) (SnapshotState, bool) {
	if in.F != CommitF {
		if _, ok := applyMulti(s.Values, in.Txn, out); !ok {
			return s, false
		}
		if in.F == BeginF {
			s.Open = slices.Clone(s.Open)
			at, _ := slices.BinarySearchFunc(s.Open, in.ID, openID)
			s.Open = slices.Insert(s.Open, at, SnapshotOpen{ID: in.ID, Keys: in.Txn.writes()})
		}
		return s, true
	}
	at, begun := slices.BinarySearchFunc(s.Open, in.ID, openID)
	if !begun && in.begins(out) {
		return s, false
	}
	keys := in.Txn.writes()
	for i, o := range s.Open {
		if begun && i == at {
			continue
		}
		if slices.ContainsFunc(o.Keys, func(k Scalar) bool { return slices.Contains(keys, k) }) {
			return s, false // that one could not commit any more, and it did
		}
	}
	if begun {
		s.Open = slices.Delete(slices.Clone(s.Open), at, at+1)
	}
	s.Values, _ = applyMulti(s.Values, in.Txn, MultiOut{outcome: unknown})
	return s, true
}

func openID(o SnapshotOpen, id int64) int {
	switch {
	case o.ID < id:
		return -1
	case o.ID > id:
		return 1
	default:
		return 0
	}
}

// begins reports whether the transaction has a half before its commit.
func (in SnapshotIn) begins(out MultiOut) bool {
	return out.outcome == done && slices.ContainsFunc(in.Txn, func(o MultiOp) bool { return !o.Write })
}

// writes are the keys that the transaction writes, sorted.
func (in MultiIn) writes() []Scalar {
	var keys []Scalar
	for _, o := range in {
		if o.Write {
			keys = append(keys, o.Key)
		}
	}
	slices.SortFunc(keys, Scalar.Compare)
	return slices.Compact(keys)
}

func describeSnapshot(in SnapshotIn, out MultiOut) string {
	text := describeMulti(in.Txn, out)
	switch in.F {
	case BeginF:
		return "snapshot of " + text
	case CommitF:
		return "commit of " + text
	default:
		return text
	}
}
