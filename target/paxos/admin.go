package paxos

import (
	"encoding/json"
	"fmt"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// What an operator asks for takes no slot by itself. The node that was asked
// repeats it to the leader until it sees that it is done.

const (
	adminObject   = "admin"
	orderTransfer = "transfer"
	orderAdd      = "add-member"
	orderRemove   = "remove-member"
	// transferRetry is the least time between two attempts that were ordered.
	transferRetry = 150 * ms
)

// check tells whether a request can be carried out at all.
func (m *Machine) check(r protocol.Request) (kv.Result, bool) {
	if r.Object == adminObject {
		return m.checkOrder(r)
	}
	return m.store.Check(r)
}

// checkOrder tells whether an operator's request can be carried out at all.
func (m *Machine) checkOrder(r protocol.Request) (kv.Result, bool) {
	refuse := func(code, format string, args ...any) (kv.Result, bool) {
		return kv.Result{
			Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...),
		}, false
	}
	changes := r.F == orderAdd || r.F == orderRemove
	if r.F != orderTransfer && (!changes || m.leases != nil) {
		// Leases are counted for a fixed membership.
		return refuse(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F)
	}
	if _, member := m.index[orderTarget(r)]; !member {
		return refuse(kv.CodeBadRequest, "%s.%s: %s names no member", r.Object, r.F, r.Value)
	}
	return kv.Result{}, true
}

// orderTarget is the node that a request names, "" if none.
func orderTarget(r protocol.Request) protocol.NodeID {
	var id protocol.NodeID
	if json.Unmarshal([]byte(r.Value), &id) != nil {
		return ""
	}
	return id
}

// handOrder gives an operator's request to the leader, and answers it when it has
// been done.
func (m *Machine) handOrder(w *waiter) {
	target := orderTarget(w.req)
	switch {
	case m.orderDone(w.req.F, target):
		m.complete(w.cmd.Origin.N, kv.Result{})
	case m.role == leader:
		w.handed, w.sent = true, m.now
		m.onOrder(&order{F: w.req.F, Target: string(target)})
	case m.leader != "":
		w.handed, w.sent = true, m.now
		m.send(m.index[m.leader], kindOrder, order{F: w.req.F, Target: string(target)})
	}
}

// orderDone reports whether this node sees that the order has been carried out.
func (m *Machine) orderDone(f string, target protocol.NodeID) bool {
	voter := m.voters(m.store.Config())&(1<<m.index[target]) != 0
	switch f {
	case orderAdd:
		return voter
	case orderRemove:
		return !voter
	default:
		return m.leader == target
	}
}

// onOrder begins to do what an operator wants, if it can be done now.
func (m *Machine) onOrder(o *order) {
	to, member := m.index[protocol.NodeID(o.Target)]
	if m.role != leader || !member {
		return
	}
	if o.F != orderTransfer {
		m.reconfigure(o.F, to)
		return
	}
	if to == m.me || !m.isVoter(to) {
		return
	}
	lag := m.commit > m.lead.peers[to].have.Commit+m.transferLag()
	if !lag && m.inContact() && m.now-m.transferAt >= transferRetry {
		m.passOn(to)
	}
}
