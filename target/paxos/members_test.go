package paxos

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// changes generates mostly operations of another kind, now and then a change of the
// members, or a transfer.
func changes(next sim.Generator) sim.Generator {
	return func(rng *rand.Rand, n int) protocol.Request {
		if rng.IntN(8) > 0 {
			return next(rng, n)
		}
		f := []string{orderAdd, orderAdd, orderRemove, orderTransfer}[rng.IntN(4)]
		return protocol.Request{Object: adminObject, F: f,
			Value: fmt.Sprintf(`"n%d"`, 1+rng.IntN(5))}
	}
}

// TestMembersSimulation changes the members under every fault. What is chosen is
// judged by the configurations in the log.
func TestMembersSimulation(t *testing.T) {
	n := simtest.Seeds(t, 60)
	var mu sync.Mutex
	var done, small int
	err := sim.Sweep(0, n, func(seed uint64) error {
		opts, w := checked(t, seed)
		opts.Nodes, opts.Recovery, opts.Ops = 5, 20*time.Second, 150
		opts.Generate = changes(mixed)
		opts.Faults.Every = max(opts.Faults.Every, 600*time.Millisecond)
		_, err := sim.Run(opts)
		mu.Lock()
		defer mu.Unlock()
		for k := 1; k < len(w.configs); k++ {
			if w.configs[k] != w.configs[k-1] {
				done++
			}
			if w.configs[k] != 31 {
				small++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d changes, %d slots chosen by fewer than all", done, small)
	if done < 3*int(n) {
		t.Error("the members hardly changed")
	}
}
