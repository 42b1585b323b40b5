package primary

import (
	"encoding/json"
	"fmt"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	adminObject = "admin"
	// noTarget means that nobody is to take over.
	noTarget = -1
	// handOverFor is how long a primary tries to hand over, handOverEvery how often.
	handOverFor   = 1000 * ms
	handOverEvery = 100 * ms
)

// admitAdmin takes what an operator asks for: that the primary hand over to a member.
// Its client is answered once this node follows that member.
func (m *Machine) admitAdmin(w *waiter) (kv.Result, bool) {
	refuse := func(code, format string, args ...any) (kv.Result, bool) {
		return kv.Result{
			Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...),
		}, false
	}
	if w.req.F != "transfer" {
		return refuse(kv.CodeNotSupported, "no operation admin.%.64s", w.req.F)
	}
	var target protocol.NodeID
	if err := json.Unmarshal([]byte(w.req.Value), &target); err != nil {
		return refuse(kv.CodeBadRequest, "admin.transfer: %v", err)
	}
	i, member := m.index[target]
	if !member {
		return refuse(kv.CodeBadRequest, "admin.transfer: %.64q is no member", string(target))
	}
	w.kind, w.target = handOverRequest, i
	return kv.Result{}, true
}

func (m *Machine) onHandOver(_ int, h *handOver) {
	if m.role == leading && h.Target >= 0 && h.Target < len(m.members) {
		m.orderHandOver(h.Target)
	}
}

// orderHandOver notes whom to hand over to.
func (m *Machine) orderHandOver(target int) {
	if target != m.me && m.lead.target != target {
		m.lead.target, m.lead.targetTill, m.lead.targetAt = target, m.now+handOverFor, never
	}
}

// tickHandOver lets a primary hand over, and answers those who asked for it. The
// member that takes over begins a view as any other does, only that the others let
// it although they have a primary.
func (m *Machine) tickHandOver() {
	for n := m.low; n < m.nextN; n++ {
		if w := m.waiters[n]; w != nil && w.kind == handOverRequest && m.now < w.deadline &&
			m.primary == m.members[w.target] {
			m.complete(n, answer{})
		}
	}
	if m.role != leading || m.lead.target == noTarget {
		return
	}
	l := m.lead
	if m.now >= l.targetTill {
		l.target = noTarget
		return
	}
	// One that lags far behind could not take over our log.
	p := l.peers[l.target]
	if m.now-l.targetAt >= handOverEvery && p.matched >= m.log.base && p.matched >= l.opening {
		l.targetAt = m.now
		m.send(l.target, kindTakeOver, takeOver{View: m.view})
	}
}

func (m *Machine) onTakeOver(from int, t *takeOver) {
	if m.role == copying && t.View == m.view && m.primary == m.members[from] {
		m.startView(true)
	}
}
