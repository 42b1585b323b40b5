package paxos

import (
	"math/bits"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A member whose disk has lost something durable has forgotten promises and votes, and
// does not know which. It takes no part in elections, accepts nothing and confirms no
// leader until
//
//  1. every other member knows of its new epoch, which voids all that it said in
//     earlier ones: what is still on its way (Machine.Step), and votes that a leader
//     counted for a slot that is not chosen yet (onRejoin). Each answers with its own
//     promise, and with the greatest slot that it knows of.
//  2. it has learned what was chosen up to the greatest of these slots. A command that
//     was chosen with one of the lost votes has votes of others as well, so that it
//     lies no higher. It is made durable here again, because the majority that chose
//     it may have counted on the lost vote.
//
// Then it promises what the others have promised at the most: whoever got one of the
// lost promises had given the same one to itself first. (This is the recovery of a
// damaged replica in Chandra, Griesemer and Redstone, "Paxos made live", 2007, section
// 5.1, with a bound that does not depend on time.) Two damaged members wait for each
// other for ever: what both have lost may be lost for good.

// The kinds of messages for this stand apart from those of healthy members.
const (
	kindRejoin msgKind = 0x40 + iota
	kindRejoined
)

// rejoin says that the sender's disk was damaged, and how far it has come.
type rejoin struct {
	_    struct{} `cbor:",toarray"`
	Have have
	// Want is the slot up to which it has to learn what was chosen, once it knows.
	Want uint64
}

// rejoined answers rejoin: nothing that the receiver said before Epoch counts here.
type rejoined struct {
	_        struct{} `cbor:",toarray"`
	Epoch    protocol.Epoch
	Promised Ballot
	Last     uint64
}

func newMendBody(k msgKind) any {
	switch k {
	case kindRejoin:
		return new(rejoin)
	case kindRejoined:
		return new(rejoined)
	default:
		return nil
	}
}

// mending is a damaged member's way back.
type mending struct {
	askedAt  protocol.Time
	told     uint64 // set of members that have answered
	promised Ballot // the greatest that they have promised
	last     uint64 // the greatest slot that they know of
}

// complete reports whether all others of so many members have answered.
func (d *mending) complete(members int) bool { return bits.OnesCount64(d.told) == members-1 }

// rejoinEvery is the time between two questions.
const rejoinEvery = 100 * ms

// tickMending asks the others, until they have answered and the log is complete.
func (m *Machine) tickMending() {
	d := m.mending
	if m.now-d.askedAt >= rejoinEvery {
		d.askedAt = m.now
		r := rejoin{Have: m.have()}
		if d.complete(len(m.members)) {
			r.Want = d.last
		}
		m.broadcast(kindRejoin, r)
	}
	m.completeMending()
}

// onRejoin is somebody else's damage.
func (m *Machine) onRejoin(from int, r *rejoin) {
	if m.mending != nil {
		return
	}
	if m.role == leader {
		for _, f := range m.lead.flight {
			f.acks &^= 1 << from
			f.sent[from] = never
		}
		m.lead.peers[from].have = r.Have
		if r.Have.Commit < m.commit {
			m.catchUp(from)
		}
		// Nobody may want to fill the slots that it waits for.
		for l := m.lead; l.next+uint64(len(l.queue)) <= min(r.Want, m.commit+window); {
			m.enqueue(kv.Command{Kind: kv.Noop})
		}
	}
	m.send(from, kindRejoined,
		rejoined{Epoch: m.known[from].epoch, Promised: m.promised, Last: m.log.last()})
}

func (m *Machine) onRejoined(from int, r *rejoined) {
	d := m.mending
	if d == nil || r.Epoch != m.epoch || d.told&(1<<from) != 0 {
		return
	}
	d.told |= 1 << from
	d.last = max(d.last, r.Last)
	if d.promised.Less(r.Promised) {
		d.promised = r.Promised
	}
	m.completeMending()
}

// completeMending ends the repair when everything has come back.
func (m *Machine) completeMending() {
	d := m.mending
	if d == nil || !d.complete(len(m.members)) || m.commit < d.last {
		return
	}
	m.mending = nil
	if m.promised.Less(d.promised) {
		m.promised = d.promised
		m.maxRound = max(m.maxRound, d.promised.Round)
	}
	m.checkpointDue = true // everything learned, and the promise, as one state
	m.out.Repaired = true
	m.follow("")
}

// stepDamaged handles the few messages of which a damaged member takes notice.
func (m *Machine) stepDamaged(from int, body any) {
	switch b := body.(type) {
	case *rejoined:
		m.onRejoined(from, b)
	case *learn:
		m.onLearn(from, b)
	case *snapshotPart:
		m.onSnapshotPart(from, b)
	}
}
