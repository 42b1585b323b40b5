package commit

import (
	"maps"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// redriveAfter is how long the group's leader leaves a decision to the home.
	redriveAfter = 1000 * ms
	// doneMax bounds the transactions in one entry.
	doneMax = 100
)

// coordinator is a member of the group that decides, and tells the participants
// what was decided until all of them have acknowledged it.
type coordinator struct {
	self  protocol.NodeID
	epoch protocol.Epoch
	bugs  bug.Set
	out   *outbox
	group *paxos.Machine
	now   protocol.Time

	asks     map[protocol.RequestID]ask
	lastAsk  protocol.RequestID
	doubtful map[TxnID]bool // the shard of this node has asked
	driver   *driver
	closing  bool // a done entry is under way

	home  *home
	shard *shard
}

type asker uint8

const (
	byHome asker = iota
	byShard
	byDriver
)

// ask is an entry that was proposed to the group, and who waits for it.
type ask struct {
	by     asker
	t      TxnID
	closes []TxnID
}

func (c *coordinator) state() *decisions {
	d, _ := c.group.Extension(decisionObject).(*decisions)
	return d
}

func (c *coordinator) submit(a ask, f, key, value string) {
	c.lastAsk++
	c.asks[c.lastAsk] = a
	c.group.Submit(c.now, protocol.Request{
		ID: c.lastAsk, Object: decisionObject, F: f, Key: key, Value: value,
	})
}

func join(ids []protocol.NodeID) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(id))
	}
	return b.String()
}

// propose asks the group for the outcome that the home wants.
func (c *coordinator) propose(t *txn) {
	c.submit(ask{by: byHome, t: t.id}, says(t.commit), t.id.String(), join(t.participants()))
}

// resolve asks the group for the outcome of a transaction in doubt: to abort it,
// unless it is decided. Nobody may presume an abort that is not in the log.
func (c *coordinator) resolve(t TxnID, participants []protocol.NodeID) {
	if c.doubtful[t] {
		return
	}
	c.doubtful[t] = true
	c.submit(ask{by: byShard, t: t}, saysAbort, t.String(), join(participants))
}

// onReply hears from the group.
func (c *coordinator) onReply(r protocol.Reply) {
	a, there := c.asks[r.ID]
	if !there {
		return
	}
	delete(c.asks, r.ID)
	says := r.Value
	if r.Outcome != protocol.OK {
		says = c.lookUp(a.t)
	}
	switch a.by {
	case byHome:
		if t := c.home.find(a.t); says == "" && t != nil && t.state == deciding {
			c.propose(t) // the entry may be in the log or not: the first one counts
			return
		}
		c.home.decided(a.t, says)
	case byShard:
		delete(c.doubtful, a.t)
		if says != "" {
			c.shard.resolved(a.t, says)
		}
	case byDriver:
		c.closing = false
		if r.Outcome == protocol.OK {
			for _, t := range a.closes {
				c.close(t)
			}
		}
	}
}

// lookUp is the outcome as far as this member knows it, "" if it does not.
func (c *coordinator) lookUp(t TxnID) string {
	v, there := c.state().decided[t]
	switch {
	case there:
		return says(v.commit)
	case c.state().isOver(t):
		return saysOver
	default:
		return ""
	}
}

func (c *coordinator) onAck(from protocol.NodeID, a *ack) {
	d := c.driver.acked(from, a.T)
	if d == nil {
		return
	}
	if t := c.home.find(a.T); t != nil && t.early && c.acknowledged(d) {
		t.early = false
		c.propose(t)
	}
}

// acknowledged reports whether the drive is over: all participants have the
// outcome on their disks.
func (c *coordinator) acknowledged(d *drive) bool {
	if c.bugs.Has(bug.TwoPCForgetAfterFirstAck) {
		return len(d.acks) > 0 // planted: one is enough
	}
	return d.complete()
}

func (c *coordinator) close(t TxnID) {
	delete(c.driver.drives, t)
	c.home.over(t)
}

// tick drives on. The home of a transaction tells its participants; where it does
// not, because it has restarted or is down, the leader of the group does: every
// decision stands in its log until it is done.
func (c *coordinator) tick() {
	leads := c.group.Status().Primary
	st := c.state()
	if leads && !c.bugs.Has(bug.TwoPCNeverResolves) {
		for _, t := range st.undone() {
			if v := st.decided[t]; c.driver.drives[t] == nil {
				c.driver.later(t, v.commit, v.participants, c.now+redriveAfter)
			}
		}
	}
	var closes []TxnID
	for _, t := range slices.SortedFunc(maps.Keys(c.driver.drives), TxnID.compare) {
		d := c.driver.drives[t]
		_, decided := st.decided[t]
		switch {
		case st.isOver(t), !leads && (t.Home != c.self || t.Epoch != c.epoch):
			c.close(t)
		case c.acknowledged(d):
			if decided && len(closes) < doneMax {
				closes = append(closes, t)
			}
		case d.due(c.now):
			c.driver.tell(t, d)
		}
	}
	if len(closes) > 0 && !c.closing {
		c.closing = true
		low := TxnID{Home: c.self, Epoch: c.epoch, N: c.home.low()}
		words := []string{low.String()}
		for _, t := range closes {
			words = append(words, t.String())
		}
		c.submit(ask{by: byDriver, closes: closes}, "done", "", strings.Join(words, " "))
	}
}
