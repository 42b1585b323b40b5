package linear

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// RegisterMonitor is Register for a history that is still happening. Events are
// told in the order of time, of those at one time the calls first, and the verdict
// is certain at the earliest event that makes it so: what was told before still
// had a legal order.
//
// A write has to be told before its request is sent, or a read could return it
// first. A write of unknown outcome just has no return. A monitor belongs to one
// goroutine.
type RegisterMonitor struct {
	r      *register
	result Result
	// reads are those called since the oldest open one; gone counts those before.
	reads fifo[openRead]
	gone  int64
}

type openRead struct {
	call history.Time
	open bool
}

// ReadTicket stands for a read that was called.
type ReadTicket int64

// NewRegisterMonitor returns a monitor of a register that holds Nil.
func NewRegisterMonitor() *RegisterMonitor {
	return &RegisterMonitor{r: newRegister(), result: Result{Answer: Linearizable}}
}

// Result returns what is known by now. Once it is not Linearizable it stays, and
// events are passed over.
func (m *RegisterMonitor) Result() Result { return m.result }

func (m *RegisterMonitor) decided() bool { return m.result.Answer != Linearizable }

// CallWrite tells that op, a write of v, is called.
func (m *RegisterMonitor) CallWrite(op int, v Value, now history.Time) {
	if !m.decided() && !m.r.callWrite(op, v, now) {
		m.result = notApplicable(fmt.Sprintf("values are not unique: operation %d writes one "+
			"that was written before or that the register has at first", op))
	}
}

// ReturnWrite tells that op, a write of v, was acknowledged.
func (m *RegisterMonitor) ReturnWrite(op int, v Value, now history.Time) {
	if m.decided() {
		return
	}
	m.r.returnWrite(op, v, now)
	m.settle(now)
}

// FailWrite tells that the write of v certainly had no effect and will have none.
// A violation is certain if v was read already.
func (m *RegisterMonitor) FailWrite(v Value, now history.Time) {
	if m.decided() {
		return
	}
	at := m.r.live.get(v)
	switch {
	case at == none:
		m.result = conflict(Unwritten, now, noOp)
	case m.r.clusters[at].first != history.Never:
		m.result = conflict(Unwritten, now, m.r.clusters[at].firstOp)
	default:
		m.r.drop(at)
		m.r.written.clear(uint32(v))
	}
}

// CallRead tells that a read is called. The ticket has to be given back.
func (m *RegisterMonitor) CallRead(now history.Time) ReadTicket {
	if m.decided() {
		return 0
	}
	m.reads.push(openRead{call: now, open: true})
	return ReadTicket(m.gone + int64(m.reads.len()) - 1)
}

// ReturnRead tells that op, the read of the ticket, returned v.
func (m *RegisterMonitor) ReturnRead(op int, t ReadTicket, v Value, now history.Time) {
	if m.decided() {
		return
	}
	call := m.reads.at(int(int64(t) - m.gone)).call
	if c := m.r.returnRead(op, v, call, now); c != nil {
		m.result = Result{Answer: Violation, Conflict: c}
		return
	}
	m.DropRead(t, now)
}

// DropRead tells that the read of the ticket will never return a value.
func (m *RegisterMonitor) DropRead(t ReadTicket, now history.Time) {
	if m.decided() {
		return
	}
	m.reads.at(int(int64(t) - m.gone)).open = false
	for m.reads.len() > 0 && !m.reads.at(0).open {
		m.reads.pop()
		m.gone++
	}
	m.settle(now)
}

func (m *RegisterMonitor) settle(now history.Time) {
	if m.reads.len() > 0 {
		now = m.reads.at(0).call
	}
	m.r.settle(now)
}
