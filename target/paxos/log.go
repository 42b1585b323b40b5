package paxos

import "github.com/ordeal-dev/ordeal/target/kv"

// slotState is what a node knows about one slot.
type slotState struct {
	// vote is the ballot in which this node last voted here, and cmd what it
	// voted for. Once chosen is set, cmd is the chosen command; vote is zero if
	// this node never voted, or voted for another.
	vote    Ballot
	cmd     kv.Command
	chosen  bool
	applied bool
}

// known reports whether the slot holds a command.
func (e *slotState) known() bool { return e.chosen || e.vote.Round > 0 }

// slots is the part of the log that is not compacted into the snapshot: the
// slots base+1, base+2, … Some may be holes.
type slots struct {
	base uint64
	list []slotState
}

// last is the greatest slot that the log has room for, base if it is empty.
func (l *slots) last() uint64 { return l.base + uint64(len(l.list)) }

// at returns the slot's state, nil when it is compacted or was never touched.
func (l *slots) at(k uint64) *slotState {
	if k <= l.base || k > l.last() {
		return nil
	}
	return &l.list[k-l.base-1]
}

// grow returns the slot's state, making room for it. The slot is above base.
func (l *slots) grow(k uint64) *slotState {
	for l.last() < k {
		l.list = append(l.list, slotState{})
	}
	return l.at(k)
}

// cut forgets the slots up to base, which never falls.
func (l *slots) cut(base uint64) {
	if base <= l.base {
		return
	}
	if base >= l.last() {
		l.base, l.list = base, nil
		return
	}
	l.list = append([]slotState(nil), l.list[base-l.base:]...)
	l.base = base
}
