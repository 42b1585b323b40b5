package workload

import (
	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func queueWorkload() Workload {
	return spec{
		name: "queue",
		doc: "Enqueues unique elements in many queues and dequeues them; all queues are drained " +
			"at the end. Sees elements that are lost, come out twice, were never put in, or " +
			"overtake each other.",
		object: "queue", fs: []history.F{Enqueue, Dequeue},
		mutates: []history.F{Enqueue, Dequeue}, prefix: "q", keys: 10, opsPerKey: 40,
		newKey: func() Generator { return &queueKey{} },
		readAll: func(o Options) Generator {
			return Drain("q", Dequeue, o.FinalKeys)
		},
		monitor: func(o Options) check.Monitor {
			return check.Recheck(check.Linearizable("queue", o.Check))
		},
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.TotalQueue(), check.Linearizable("queue", o.Check)}
		},
		floors: map[history.F]int{Enqueue: 20, Dequeue: 20},
	}.workload()
}

// queueKey is one queue. Busy and calm times take turns, as with a register, because
// the order of what many enqueue at once is anybody's guess.
type queueKey struct {
	put  int64
	mood mood
}

func (k *queueKey) Next(ctx Context) (Step, Generator) {
	n := *k
	n.mood = k.mood.after(ctx.Rand.Split(0))
	share := 0.6
	if n.mood.calm {
		share = 0.45
	}
	if !ctx.Rand.Split(1).Chance(share) {
		return Do(Op{F: Dequeue}), &n
	}
	n.put++
	return Do(Op{F: Enqueue, Value: history.Int(n.put)}), &n
}

func (k *queueKey) Update(Context, history.Event) Generator { return k }
