// Package sim runs the nodes of the reference cluster in this process and in virtual time:
// network, clocks and disks are computed, and a second passes as fast as it can be. What
// happens depends on the seed and on what is asked, on nothing else, so that a run can be
// repeated step by step on any machine.
//
// It is the one package of the harness that imports the reference system: target/world,
// which shows of a node what a process shows. Everything above it (workloads, faults,
// checkers, reports) sees another cluster, and no difference. The nodes' addresses end with
// ".sim"; Transport leads there.
//
// The network is that of cluster/local: datagrams between nodes, on each directed link a
// relay with rules, whose fates are drawn by cluster/impair; between clients and nodes
// streams, that wait for the end of a cut. What takes time beside the rules: 0.1 to 0.5 ms
// on each link, 0.05 to 0.8 ms for a sync, and 20 to 50 ms until a process serves.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/links"
	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/target/world"
)

// Config is a cluster to be started.
type Config struct {
	Protocol string
	// Bug is the one to be planted, "" for none.
	Bug   string
	Nodes []nemesis.Node
	Seed  uint64
	// RequestTimeout is how long a node works on a request.
	RequestTimeout time.Duration
	// OnExit is told of nodes that end without having been told to.
	OnExit func(cluster.Exit)
	// Log gets what a node says, a line a call. May be nil.
	Log func(n nemesis.Node, line string)
}

// Check says why there is no such protocol, or why the bug cannot be planted in it.
func Check(protocol, bug string) error { return world.Check(protocol, bug) }

// Cluster is a cluster in the virtual world of the context that it was started with. All
// calls come from there.
type Cluster struct {
	cfg   Config
	w     *vtime.World
	nodes *world.Cluster
	net   *links.Network
	rng   *rand.Rand
	flips map[nemesis.Node]flip
	// locks serialize what is done to a node's process.
	locks  map[nemesis.Node]*vtime.Mutex
	closed bool
}

// flip is a bit that was flipped and can be put back.
type flip struct {
	name    string
	at      int64
	was, is byte
}

const (
	// linkLeast and linkMost bound how long a message takes on a clean link.
	linkLeast  = 100 * time.Microsecond
	linkMost   = 500 * time.Microsecond
	probeTook  = 2 * time.Millisecond
	startLeast = 20 * time.Millisecond
	startMost  = 50 * time.Millisecond
)

func latency() links.Latency { return links.Latency{Least: linkLeast, Most: linkMost} }

