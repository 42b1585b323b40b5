package run

import "time"

// Vary makes the configuration the i-th of several tests of one thing. What many short tests
// find depends on how they differ, not only in their seeds: some bugs need a cluster of an
// even size, or a small one in which each node counts; some need clients that get in each
// other's way, others transactions that rest; some need faults so close to each other that
// the second comes while the first is being mended, or a network that loses and delays a
// little of everything, so that faults meet rounds that came through in part. The turns have
// lengths without a common factor, so that in time everything meets everything.
func (c Config) Vary(i int) Config {
	c.Nodes = []int{3, 5, 3, 4}[i%4]
	c.Interval = []time.Duration{c.Interval, c.Interval / 2, c.Interval * 3 / 4}[i%3]
	turn := i % 7
	c.Noise = turn == 1 || turn == 4 || turn == 6
	if i%5 == 3 {
		c.Keys = crowdedKeys
	}
	rests := i % 5
	if c.Workload == "liveness" {
		rests = 0 // it tells how long others wait, and nothing while somebody rests
	}
	switch rests {
	case 1:
		c.TxnPause = c.OpTimeout * 5 / 8
	case 4:
		// Some transactions outlive what a database keeps for those of usual length.
		c.TxnPause, c.OpTimeout = 8*time.Second, 10*time.Second
	}
	return c
}

// crowdedKeys is the number of keys at which all clients of a default test are at work at
// any time, five on each.
const crowdedKeys = 3
