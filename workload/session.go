package workload

import (
	"strconv"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func sessionWorkload() Workload {
	s := spec{
		name: "session",
		doc: "Each client writes keys of its own and reads them and those of others, going from " +
			"node to node. Sees a session that misses what it wrote or had read or, where that is " +
			"claimed, what others wrote or read before, and last writes that never spread.",
		object: "session", fs: []history.F{Read, Write}, read: Read,
		mutates: []history.F{Write}, prefix: "w", keys: 10, opsPerKey: 60, unbounded: true,
		monitor: func(o Options) check.Monitor { return check.RecheckWhole(guarantees(o)) },
		judge: func(o Options) []check.Checker {
			// The final reads come a little later than what they are to show.
			o = o.withDefaults(10, 60)
			return []check.Checker{
				guarantees(o),
				check.Spread(check.SpreadOptions{Grace: o.Settle * 5 / 6}),
			}
		},
		floors: map[history.F]int{Read: 20, Write: 20},
	}
	s.main = func(o Options, prefix string) Generator {
		return &sessions{prefix: prefix, writes: o.OpsPerKey}
	}
	return s.workload()
}

func guarantees(o Options) check.Checker {
	return check.SessionGuarantees(check.GuaranteesOptions{
		Claimed: o.Promise.Sessions, Unordered: o.Promise.Unordered, Rising: true,
	})
}

// sessions gives each thread a key to write, and everybody all keys to read. A key is
// left for a fresh one after a number of writes, and when the outcome of a write is
// unknown: it may happen later, and then the numbers would not rise.
type sessions struct {
	prefix string
	writes int
	next   int64 // the number of the next fresh key
	own    vector[ownKey]
}

// ownKey is the key that a thread writes.
type ownKey struct {
	number  int64
	written int64
	process history.Process
	used    bool
}

func (s *sessions) key(number int64) history.Key {
	return history.Key(s.prefix + strconv.FormatInt(number, 10))
}

func (s *sessions) Next(ctx Context) (Step, Generator) {
	own := s.own.get(ctx.Thread)
	fresh := !own.used || own.process != ctx.Process || own.written >= int64(s.writes)
	draw := ctx.Rand.Split(0).Float()
	if fresh || draw < 0.3 {
		n := *s
		if fresh {
			own = ownKey{number: s.next, process: ctx.Process, used: true}
			n.next++
		}
		own.written++
		n.own = s.own.set(ctx.Thread, own)
		return Do(Op{F: Write, Key: s.key(own.number), Value: history.Int(own.written)}), &n
	}
	if draw < 0.6 {
		return Do(Op{F: Read, Key: s.key(own.number)}), s
	}
	other := s.own.get(ctx.Rand.Split(1).IntN(ctx.Threads))
	if !other.used {
		other = own
	}
	return Do(Op{F: Read, Key: s.key(other.number)}), s
}

func (s *sessions) Update(Context, history.Event) Generator { return s }

func logWorkload() Workload {
	return spec{
		name: "log",
		doc: "Appends unique elements to a few logs that are read all along and at the end. Sees " +
			"elements that are lost, doubled or never spread, and, where there is an order, reads " +
			"that do not agree on it.",
		object: "log", fs: []history.F{Append, Read}, read: Read, mutates: []history.F{Append},
		prefix: "log", keys: 4, opsPerKey: 400, unbounded: true,
		newKey: func() Generator { return &logKey{} },
		monitor: func(o Options) check.Monitor {
			if o.Promise.Unordered || o.Promise.Stale {
				return nil // what is missing may still come
			}
			return check.Recheck(check.Log(check.LogOptions{}))
		},
		judge: func(o Options) []check.Checker {
			o = o.withDefaults(4, 400)
			return []check.Checker{check.Log(check.LogOptions{
				Unordered: o.Promise.Unordered, Stale: o.Promise.Stale, Grace: o.Settle * 5 / 6,
			})}
		},
		floors: map[history.F]int{Read: 20, Append: 20},
	}.workload()
}

// logKey is one log: six appends to four reads.
type logKey struct{ appended int64 }

func (k *logKey) Next(ctx Context) (Step, Generator) {
	if ctx.Rand.Chance(0.4) {
		return Do(Op{F: Read}), k
	}
	n := &logKey{appended: k.appended + 1}
	return Do(Op{F: Append, Value: history.Int(n.appended)}), n
}

func (k *logKey) Update(Context, history.Event) Generator { return k }
