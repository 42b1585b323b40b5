package quorum

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A replica whose disk has lost something durable must not answer as if it never
// had it. It cannot know what is missing either: a store that it acknowledged may
// still be on its way to being counted by its coordinator. So it does not take part
// until every other member has
//
//   - learned of its new epoch, which voids all its earlier answers, also those that
//     are still under way (Machine.Step) or counted for an operation that has not
//     ended (Machine.servePull), and
//   - sent all that it holds, after that.
//
// An operation that had counted the lost store had counted its coordinator's own
// as well, so that the coordinator sends it. Two damaged replicas wait for each
// other for ever: what they held together may be lost for good.
//
// An empty disk is that of a new replica, or has been wiped: the replica cannot tell,
// and joins in the same way. Only, an empty one does answer the others, with the
// nothing that it holds, or a new cluster would never begin. So a cluster begins
// when all its members have met, and of a running one a single disk may be wiped. If
// one after the other loses a majority of its disks, faster than they are filled
// again, it is lost.

// mending is the way back of a replica that has lost something, or everything.
type mending struct {
	empty bool // nothing is known to have been here
	// pages is how many parts each member has sent, after the last of whose keys
	// it is to go on.
	pages map[protocol.NodeID]uint64
	after map[protocol.NodeID]string
	done  map[protocol.NodeID]bool
	asked protocol.Time
}

func newMending(empty bool) *mending {
	return &mending{
		empty: empty,
		pages: map[protocol.NodeID]uint64{}, after: map[protocol.NodeID]string{},
		done: map[protocol.NodeID]bool{}, asked: -resendAfter,
	}
}

// whole reports whether so many members have sent everything.
func (d *mending) whole(others int) bool {
	n := 0
	for _, done := range d.done {
		if done {
			n++
		}
	}
	return n == others
}

// tickMending asks whoever has not sent everything for the next part.
func (m *Machine) tickMending() {
	if m.mending == nil || m.now-m.mending.asked < resendAfter {
		return
	}
	m.mending.asked = m.now
	for _, id := range m.cfg.Members {
		if id != m.cfg.Self && !m.mending.done[id] {
			m.pull(id)
		}
	}
}

func (m *Machine) pull(from protocol.NodeID) {
	m.send(from, wire{
		kind: kindPull, epoch: m.cfg.Epoch,
		request: protocol.RequestID(m.mending.pages[from]), key: m.mending.after[from],
	})
}

// servePull sends a part of what this replica holds: in the order of the keys, as
// much as fits a datagram, and nothing when there is no more.
func (m *Machine) servePull(from protocol.NodeID, w wire) {
	if m.mending != nil && !m.mending.empty {
		return
	}
	for _, o := range m.ops {
		delete(o.answers, from) // they are of an earlier epoch
	}
	part := map[string]entry{}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(m.store)) {
		if w.request > 0 && key <= w.key {
			continue
		}
		e := m.store[key]
		size += len(key) + len(e.value) + len(e.tag.Node) + entryOverhead
		if len(part) > 0 && size > maxData {
			break
		}
		part[key] = e
	}
	m.send(from, wire{
		kind: kindPulled, epoch: w.epoch, request: w.request,
		entry: entry{value: string(encodeCheckpoint(part))},
	})
}

// entryOverhead bounds what the encoding of an entry has beside its strings.
const entryOverhead = 64

// pulled takes a part over. The first that a member sends must be of this epoch,
// like all others: an older one was sent before the member knew of the damage.
func (m *Machine) pulled(from protocol.NodeID, w wire) {
	d := m.mending
	if d == nil || w.epoch != m.cfg.Epoch || d.done[from] || uint64(w.request) != d.pages[from] {
		return
	}
	part := map[string]entry{}
	if decodeCheckpoint([]byte(w.entry.value), part) != nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(part)) {
		d.after[from] = key
		if !d.empty {
			m.hold(key, part[key])
		} else if m.store[key].tag.Less(part[key].tag) {
			m.store[key] = part[key] // a disk with a part of it would not be empty
		}
	}
	d.pages[from]++
	d.done[from] = len(part) == 0
	if !d.done[from] {
		m.pull(from)
		return
	}
	if !d.whole(len(m.cfg.Members) - 1) {
		return
	}
	if d.empty {
		m.logged = m.checkpointEvery // all of it becomes durable at once, as a checkpoint
	}
	m.mending = nil
	m.out.Repaired = true
}
