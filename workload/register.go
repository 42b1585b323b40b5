package workload

import (
	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func registerWorkload() Workload {
	return spec{
		name: "register",
		doc: "Reads and writes of many registers, every value written once. Sees stale reads, " +
			"lost writes and values from nowhere, by linearizability per key.",
		object: "register", fs: []history.F{Read, Write},
		read: Read, mutates: []history.F{Write}, prefix: "r", keys: 10, opsPerKey: 120,
		newKey:  func() Generator { return &registerKey{} },
		monitor: func(Options) check.Monitor { return check.MonitorRegisters() },
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Linearizable("register", o.Check)}
		},
		floors: map[history.F]int{Read: 20, Write: 20},
	}.workload()
}

func casWorkload() Workload {
	return spec{
		name: "cas-register",
		doc: "Reads, writes and compare-and-sets of many registers, every value written once. " +
			"Sees what register sees, and a compare-and-set that is not atomic.",
		object: "cas-register", fs: []history.F{Read, Write, CAS},
		read: Read, mutates: []history.F{Write, CAS}, prefix: "c",
		keys: 10, opsPerKey: 120,
		newKey:  func() Generator { return &casKey{} },
		monitor: func(Options) check.Monitor { return check.MonitorCASRegisters() },
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Linearizable("cas-register", o.Check)}
		},
		floors: map[history.F]int{Read: 20, Write: 20, CAS: 5},
	}.workload()
}

// mood is how a register is used for a while: busy with many writes, which collide,
// or calm with few, so that the next write does not hide what became of the last.
type mood struct {
	calm bool
	left int
}

// after returns the mood for one more operation.
func (m mood) after(r Rand) mood {
	if m.left > 0 {
		m.left--
		return m
	}
	if r.Split(0).Chance(0.5) {
		return mood{left: 5 + r.Split(1).IntN(10)}
	}
	return mood{calm: true, left: 12 + r.Split(1).IntN(12)}
}

// registerKey is one register. Busy, seven of ten operations are writes. Calm, a
// write waits until the one before has returned and been followed by two reads:
// among concurrent writes one that is lost cannot be told from one that another
// has overwritten, but these reads have to see it. Values count up from 1, so none
// is written twice; checkers rely on that.
type registerKey struct {
	written int64
	mood    mood
	writing int // writes in flight
	reads   int // called since the last write returned
}

func (k *registerKey) Next(ctx Context) (Step, Generator) {
	n := *k
	n.mood = k.mood.after(ctx.Rand.Split(0))
	write := ctx.Rand.Split(1).Chance(0.7)
	if n.mood.calm {
		write = n.writing == 0 && n.reads >= 2
	}
	if !write {
		return Do(Op{F: Read}), &n
	}
	n.written++
	return Do(Op{F: Write, Value: history.Int(n.written)}), &n
}

func (k *registerKey) Update(_ Context, ev history.Event) Generator {
	n := *k
	switch {
	case ev.Type == history.Invoke && ev.F == Write:
		n.writing++
	case ev.Type == history.Invoke:
		n.reads++
	case ev.F == Write:
		n.writing, n.reads = n.writing-1, 0
	default:
		return k
	}
	return &n
}

// casKey is one register with compare-and-set. It remembers what the register
// probably holds, so that a good share of the compare-and-sets succeed.
type casKey struct {
	written int64
	mood    mood
	// likely are the values that the register may hold, the most likely first;
	// 0 stands for none.
	likely  [3]int64
	pending [8]pendingWrite
}

// pendingWrite is a value on its way.
type pendingWrite struct {
	process history.Process
	value   int64
	used    bool
}

func (k *casKey) Next(ctx Context) (Step, Generator) {
	n := *k
	n.mood = k.mood.after(ctx.Rand.Split(2))
	reads := 0.3
	if n.mood.calm {
		reads = 0.7
	}
	r := ctx.Rand.Split(0).Float()
	switch {
	case r < reads:
		return Do(Op{F: Read}), &n
	case r < reads+(1-reads)/3:
		n.written++
		return Do(Op{F: Write, Value: history.Int(n.written)}), &n
	default:
		n.written++
		v := history.List(k.expect(ctx.Rand.Split(1)), history.Int(n.written))
		return Do(Op{F: CAS, Value: v}), &n
	}
}

// expect chooses the value that a compare-and-set expects: mostly a likely one, now
// and then one that can hardly be there, because refusals are to be tested, too.
func (k *casKey) expect(r Rand) history.Value {
	v := k.likely[0]
	switch f := r.Float(); {
	case f < 0.75:
	case f < 0.9:
		v = k.likely[1]
	case f < 0.95:
		v = k.likely[2]
	default:
		v = int64(r.Split(0).IntN(int(k.written) + 1))
	}
	if v == 0 {
		return history.Nil()
	}
	return history.Int(v)
}

func (k *casKey) Update(_ Context, ev history.Event) Generator {
	n := *k
	switch {
	case ev.Type == history.Invoke && ev.F == Write:
		v, _ := ev.Value.AsInt()
		n.begin(ev.Process, v)
	case ev.Type == history.Invoke && ev.F == CAS && ev.Value.Len() == 2:
		v, _ := ev.Value.At(1).AsInt()
		n.begin(ev.Process, v)
	case ev.Type == history.OK && ev.F == Read:
		if v, ok := ev.Value.AsInt(); ok {
			n.saw(v)
		}
	case ev.Type != history.Invoke && ev.F != Read:
		if v, ok := n.end(ev.Process); ok && ev.Type != history.Fail {
			n.saw(v)
		}
	default:
		return k
	}
	return &n
}

func (k *casKey) begin(p history.Process, v int64) {
	for i := range k.pending {
		if !k.pending[i].used {
			k.pending[i] = pendingWrite{process: p, value: v, used: true}
			return
		}
	}
}

func (k *casKey) end(p history.Process) (int64, bool) {
	for i := range k.pending {
		if w := &k.pending[i]; w.used && w.process == p {
			w.used = false
			return w.value, true
		}
	}
	return 0, false
}

// saw notes that the register held v a moment ago.
func (k *casKey) saw(v int64) {
	switch v {
	case k.likely[0]:
	case k.likely[1]:
		k.likely[0], k.likely[1] = v, k.likely[0]
	default:
		k.likely = [3]int64{v, k.likely[0], k.likely[1]}
	}
}
