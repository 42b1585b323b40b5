package appendlog

import (
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// compactEvery is the least time between two compactions.
	compactEvery = protocol.Time(time.Second)
	// compactShare: the log is rewritten when it has grown by one part in so many.
	compactShare = 8
)

// compaction rewrites the log in the background, without repetitions and in
// order. It takes a copy of what is held, and while the copy is being written,
// appends go on: they are collected, and become part of the new log when it takes
// the place of the old one.
type compaction struct {
	copy  []Element
	since []Element
}

// compact begins a compaction when it is time, or finishes one.
func (m *Machine) compact() {
	switch {
	case m.compacting != nil:
		m.finishCompaction()
	case m.logged == 0 || m.logged*compactShare < len(m.store.elements):
	case m.now-m.compacted >= compactEvery:
		m.compacting = &compaction{copy: m.store.all()}
		m.compacted = m.now
	}
}

// finishCompaction swaps the logs. The machine does one thing at a time: no append
// can come between.
func (m *Machine) finishCompaction() {
	c := m.compacting
	m.compacting = nil
	if m.cfg.Bugs.Has(bug.LogCompactionDropsAppend) {
		// Planted bug: the new log is the copy. Appends that went to the old one
		// meanwhile are gone with it, though the node thinks that it holds them.
		for _, e := range c.since {
			m.store.forget(e.ID)
		}
		c.since = nil
	}
	m.checkpoint(append(c.copy, c.since...))
}

// checkpoint replaces the whole log, and the records about to be written.
func (m *Machine) checkpoint(es []Element) {
	m.compacting = nil
	m.out.Checkpoint, m.out.Records = encode(es), nil
	m.logged = 0
}
