package check

import (
	"context"
	"fmt"
	"sync"

	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// MonitorRegisters is a monitor of registers with unique values (write, read), each key
// by itself: it finds the first event with which one is not linearizable when that event
// is observed. It remembers what is open, and what reads that are open may still return
// (see linear.RegisterMonitor). A key that is anything else is left to the judge at the
// end.
func MonitorRegisters() Monitor {
	return newRegisters("register", func() registerMonitor { return linear.NewRegisterMonitor() })
}

// MonitorCASRegisters is MonitorRegisters for registers that also have compare-and-set (cas),
// whose refusals tell nothing (see linear.CASMonitor).
func MonitorCASRegisters() Monitor {
	return newRegisters("cas-register", func() registerMonitor { return linear.NewCASMonitor() })
}

func newRegisters(model string, fresh func() registerMonitor) *registers {
	return &registers{
		model: model, fresh: fresh, keys: make(map[history.Key]*monitored),
		open: make(map[history.Process]openCall),
	}
}

// registerMonitor is the monitor of one register.
type registerMonitor interface {
	CallWrite(op int, v linear.Value, now history.Time)
	ReturnWrite(op int, v linear.Value, now history.Time)
	FailWrite(v linear.Value, now history.Time)
	CallRead(now history.Time) linear.ReadTicket
	ReturnRead(op int, t linear.ReadTicket, v linear.Value, now history.Time)
	DropRead(t linear.ReadTicket, now history.Time)
	Result() linear.Result
}

type registers struct {
	model string
	fresh func() registerMonitor

	mu    sync.Mutex // guards everything
	keys  map[history.Key]*monitored
	open  map[history.Process]openCall
	found *Early
	swept history.Time
}

// monitored is one key; without a monitor it is not watched any longer.
type monitored struct {
	monitor registerMonitor
	// numbers are those of values that are no small numbers.
	numbers map[models.Scalar]linear.Value
	open    int
	last    history.Time
}

// openCall is an operation without completion.
type openCall struct {
	op  int
	key *monitored
	// write is a write, swap a compare-and-set of two values.
	write, swap bool
	value       linear.Value
	ticket      linear.ReadTicket
}

// Observe implements Monitor.
func (m *registers) Observe(e history.Event) {
	if e.Process == history.Nemesis {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found != nil {
		return
	}
	m.sweep(e.Time)
	if e.Type == history.Invoke {
		m.call(&e)
		return
	}
	o, known := m.open[e.Process]
	if !known {
		return
	}
	delete(m.open, e.Process)
	k := o.key
	k.open--
	k.last = e.Time
	if k.monitor == nil {
		return
	}
	k.returns(&o, &e)
	m.settle(k, &e)
}

// returns takes the completion of an operation.
func (k *monitored) returns(o *openCall, e *history.Event) {
	cas, _ := k.monitor.(*linear.CASMonitor)
	switch {
	case o.write && e.Type == history.OK:
		k.monitor.ReturnWrite(o.op, o.value, e.Time)
	case o.write && e.Type == history.Fail:
		k.monitor.FailWrite(o.value, e.Time)
	case o.write: // perhaps it takes effect at some time
	case o.swap && e.Type == history.OK:
		cas.ReturnSwap(o.op, o.ticket, e.Time)
	case o.swap && e.Type == history.Fail:
		cas.FailSwap(o.ticket, e.Time)
	case o.swap:
		cas.DropSwap(o.ticket, e.Time)
	case e.Type != history.OK:
		k.monitor.DropRead(o.ticket, e.Time)
	default:
		v, fits := k.value(e.Value)
		if !fits {
			k.monitor = nil
			return
		}
		k.monitor.ReturnRead(o.op, o.ticket, v, e.Time)
	}
}

// call takes the call of an operation.
func (m *registers) call(e *history.Event) {
	k := m.keys[e.Key]
	if k == nil {
		k = &monitored{monitor: m.fresh()}
		m.keys[e.Key] = k
	}
	k.open++
	k.last = e.Time
	o := openCall{op: int(e.Index), key: k}
	if k.monitor != nil && !k.calls(&o, e) {
		k.monitor = nil
	}
	m.open[e.Process] = o
	m.settle(k, e)
}

// calls takes a call, and reports whether it is one of this object.
func (k *monitored) calls(o *openCall, e *history.Event) bool {
	fits := true
	switch cas, _ := k.monitor.(*linear.CASMonitor); {
	case e.F == "read":
		o.ticket = k.monitor.CallRead(e.Time)
	case e.F == "write":
		o.write = true
		if o.value, fits = k.value(e.Value); fits {
			k.monitor.CallWrite(o.op, o.value, e.Time)
		}
	case e.F == "cas" && cas != nil && e.Value.Kind() == history.KindList && e.Value.Len() == 2:
		old, known := k.value(e.Value.At(0))
		if o.value, fits = k.value(e.Value.At(1)); !fits || !known || old == o.value {
			return false
		}
		o.swap = true
		o.ticket = cas.CallSwap(o.op, old, o.value, e.Time)
	default:
		return false
	}
	return fits
}

// settle looks at what the monitor of a key says.
func (m *registers) settle(k *monitored, e *history.Event) {
	if k.monitor == nil {
		return
	}
	switch r := k.monitor.Result(); r.Answer {
	case linear.NotApplicable:
		k.monitor = nil
	case linear.Violation:
		why := r.Conflict.Sentence(func(op int) string { return fmt.Sprintf("operation %d", op) })
		m.found = &Early{Key: e.Key, Event: e.Index, At: e.Time,
			Why: onKeyFirst(e.Key, "not linearizable as "+m.model+": "+why)}
	}
}

// onKeyFirst puts the key before a sentence.
func onKeyFirst(key history.Key, text string) string {
	if key == "" {
		return text
	}
	return fmt.Sprintf("key %s: %s", key, text)
}

// value numbers a value, the same for equal ones.
func (k *monitored) value(v history.Value) (linear.Value, bool) {
	const small = 1 << 20 // of which a monitor remembers a bit each
	if n, isInt := v.AsInt(); isInt && n >= 0 && n < small {
		return linear.Value(2*n + 1), true
	}
	s, err := models.NewScalar(v)
	switch {
	case err != nil:
		return 0, false
	case s.IsNil():
		return linear.Nil, true
	}
	n, known := k.numbers[s]
	if !known {
		if k.numbers == nil {
			k.numbers = make(map[models.Scalar]linear.Value)
		}
		n = linear.Value(2*len(k.numbers) + 2)
		k.numbers[s] = n
	}
	return n, true
}

// sweep forgets, now and then, the keys that nobody uses any longer.
func (m *registers) sweep(now history.Time) {
	if now-m.swept < idleAfter/4 {
		return
	}
	m.swept = now
	for _, k := range m.keys {
		if k.open == 0 && now-k.last > idleAfter {
			k.monitor, k.numbers = nil, nil
		}
	}
}

// Look implements Monitor.
func (m *registers) Look(context.Context, history.Time) (Early, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil {
		return Early{}, false
	}
	return *m.found, true
}
