package workload

import (
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func decideWorkload() Workload {
	return spec{
		name: "decide",
		doc: "Proposes values in many instances of consensus, several at once, and asks for the " +
			"decision. Sees two decisions, one that nobody proposed, one that is taken back, and " +
			"instances of which nobody hears any more.",
		object: "decide", fs: []history.F{Propose, Ask},
		read: Ask, mutates: []history.F{Propose}, prefix: "i", keys: 12, opsPerKey: instanceOps,
		newKey:  func() Generator { return &decideKey{} },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			o = o.withDefaults(12, instanceOps)
			return []check.Checker{check.Decide(), check.Liveness(check.LivenessOptions{
				Claimed: o.Available, Grace: o.Settle * 5 / 6, Foreign: o.Foreign,
			})}
		},
		readAll: func(o Options) Generator {
			return Settled(o.Settle, Followed(
				Persist("i", Ask, o.FinalKeys, 250*time.Millisecond),
				FinalReads("i", Ask, o.Nodes, o.FinalKeys)))
		},
		floors: map[history.F]int{Propose: 20, Ask: 20},
	}.workload()
}

// instanceOps is how many operations an instance gets. What can go wrong does so while nothing is
// decided, at the first few of them; the rest only ask what has become of it, which is also
// asked of old instances. So they are few, and the instances many.
const instanceOps = 5

// decideKey is one instance. Some are left with a single proposal for a while, so that
// half of a round is what a later proposer finds; in others everybody proposes.
type decideKey struct {
	proposed int64
	shy      bool
	begun    bool
}

func (k *decideKey) Next(ctx Context) (Step, Generator) {
	n := *k
	if !k.begun {
		n.begun, n.shy = true, ctx.Rand.Split(0).Chance(0.5)
	}
	share := 0.7
	if n.shy {
		share = 0.15
	}
	if n.proposed > 0 && !ctx.Rand.Split(1).Chance(share) {
		return Do(Op{F: Ask}), &n
	}
	n.proposed++
	return Do(Op{F: Propose, Value: history.Int(n.proposed)}), &n
}

func (k *decideKey) Update(Context, history.Event) Generator { return k }
