// Package simtest is what the tests of several protocols want of simulations: how many
// seeds to run, and a judge of the claim that a healthy majority is served.
package simtest

import (
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// Seeds is how many runs a simulation test makes: as many as SIM_SEEDS says, or
// otherwise so many, a tenth of them but not fewer than twenty where
// tests are short (package longtest).
func Seeds(t *testing.T, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv("SIM_SEEDS")
	if s == "" {
		return longtest.Of(min(otherwise, max(20, otherwise/10)), otherwise)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("SIM_SEEDS: %v", err)
	}
	return n
}

// settle is how long after a change of the network every node of a healthy
// majority must serve again: losing the leader, electing one, handing over.
const settle = 3 * time.Second

// Topology follows which links are cut, and judges whether those are served who must be.
type Topology struct {
	nodes   int
	cuts    map[string][][2]int
	active  int
	unclear bool // faults overlap: wait until all have ended
	since   time.Duration
	// Served counts operations that had to succeed while links were cut, and did.
	Served int
}

// Watch returns the options of a run with partitions that last, some of them in one
// direction only, and the check that every node of a healthy majority serves.
func (p *Topology) Watch(seed uint64, nodes int) sim.Options {
	p.cuts = map[string][][2]int{}
	return sim.Options{
		Seed: seed, Nodes: nodes, Ops: 2000,
		Faults: &sim.Faults{
			Kinds: []sim.FaultKind{sim.OneWay, sim.OneWay, sim.Halves, sim.Isolate},
			Every: 13 * time.Second, Last: 6 * time.Second, Think: 200 * time.Millisecond,
		},
		Observe: p.observe, Check: p.judge,
	}
}

func (p *Topology) observe(c *sim.Cluster, e *sim.Event) {
	p.nodes = len(c.Nodes())
	if e.Kind != sim.Fault {
		return
	}
	p.since = c.Now()
	if kind, healed := strings.CutPrefix(e.Text, "healed "); healed {
		p.active--
		delete(p.cuts, kind)
		p.unclear = p.unclear && p.active > 0
		return
	}
	kind, links, _ := strings.Cut(e.Text, ":")
	if kind == "all faults end" {
		p.cuts, p.active, p.unclear = map[string][][2]int{}, 0, false
		return
	}
	p.active++
	p.unclear = p.unclear || p.active > 1
	for l := range strings.FieldsSeq(links) {
		var from, to int
		if _, err := fmt.Sscanf(l, "n%d>n%d", &from, &to); err == nil {
			p.cuts[kind] = append(p.cuts[kind], [2]int{from - 1, to - 1})
		}
	}
}

// healthy is the greatest set of nodes, at least a majority, that reach each
// other both ways; 0 if there is none. Of several that are equally great all
// count: a leader in the one must come to serve the other as well.
func (p *Topology) healthy() int {
	link := make([]int, p.nodes)
	for i := range link {
		link[i] = 1<<p.nodes - 1
	}
	for _, cut := range p.cuts {
		for _, l := range cut {
			link[l[0]] &^= 1 << l[1]
			link[l[1]] &^= 1 << l[0]
		}
	}
	best, size := 0, p.nodes/2
	for set := range 1 << p.nodes {
		all := true
		for i := range link {
			all = all && (set&(1<<i) == 0 || link[i]&set == set)
		}
		switch n := bits.OnesCount(uint(set)); {
		case !all || n < size || n <= p.nodes/2:
		case n > size:
			best, size = set, n
		default:
			best |= set
		}
	}
	return best
}

// judge looks at operations that have just ended.
func (p *Topology) judge(c *sim.Cluster) error {
	ops := c.Ops()
	for _, op := range ops[max(0, len(ops)-20):] {
		if !op.Done || op.Return != c.Now() || op.Invoke < p.since+settle || p.unclear {
			continue
		}
		i := slices.IndexFunc(c.Nodes(), func(n *sim.Node) bool { return n.ID() == op.Node })
		if p.healthy()&(1<<i) == 0 {
			continue
		}
		if len(p.cuts) > 0 {
			p.Served++
		}
		if op.Outcome != protocol.OK {
			return fmt.Errorf("healthy are %b since %v, cut are %v, but: %v",
				p.healthy(), p.since, p.cuts, op)
		}
	}
	return nil
}
