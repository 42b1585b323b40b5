package dmvcc

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// In mode Quorum a key belongs to a shard, and a shard to a node, its owner, who
// answers for it and is quick to fetch what it lacks of it. An operator can move a
// shard to another node at any time.
//
// Safety does not ask who owns what: whoever answers a read at a snapshot has to hold
// all that is complete up to there in the key's shard, and to know that it is
// (machine.readable). So a node answers for what it no longer owns, and a coordinator
// whose question stays without an answer fetches what is missing and reads itself.
//
// To spare the look at what is missing, an answer says up to where its node holds
// everything of the shards that it owns. A transaction remembers that. It says nothing
// about a shard that comes to the node later, nor about a later life of the node, which
// has to learn anew which numbers were aborted.

// shardCount is how many shards there are.
const shardCount = 4

// shards is a set of shards.
type shards byte

const allShards shards = 1<<shardCount - 1

func of(shard int) shards { return 1 << shard }

// String lists the shards, "0,2".
func (in shards) String() string {
	var names []string
	for s := range shardCount {
		if in&of(s) != 0 {
			names = append(names, strconv.Itoa(s))
		}
	}
	return strings.Join(names, ",")
}

// shardOf is the shard to which a key belongs.
func shardOf(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum32() % shardCount)
}

// touches are the shards in which a number writes; all, if that is not known.
func (m *meta) touches(n Num) shards {
	if n == 0 || n > Num(len(m.touched)) {
		return allShards
	}
	return m.touched[n-1]
}

// owned are the shards of a node.
func (m *meta) owned(by protocol.NodeID) shards {
	var in shards
	for s, owner := range m.owners {
		if owner == by {
			in |= of(s)
		}
	}
	return in
}

// mark is what a transaction remembers of a node: in this life it holds everything in
// these shards up to this number.
type mark struct {
	epoch protocol.Epoch
	full  Num
	in    shards
}

// holds is what this node can say of itself.
func (m *Machine) holds() mark {
	h := mark{epoch: m.cfg.Epoch, full: m.meta().mark, in: m.meta().owned(m.cfg.Self)}
	for n := m.full + 1; n <= h.full; n++ {
		if m.meta().touches(n)&h.in != 0 && !m.settled(n) {
			h.full = n - 1
		}
	}
	return h
}

// readable reports whether what a snapshot sees of a shard is all here.
func (m *Machine) readable(shard int, snap Num) bool {
	if m.meta().mark < snap {
		return false // what this replica does not know of yet may be complete
	}
	for n := m.full + 1; n <= snap; n++ {
		if m.meta().touches(n)&of(shard) != 0 && !m.settled(n) {
			return false
		}
	}
	return true
}

// pressing are the shards that are read here.
func (m *Machine) pressing() shards {
	in := m.meta().owned(m.cfg.Self)
	for s, at := range m.wanted {
		if at != 0 && m.now-at < repeatAfter {
			in |= of(s)
		}
	}
	return in
}

// sure reports whether the transaction knows already that the node holds all that its
// snapshot sees of the shard.
func (m *Machine) sure(t *txn, node protocol.NodeID, shard int) bool {
	known := t.marks[node]
	if known.full < t.snap {
		return false
	}
	if m.cfg.Bugs.Has(bug.DMVObservedMarkAfterMove) {
		return true // planted: the node holds everything, whatever it owned then
	}
	return known.in&of(shard) != 0
}

// gather reads the keys of a task at its snapshot, and reports whether it has all.
func (m *Machine) gather(k *task) bool {
	t, all := k.txn, true
	again := k.asked == 0 || m.now-k.asked >= resendAfter
	for _, key := range k.keys {
		if _, known := k.base[key]; known {
			continue
		}
		if m.readHere(k, key) {
			continue
		}
		all = false
		shard := shardOf(key)
		if owner := m.meta().owners[shard]; again && owner != m.cfg.Self {
			m.send(owner, wire{
				Kind: kindRead, Epoch: t.marks[owner].epoch, Num: t.snap, Txn: t.id, Key: key,
				Sure: m.sure(t, owner, shard),
			})
		}
	}
	if again {
		k.asked = max(m.now, 1)
		if k.since == 0 {
			k.since = k.asked
		}
	}
	return all
}

// readHere reads a key from what this node has, if that is its part: it is the owner,
// or the owner has not answered.
func (m *Machine) readHere(k *task, key string) bool {
	t, shard := k.txn, shardOf(key)
	if m.mode == Quorum && !m.cfg.Bugs.Has(bug.DMVQuorumPublishAnyNodeRead) {
		owns := m.meta().owners[shard] == m.cfg.Self
		if !owns && (k.since == 0 || m.now-k.since < resendAfter) {
			return false
		}
		if !(owns && m.sure(t, m.cfg.Self, shard)) && !m.readable(shard, t.snap) {
			m.wanted[shard] = max(m.now, 1)
			return false
		}
		t.marks[m.cfg.Self] = m.holds()
	}
	// In mode All everything that is recorded is here.
	k.base[key], _ = m.shard.store.At(key, t.snap)
	return true
}

// onRead answers a read, if everything that the snapshot sees is here and not folded
// together with what it does not see. Otherwise the question comes again.
func (m *Machine) onRead(from protocol.NodeID, w wire) {
	shard := shardOf(w.Key)
	sure := w.Sure && w.Epoch == m.cfg.Epoch
	if w.Num < m.shard.floor || !sure && !m.readable(shard, w.Num) {
		m.wanted[shard] = max(m.now, 1)
		return
	}
	h := m.holds()
	ans := wire{
		Kind: kindValue, Epoch: h.epoch, Num: h.full, Shards: h.in, Txn: w.Txn, Key: w.Key,
	}
	if v, n := m.shard.store.At(w.Key, w.Num); n > 0 {
		put := v.Put()
		if len(put.Arg) > versions.MaxData {
			return // too large for a datagram: the coordinator reads it itself
		}
		ans.Put = &put
	}
	m.send(from, ans)
}

// onValue takes an answer for the tasks of the transaction that has asked.
func (m *Machine) onValue(from protocol.NodeID, w wire) {
	t := m.txns[w.Txn]
	if t == nil {
		return
	}
	t.marks[from] = mark{epoch: w.Epoch, full: w.Num, in: w.Shards}
	for _, k := range m.tasks {
		if _, known := k.base[w.Key]; k.reading && k.txn == t && !known {
			k.base[w.Key] = w.value()
		}
	}
}
