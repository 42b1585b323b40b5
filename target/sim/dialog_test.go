package sim

import (
	"math/rand/v2"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// twice adds two numbers, the second only if the first was added.
type twice struct{ asked int }

func (d *twice) Next(_ *rand.Rand, last *Op) (protocol.Request, bool) {
	if d.asked == 2 || last != nil && last.Outcome != protocol.OK {
		return protocol.Request{}, false
	}
	d.asked++
	return protocol.Request{Object: "counter", F: "add", Value: "1"}, true
}

// TestDialogs runs conversations under faults: the two parts of one follow each
// other at the same node, and after healing every node completes one.
func TestDialogs(t *testing.T) {
	for seed := range uint64(10) {
		pairs := 0
		tr, err := Run(Options{
			Seed: seed, Clients: 3, Ops: 40, More: []FaultKind{WallJump, ClockBack},
			New:     func(cfg protocol.Config) (protocol.Machine, error) { return newToy(cfg) },
			Dialogs: func(*rand.Rand, int) Dialog { return &twice{} },
			Final: func(*Cluster) []func() Dialog {
				return []func() Dialog{func() Dialog { return &twice{} }}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		last := map[int]*Op{}
		for _, op := range tr.Ops {
			if before := last[op.Process]; before != nil {
				if op.Node != "" && before.Node != op.Node || op.Invoke < before.Return {
					t.Fatalf("seed %d: %v\n does not follow %v", seed, op, before)
				}
				pairs++
				delete(last, op.Process)
				continue
			}
			if op.Done && op.Outcome == protocol.OK {
				last[op.Process] = op
			}
		}
		if pairs < 40+tr.Nodes {
			t.Errorf("seed %d: %d pairs in %v", seed, pairs, tr.Time)
		}
	}
}