// Start starts all nodes. ctx has to belong to a virtual world.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	w := vtime.From(ctx)
	if w == nil {
		return nil, errors.New("simulated cluster: this is no virtual world")
	}
	c := &Cluster{
		cfg: cfg, w: w, rng: rand.New(rand.NewPCG(cfg.Seed, 0xc1)),
		net: links.New(w, cfg.Nodes, cfg.Seed, latency()), flips: map[nemesis.Node]flip{},
		locks: map[nemesis.Node]*vtime.Mutex{},
	}
	names := make([]string, len(cfg.Nodes))
	for i, n := range cfg.Nodes {
		names[i] = string(n)
		c.locks[n] = &vtime.Mutex{}
	}
	ways := make([][]func(size int, deliver func()), len(names))
	for i, from := range cfg.Nodes {
		ways[i] = make([]func(size int, deliver func()), len(names))
		for j, to := range cfg.Nodes {
			if i != j {
				ways[i][j] = c.net.Way(nemesis.Link{From: from, To: to})
			}
		}
	}
	var err error
	c.nodes, err = world.Open(w, world.Config{
		Protocol: cfg.Protocol, Bug: cfg.Bug, Nodes: names, Seed: cfg.Seed,
		RequestTimeout: cfg.RequestTimeout,
		Carry:          func(from, to, size int, deliver func()) { ways[from][to](size, deliver) },
		Exited:         c.exited,
		Log: func(i int, line string) {
			if cfg.Log != nil {
				cfg.Log(cfg.Nodes[i], line)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("simulated cluster: %w", err)
	}
	err = vtime.Together(ctx, len(names), func(i int) error { return c.Start(ctx, cfg.Nodes[i]) })
	if err != nil {
		return nil, fmt.Errorf("simulated cluster: %w", err)
	}
	return c, nil
}

// exited tells of a node that ended by itself.
func (c *Cluster) exited(i int, status, words string) {
	if c.cfg.OnExit != nil && !c.closed {
		c.cfg.OnExit(cluster.Exit{
			Node: c.cfg.Nodes[i], Status: status, Log: words, LastWords: words,
		})
	}
}

// do does something with a node.
func (c *Cluster) do(what string, n nemesis.Node, f func(i int) error) error {
	i := slices.Index(c.cfg.Nodes, n)
	if i < 0 {
		return fmt.Errorf("%s %s: no such node", what, n)
	}
	if err := f(i); err != nil {
		return fmt.Errorf("%s %s: %w", what, n, err)
	}
	return nil
}

// Start implements nemesis.Processes. It fails when the node refuses to start.
func (c *Cluster) Start(ctx context.Context, n nemesis.Node) error {
	return c.do("start", n, func(i int) error {
		defer c.locks[n].Lock(ctx)()
		if pid, _ := c.nodes.State(i); pid != 0 {
			return nil
		}
		if !vtime.Sleep(ctx, between(c.rng, startLeast, startMost)) {
			return fmt.Errorf("not ready yet: %w", vtime.Cause(ctx))
		}
		return c.nodes.Start(i)
	})
}

// Kill implements nemesis.Processes.
func (c *Cluster) Kill(ctx context.Context, n nemesis.Node) error {
	return c.do("kill", n, func(i int) error {
		defer c.locks[n].Lock(ctx)()
		c.nodes.Kill(i)
		return nil
	})
}

// Pause implements nemesis.Processes.
func (c *Cluster) Pause(ctx context.Context, n nemesis.Node) error {
	return c.do("pause", n, func(i int) error {
		defer c.locks[n].Lock(ctx)()
		c.nodes.Pause(i)
		return nil
	})
}

// Resume implements nemesis.Processes.
func (c *Cluster) Resume(ctx context.Context, n nemesis.Node) error {
	return c.do("resume", n, func(i int) error {
		defer c.locks[n].Lock(ctx)()
		c.nodes.Resume(i)
		return nil
	})
}

// State implements nemesis.Processes.
func (c *Cluster) State(_ context.Context, n nemesis.Node) (s nemesis.ProcessState, err error) {
	err = c.do("state of", n, func(i int) error {
		s.PID, s.Stopped = c.nodes.State(i)
		return nil
	})
	return s, err
}

// SetRules implements nemesis.Network.
func (c *Cluster) SetRules(
	_ context.Context, h nemesis.Handle, rules map[nemesis.Link]nemesis.Rule,
) error {
	return c.net.SetRules(h, rules)
}

// Clear implements nemesis.Network.
func (c *Cluster) Clear(_ context.Context, h nemesis.Handle) error {
	return c.net.SetRules(h, nil)
}

// Counters implements nemesis.Network.
func (c *Cluster) Counters(context.Context) (map[nemesis.Link]nemesis.Counters, error) {
	return c.net.Counters(), nil
}

// Probe implements nemesis.Network.
func (c *Cluster) Probe(ctx context.Context) (map[nemesis.Link]bool, error) {
	if !vtime.Sleep(ctx, probeTook) {
		return nil, vtime.Cause(ctx)
	}
	return c.net.Probe(), nil
}

// SetClock bends the clocks of a node.
func (c *Cluster) SetClock(_ context.Context, n nemesis.Node, s nemesis.ClockSetting) error {
	return c.do("set the clock of", n, func(i int) error {
		content, err := cluster.ClockFile(s)
		if err != nil {
			return err
		}
		return c.nodes.SetClock(i, content)
	})
}

// SetDisk troubles the disk of a node.
func (c *Cluster) SetDisk(_ context.Context, n nemesis.Node, s nemesis.DiskSetting) error {
	return c.do("set the disk of", n, func(i int) error {
		content, err := cluster.DiskFile(s)
		if err != nil {
			return err
		}
		return c.nodes.SetDisk(i, content)
	})
}

// FlipBit flips a bit in the first half of the log of a node that is down.
func (c *Cluster) FlipBit(_ context.Context, n nemesis.Node, place float64) (string, error) {
	var where string
	err := c.do("flip a bit of", n, func(i int) error {
		name, content, err := c.nodes.Newest(i)
		if err != nil {
			return err
		}
		f, err := cluster.NewFlip(name, int64(len(content)), place)
		if err != nil {
			return err
		}
		f = f.WithByte(content[f.Offset])
		where = f.String()
		c.flips[n] = flip{name: name, at: f.Offset, was: f.Was, is: f.Is}
		return c.nodes.SetByte(i, name, f.Offset, f.Was, f.Is)
	})
	return where, err
}

// Unflip puts the byte back that FlipBit has changed, unless it is no longer there.
func (c *Cluster) Unflip(_ context.Context, n nemesis.Node) error {
	return c.do("put back the bit of", n, func(i int) error {
		f, ok := c.flips[n]
		if !ok {
			return nil
		}
		delete(c.flips, n)
		return c.nodes.SetByte(i, f.name, f.at, f.is, f.was)
	})
}

// Wipe takes away all that a node which is down has on its disk.
func (c *Cluster) Wipe(_ context.Context, n nemesis.Node) (lost int64, err error) {
	err = c.do("wipe the disk of", n, func(i int) error {
		lost, err = c.nodes.Wipe(i)
		delete(c.flips, n)
		return err
	})
	return lost, err
}

// Endpoint is where clients reach the node, over its client links.
func (c *Cluster) Endpoint(n nemesis.Node) string { return string(n) + domain }

// DirectEndpoint is where the harness asks the node itself; "" while it is down.
func (c *Cluster) DirectEndpoint(n nemesis.Node) string {
	i := slices.Index(c.cfg.Nodes, n)
	if i < 0 {
		return ""
	}
	if pid, _ := c.nodes.State(i); pid == 0 {
		return ""
	}
	return string(n) + direct
}

// Close ends all nodes.
func (c *Cluster) Close(context.Context) error {
	c.closed = true
	for i := range c.cfg.Nodes {
		c.nodes.Kill(i)
	}
	return nil
}

// between draws a duration.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}
