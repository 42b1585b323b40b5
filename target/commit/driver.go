package commit

import (
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// driver tells participants outcomes, until all of them have acknowledged.
type driver struct {
	out    *outbox
	now    protocol.Time
	drives map[TxnID]*drive
}

// drive is the last phase of a transaction, as far as this node works on it.
type drive struct {
	commit       bool
	participants []protocol.NodeID
	acks         map[protocol.NodeID]bool
	from, sent   protocol.Time
	told         int // times
}

// due reports whether to tell the outcome once more: more and more rarely, for who
// does not answer may be down.
func (d *drive) due(now protocol.Time) bool {
	return now >= d.from && now-d.sent >= min(resendAfter<<(d.told/4), 1000*ms)
}

// later plans to tell an outcome from the given time on.
func (v *driver) later(
	t TxnID, commit bool, participants []protocol.NodeID, from protocol.Time,
) *drive {
	d := &drive{
		commit: commit, participants: participants, from: from,
		acks: map[protocol.NodeID]bool{},
	}
	v.drives[t] = d
	return d
}

// drive begins to tell the outcome now.
func (v *driver) drive(t TxnID, commit bool, participants []protocol.NodeID) {
	if d := v.drives[t]; d == nil || d.from > v.now || d.commit != commit {
		v.tell(t, v.later(t, commit, participants, v.now))
	}
}

func (v *driver) tell(t TxnID, d *drive) {
	d.sent = v.now
	d.told++
	for _, id := range d.participants {
		if !d.acks[id] {
			v.out.send(id, kindDecision, &decision{T: t, Commit: d.commit})
		}
	}
}

// acked takes an acknowledgement, and returns the drive that it belongs to, if any.
func (v *driver) acked(from protocol.NodeID, t TxnID) *drive {
	d := v.drives[t]
	if d != nil {
		d.acks[from] = true
	}
	return d
}

// complete reports whether all participants have the outcome on their disks.
func (d *drive) complete() bool {
	return !slices.ContainsFunc(d.participants, func(id protocol.NodeID) bool { return !d.acks[id] })
}
