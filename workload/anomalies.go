package workload

import (
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func longForkWorkload() Workload {
	return groups(spec{
		name: "long-fork",
		doc: "Writes each key of a group once, and reads the whole group meanwhile. Sees two reads " +
			"each of which has what the other one misses.",
		registers: forkKeys(), prefix: "lf", keys: 8, opsPerKey: 24,
		newKey:  func() Generator { return &forkKey{} },
		lasting: 1,
		judge:   func(Options) []check.Checker { return []check.Checker{check.LongFork()} },
		floors:  map[history.F]int{Read: 20, Txn: 10},
	}).workload()
}

func forkKeys() []history.Key { return []history.Key{"a", "b", "c"} }

// forkKey is one group of long-fork. Most keys are written together with another one, by two
// clients at once: only between commits that meet can a system show two orders.
type forkKey struct {
	written int
	writing bool // the last operation was a write
}

func (k *forkKey) Next(ctx Context) (Step, Generator) {
	keys := forkKeys()
	chance := 0.3
	if k.writing {
		chance = 0.8
	}
	if k.written == len(keys) || !ctx.Rand.Split(0).Chance(chance) {
		// In any order: who reads them in the order in which they are written, one by
		// one, would see no fork.
		var steps []history.Step
		for i := range keys {
			at := (ctx.Rand.Split(1).IntN(len(keys)) + i) % len(keys)
			steps = append(steps, history.Step{F: history.StepRead, Key: keys[at]})
		}
		if ctx.Rand.Split(2).Chance(0.5) {
			slices.Reverse(steps)
		}
		return Do(Op{F: Txn, Value: history.Steps(steps...)}), &forkKey{written: k.written}
	}
	return Do(Op{F: Txn, Value: history.Steps(history.Step{
		F: history.StepWrite, Key: keys[k.written], Value: history.Int(1),
	})}), &forkKey{written: k.written + 1, writing: true}
}

func (k *forkKey) Update(Context, history.Event) Generator { return k }

func g2Workload() Workload {
	return groups(spec{
		name: "g2",
		doc: "Transactions that read two keys and write one of them, two at a time. Sees a write " +
			"skew: two transactions took effect, and neither saw the other.",
		registers: []history.Key{"a", "b"}, prefix: "g", keys: 12, opsPerKey: 8,
		newKey:  func() Generator { return &g2Key{} },
		lasting: 1,
		judge:   func(Options) []check.Checker { return []check.Checker{check.G2()} },
		floors:  map[history.F]int{Txn: 20},
	}).workload()
}

// g2Key is one pair. Both keys are written at once, and then again a few times.
type g2Key struct{ inserted int64 }

func (k *g2Key) Next(ctx Context) (Step, Generator) {
	key := []history.Key{"a", "b"}[k.inserted%2]
	n := &g2Key{inserted: k.inserted + 1}
	return Do(Op{F: Txn, Value: history.Steps(
		history.Step{F: history.StepRead, Key: "a"}, history.Step{F: history.StepRead, Key: "b"},
		history.Step{F: history.StepWrite, Key: key, Value: history.Int(n.inserted)},
	)}), n
}

func (k *g2Key) Update(Context, history.Event) Generator { return k }

// touch is what the key generators say for a transaction that reads all keys of a
// group and writes all of them.
const touch history.F = "touch"

// groupPatience is for how long a group has to have been tried in vain. Rests of others are no
// fault of the system, and on a group that all clients want some follow each other.
func groupPatience(o Options) time.Duration { return time.Second + 10*o.Rest }

func livenessWorkload() Workload {
	s := groups(spec{
		name: "liveness",
		doc: "Twins during the faults; after the last one has been healed and a grace is over, " +
			"every group is read and written until it works. Sees keys that stay locked, and " +
			"transactions that nobody ends.",
		registers: []history.Key{"a", "b"}, prefix: "v", keys: 10, opsPerKey: 24,
		newKey:  func() Generator { return &twinKey{register: &registerKey{}} },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			o = o.withDefaults(10, 24)
			return []check.Checker{check.Twin(), check.Liveness(check.LivenessOptions{
				Claimed: o.Available || o.Promise.Recovers, Grace: o.Settle * 5 / 6,
				Foreign: o.Foreign, Patience: groupPatience(o),
			})}
		},
		floors: map[history.F]int{Read: 10, Txn: 20},
	})
	s.readAll = func(o Options) Generator {
		return Settled(o.Settle, Persist(s.prefix, touch, o.FinalKeys, 250*time.Millisecond))
	}
	return s.workload()
}

func cachedWorkload() Workload {
	return spec{
		name: "cached-register",
		doc: "Many reads and few writes of registers that nodes keep in their caches. Sees a cache " +
			"that answers after its lease, or was not invalidated, by linearizability per key.",
		object: "register", fs: []history.F{Read, Write}, read: Read,
		mutates: []history.F{Write}, prefix: "k", keys: 8, opsPerKey: 150,
		newKey:  func() Generator { return &cachedKey{} },
		monitor: func(Options) check.Monitor { return check.MonitorRegisters() },
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Linearizable("register", o.Check)}
		},
		floors: map[history.F]int{Read: 40, Write: 10},
	}.workload()
}

// cachedKey is a register of which all nodes have read the value before it changes:
// there is one write to about eight reads, and one at a time.
type cachedKey struct {
	written int64
	writing bool
	reads   int // since the last write returned
}

func (k *cachedKey) Next(ctx Context) (Step, Generator) {
	n := *k
	if k.writing || k.reads < 4 && k.written > 0 || !ctx.Rand.Chance(0.25) {
		n.reads++
		return Do(Op{F: Read}), &n
	}
	n.written++
	n.writing, n.reads = true, 0
	return Do(Op{F: Write, Value: history.Int(n.written)}), &n
}

func (k *cachedKey) Update(_ Context, ev history.Event) Generator {
	if ev.F != Write || ev.Type == history.Invoke {
		return k
	}
	n := *k
	n.writing, n.reads = false, 0
	return &n
}
