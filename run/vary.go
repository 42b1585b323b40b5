package run

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Vary makes the configuration the i-th of several tests of one thing. What many short tests
// find depends on how they differ, not only in their seeds: some bugs need a cluster of an
// even size, or a small one in which each node counts; some need clients that get in each
// other's way, others transactions that rest; some need faults so close to each other that
// the second comes while the first is being mended, or a network that loses and delays a
// little of everything, so that faults meet rounds that came through in part; many need operations
// that are under way when a fault comes; some need nodes
// and clients that wait until there is a new leader, some young keys, some two kinds of faults
// that among all kinds rarely meet. The turns have lengths without a common
// factor, so that in time everything meets everything.
func (c Config) Vary(i int) Config {
	c.Nodes = []int{3, 5, 3, 4}[i%4]
	c.Interval = []time.Duration{c.Interval, c.Interval / 2, c.Interval * 3 / 4}[i%3]
	turn := i % 7
	lossy := slices.Contains(c.Faults, "all") || slices.Contains(c.Faults, "messages")
	c.Noise = lossy && (turn == 1 || turn == 4 || turn == 6)
	if i%5 == 3 {
		c.Keys = crowdedKeys
	}
	if i%5 == 2 {
		c.OpsPerKey = shortLife
	}
	if i%3 != 0 {
		c.Faults = c.fewFaults(i/3*2 + i%3 - 1)
	}
	c.Rush = i%11%3 != 1
	rests, patient := i%5, i%11%3 == 2
	if c.Workload == "liveness" {
		rests, patient = 0, false // it tells how long others wait, and nothing while somebody rests
	}
	if patient {
		c.RequestTimeout, c.OpTimeout = patientRequest, patientClient
	}
	switch rests {
	case 1:
		c.TxnPause = 500 * time.Millisecond
	case 4:
		// Some transactions outlive what a database keeps for those of usual length.
		c.TxnPause, c.OpTimeout = 8*time.Second, 10*time.Second
	}
	return c
}

// shortLife is the number of operations on a key if there are to be many young ones: some
// mistakes show only at the first operations on a key.
const shortLife = 8

// Nodes and clients of usual patience have given up before a new leader is there. These live
// through it, so that what was begun under one leader ends under the next.
const (
	patientRequest = 5 * time.Second
	patientClient  = 6 * time.Second
)

// crowdedKeys is the number of keys at which all clients of a default test are at work at
// any time, five on each.
const crowdedKeys = 3

// fewFaults are those of the i-th variation that has few: cuts, kills, and some of the other
// families, dealt so that each comes in time, and more often those that few systems claim to
// survive. Among a few families the pairs that hurt meet
// much more often than among all (Groce, Zhang, Eide, Chen and Regehr, "Swarm testing",
// ISSTA 2012).
func (c Config) fewFaults(i int) []string {
	const dealt = 3
	var few, rest []string
	for _, f := range c.Faults {
		switch {
		case f == "partition" || f == "kill":
			few = append(few, f)
		case byName(f): // what a claim names beside what all have to survive
			rest = append(rest, f, f)
		default:
			rest = append(rest, f)
		}
	}
	if len(rest) <= dealt {
		return c.Faults
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0x737761726d))
	var deck []string
	for len(deck) < (i+1)*dealt {
		next := slices.Clone(rest)
		rng.Shuffle(len(next), func(a, b int) { next[a], next[b] = next[b], next[a] })
		deck = append(deck, next...)
	}
	deck = deck[i*dealt : (i+1)*dealt]
	if c.Noise {
		deck = append(deck, "messages") // or there is none
	}
	for _, f := range deck {
		if !slices.Contains(few, f) {
			few = append(few, f)
		}
	}
	return few
}

// byName reports whether a family of faults has to be chosen by its name.
func byName(family string) bool {
	return slices.ContainsFunc(nemesis.Families(), func(f nemesis.Family) bool {
		return f.Name == family && !f.InAll
	})
}
