package primary

import (
	"sync/atomic"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// TestAvailable holds the protocol to its claim: a majority whose members reach each
// other is served at each of them, whatever the rest does.
func TestAvailable(t *testing.T) {
	for _, tc := range []struct {
		mode mode
		runs uint64
	}{
		{mode{name: "primary"}, 8},
		{mode{name: "primary-all", acks: ackAll}, 4},
		{mode{name: "primary-copy-reads", copyReads: true}, 4},
	} {
		t.Run(tc.mode.name, func(t *testing.T) {
			var served atomic.Int64
			n := simtest.Seeds(t, tc.runs)
			err := sim.Sweep(0, n, func(seed uint64) error {
				var top simtest.Topology
				opts := top.Watch(seed, 3+int(seed%3))
				opts.Generate, opts.Describe = lists, Describe
				opts.New = func(cfg protocol.Config) (protocol.Machine, error) {
					return newMachine(cfg, tc.mode)
				}
				_, err := sim.Run(opts)
				served.Add(int64(top.Served))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d operations had to succeed under a partition, and did", served.Load())
			if served.Load() < int64(n)*50 {
				t.Errorf("only %d operations were judged", served.Load())
			}
		})
	}
}
