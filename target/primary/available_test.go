package primary

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// settle is how long after a change of the network every node of a healthy
// majority must serve again: losing the leader, electing one, handing over.
const settle = 3 * time.Second

// topology follows which links are cut.
type topology struct {
	nodes   int
	cuts    map[string][][2]int
	active  int
	unclear bool // faults overlap: wait until all have ended
	since   time.Duration
	served  int // operations that had to succeed while links were cut
}

// available are the options of a run with partitions that last, some of them in
// one direction only, and the check that every node of a healthy majority
// serves.
func available(seed uint64, nodes int, mode mode, top *topology) sim.Options {
	top.cuts = map[string][][2]int{}
	return sim.Options{
		Seed: seed, Nodes: nodes, Ops: 2000, Generate: lists, Describe: Describe,
		Faults: &sim.Faults{
			Kinds: []sim.FaultKind{sim.OneWay, sim.OneWay, sim.Halves, sim.Isolate},
			Every: 13 * time.Second, Last: 6 * time.Second, Think: 200 * time.Millisecond,
		},
		New: func(cfg protocol.Config) (protocol.Machine, error) {
			return newMachine(cfg, mode)
		},
		Observe: top.observe,
		Check:   func(c *sim.Cluster) error { return top.judge(c) },
	}
}

func (p *topology) observe(c *sim.Cluster, e *sim.Event) {
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
func (p *topology) healthy() int {
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
func (p *topology) judge(c *sim.Cluster) error {
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
			p.served++
		}
		if op.Outcome != protocol.OK {
			return fmt.Errorf("healthy are %b since %v, cut are %v, but: %v",
				p.healthy(), p.since, p.cuts, op)
		}
	}
	return nil
}

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
			n := seeds(t, tc.runs)
			err := sim.Sweep(0, n, func(seed uint64) error {
				var top topology
				_, err := sim.Run(available(seed, 3+int(seed%3), tc.mode, &top))
				served.Add(int64(top.served))
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
