package paxos

import (
	"sync/atomic"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// TestAvailable holds the protocol to its claim: a majority whose members reach
// each other is served at each of them, whatever the rest does.
func TestAvailable(t *testing.T) {
	var served atomic.Int64
	n := simtest.Seeds(t, 30)
	err := sim.Sweep(0, n, func(seed uint64) error {
		var top simtest.Topology
		opts := top.Watch(seed, 3+int(seed%3))
		opts.Generate, opts.Describe = lists, Describe
		opts.New = func(cfg protocol.Config) (protocol.Machine, error) { return New(cfg) }
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
}
