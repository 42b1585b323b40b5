package graph

import (
	"fmt"
	"slices"
)

// Level is an isolation level. The zero Level is the strongest.
type Level uint8

// The levels, the stronger ones first.
const (
	// StrictSerializable is a serial order that keeps the order of time.
	StrictSerializable Level = iota
	// StrongSessionSerializable is a serial order that keeps that of each session.
	StrongSessionSerializable
	// Serializable is any serial order (Adya's PL-3).
	Serializable
	// RepeatableRead is the same as far as items are concerned, not predicates
	// (PL-2.99): where there are only items, it is Serializable.
	RepeatableRead
	// StrongSnapshotIsolation reads from snapshots that have all that was
	// acknowledged before the transaction began.
	StrongSnapshotIsolation
	// StrongSessionSnapshotIsolation promises that of the same session's transactions.
	StrongSessionSnapshotIsolation
	// SnapshotIsolation reads from any snapshot, and of two concurrent transactions
	// that write the same only one commits.
	SnapshotIsolation
	// Causal is consistent view (PL-2+): who sees a transaction sees all that it
	// depends on.
	Causal
	// ReadAtomic shows all of a transaction or nothing.
	ReadAtomic
	// MonotonicAtomicView shows all of a transaction once something of it was seen.
	MonotonicAtomicView
	// ReadCommitted shows final writes of committed transactions (PL-2).
	ReadCommitted
	// ReadUncommitted orders writes (PL-1).
	ReadUncommitted

	levels = int(iota)
)

// names of levels, in Elle's words where it has them.
var levelNames = [...]string{
	"strict-serializable", "strong-session-serializable", "serializable", "repeatable-read",
	"strong-snapshot-isolation", "strong-session-snapshot-isolation", "snapshot-isolation",
	"causal", "read-atomic", "monotonic-atomic-view", "read-committed", "read-uncommitted",
}

// String returns the level's name, such as "strict-serializable".
func (l Level) String() string {
	if int(l) >= levels {
		return fmt.Sprintf("level %d", uint8(l))
	}
	return levelNames[l]
}

// MarshalText writes the level's name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a level's name.
func (l *Level) UnmarshalText(b []byte) error {
	found, err := ParseLevel(string(b))
	if err == nil {
		*l = found
	}
	return err
}

// ParseLevel returns the level with this name.
func ParseLevel(name string) (Level, error) {
	if i := slices.Index(levelNames[:], name); i >= 0 {
		return Level(i), nil
	}
	return 0, fmt.Errorf("level %q: there are %v", name, levelNames)
}

// Realtime reports whether the level has an order in time.
func (l Level) Realtime() bool {
	return l == StrictSerializable || l == StrongSnapshotIsolation
}

// Levels returns all levels, the stronger ones first.
func Levels() []Level {
	list := make([]Level, levels)
	for i := range list {
		list[i] = Level(i)
	}
	return list
}

// below returns the next weaker levels.
func (l Level) below() []Level {
	switch l {
	case StrictSerializable:
		return []Level{StrongSessionSerializable, StrongSnapshotIsolation}
	case StrongSessionSerializable:
		return []Level{Serializable, StrongSessionSnapshotIsolation}
	case Serializable:
		return []Level{RepeatableRead, SnapshotIsolation}
	case RepeatableRead, SnapshotIsolation:
		return []Level{Causal}
	case StrongSnapshotIsolation:
		return []Level{StrongSessionSnapshotIsolation}
	case StrongSessionSnapshotIsolation:
		return []Level{SnapshotIsolation}
	case Causal:
		return []Level{ReadAtomic}
	case ReadAtomic:
		return []Level{MonotonicAtomicView}
	case MonotonicAtomicView:
		return []Level{ReadCommitted}
	case ReadCommitted:
		return []Level{ReadUncommitted}
	default:
		return nil
	}
}

// Implies reports whether whatever satisfies l satisfies other, too.
func (l Level) Implies(other Level) bool {
	if l == other {
		return true
	}
	return slices.ContainsFunc(l.below(), func(w Level) bool { return w.Implies(other) })
}

// Status is what is known of a level.
type Status uint8

// A level holds unless something says otherwise.
const (
	Holds Status = iota
	// Undecided: the search for a violation was given up.
	Undecided
	Refuted
)

// Lattice says of each level whether it holds. The zero Lattice says that all do.
type Lattice [levels]Status

// Refute notes that a level does not hold, and with it none that is stronger.
func (t *Lattice) Refute(l Level) {
	for _, s := range Levels() {
		if s.Implies(l) {
			t[s] = Refuted
		}
	}
}

// Doubt notes that nobody knows whether a level holds; then the same is true of the stronger
// ones that are not refuted.
func (t *Lattice) Doubt(l Level) {
	for _, s := range Levels() {
		if s.Implies(l) && t[s] == Holds {
			t[s] = Undecided
		}
	}
}

// Settle notes that a level of which nobody knew holds, and with it all that are weaker.
func (t *Lattice) Settle(l Level) {
	for _, w := range Levels() {
		if l.Implies(w) && t[w] == Undecided {
			t[w] = Holds
		}
	}
}

// Join takes from each level the worse of both.
func (t *Lattice) Join(other Lattice) {
	for l := range t {
		t[l] = max(t[l], other[l])
	}
}

// Refuted returns the levels that do not hold, the stronger ones first.
func (t Lattice) Refuted() []Level {
	return slices.DeleteFunc(Levels(), func(l Level) bool { return t[l] != Refuted })
}

// Weakest returns the refuted levels of which no weaker one is refuted: what has to be
// said so that the rest follows.
func (t Lattice) Weakest() []Level {
	refuted := t.Refuted()
	return slices.DeleteFunc(slices.Clone(refuted), func(l Level) bool {
		return slices.ContainsFunc(refuted, func(w Level) bool { return w != l && l.Implies(w) })
	})
}

// Strongest returns the levels that hold and follow from no other one that does.
func (t Lattice) Strongest() []Level {
	hold := slices.DeleteFunc(Levels(), func(l Level) bool { return t[l] != Holds })
	return slices.DeleteFunc(slices.Clone(hold), func(l Level) bool {
		return slices.ContainsFunc(hold, func(s Level) bool { return s != l && s.Implies(l) })
	})
}

// rules returns how a level is decided. The levels without rules of their own
// (ReadAtomic, MonotonicAtomicView, Causal) say false.
func (l Level) rules() (rules, bool) {
	data := kindsOf(WW, WR, RW)
	session := data | kindsOf(Process)
	switch l {
	case StrictSerializable:
		return rules{kinds: session, realtime: true}, true
	case StrongSessionSerializable:
		return rules{kinds: session}, true
	case Serializable, RepeatableRead:
		return rules{kinds: data}, true
	case StrongSnapshotIsolation:
		return rules{kinds: session, realtime: true, split: true}, true
	case StrongSessionSnapshotIsolation:
		return rules{kinds: session, split: true}, true
	case SnapshotIsolation:
		return rules{kinds: data, split: true}, true
	case ReadCommitted:
		return rules{kinds: kindsOf(WW, WR)}, true
	case ReadUncommitted:
		return rules{kinds: kindsOf(WW)}, true
	default:
		return rules{}, false
	}
}
