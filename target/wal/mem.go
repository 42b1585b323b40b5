package wal

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// Mem is a file system in memory, for tests: it can fail at any operation and
// be hit by a power cut at any moment.
type Mem struct {
	*cache
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{cache: newCache(nil)} }

// MkdirAll implements FS; every directory exists.
func (m *Mem) MkdirAll(string) error { return nil }

// FailWith has each later change asked about first; an error refuses it. nil
// ends this.
func (m *Mem) FailWith(fail func(op Op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

// Survivors says what a power cut leaves of that which was not synced.
type Survivors struct {
	// Names of n pending changes of directories survive: the first so many. A
	// journaling file system keeps their order.
	Names func(n int) int
	// Bytes of n unsynced bytes of the named file survive: the first so many.
	Bytes func(name string, n int) int
	// Hole, for the bytes that did not survive: whether the file has its full
	// size all the same, with zeros in their place.
	Hole func(name string) bool
}

// None lets nothing survive that was not synced.
func None() Survivors {
	return Survivors{
		Names: func(int) int { return 0 },
		Bytes: func(string, int) int { return 0 },
		Hole:  func(string) bool { return false },
	}
}

// All lets everything survive, as when only the process is killed.
func All() Survivors {
	return Survivors{
		Names: func(n int) int { return n },
		Bytes: func(_ string, n int) int { return n },
		Hole:  func(string) bool { return false },
	}
}

// Some lets a random part survive.
func Some(rng *rand.Rand) Survivors {
	return Survivors{
		Names: func(n int) int { return rng.IntN(n + 1) },
		Bytes: func(_ string, n int) int { return rng.IntN(n + 1) },
		Hole:  func(string) bool { return rng.IntN(4) == 0 },
	}
}

// Crash returns the file system as it is after a power cut, everything in it
// durable. m itself does not change.
func (m *Mem) Crash(s Survivors) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[string]*inode{}
	for name, n := range m.disk {
		names[name] = n
	}
	for _, op := range m.pending[:s.Names(len(m.pending))] {
		switch op.kind {
		case OpCreate:
			names[op.name] = op.node
		case OpRename:
			n := names[op.name]
			delete(names, op.name) // first: a file may be renamed to its own name
			names[op.newName] = n
		case OpRemove:
			delete(names, op.name)
		}
	}
	after := NewMem()
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // the survivors' random choices must not hang on map order
	for _, name := range sorted {
		after.adopt(name, survive(name, names[name], s))
	}
	return after
}

func survive(name string, n *inode, s Survivors) []byte {
	unsynced := len(n.data) - n.synced
	kept := s.Bytes(name, unsynced)
	if kept == 0 && !s.Hole(name) {
		return n.durable()
	}
	content := append(slices.Clone(n.base()), n.data[n.synced:n.synced+kept]...)
	if kept < unsynced && s.Hole(name) {
		content = append(content, make([]byte, unsynced-kept)...)
	}
	return content
}

// Corrupt applies change to the durable content of a file, for tests of what a
// bad disk does. It panics when the file does not exist.
func (m *Mem) Corrupt(name string, change func(content []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.disk[filepath.Clean(name)]
	if n == nil {
		panic("wal: corrupt a file that is not on the disk: " + name)
	}
	n.data = change(slices.Clone(n.data))
	n.synced = len(n.data)
}
