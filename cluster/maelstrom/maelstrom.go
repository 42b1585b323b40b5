// Package maelstrom runs nodes that speak Maelstrom's protocol: programs that read messages
// from their standard input and write messages to their standard output. The network between
// them is this package. It takes every message from one pipe to another, over links with
// the rules of faults and exact counters, and answers what is asked of Maelstrom's services.
//
// A message is a datagram: it may be lost, doubled, late or out of order on the way between
// two nodes, if a fault does that. Messages of clients are lost when their link is cut, and
// never doubled. One with a flipped bit is not delivered, as if a checksum had found it. On
// links without faults messages come at once and in order. What is on its way to a node when
// its process ends is lost.
//
// Processes are run by cluster/local, with pipes in the place of relays.
package maelstrom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// Config says what cluster to run.
type Config struct {
	Nodes []nemesis.Node
	// Command returns the argument vector that starts a node: see local.Config.
	Command func(cluster.NodeSpec) []string
	// Others finds a node's processes outside the group of its command: see local.Config.
	Others func(cluster.NodeSpec) string
	Dir    string
	Logger *slog.Logger
	// StartTimeout bounds the time from a node's start to its last answer to a greeting,
	// Grace that between SIGTERM and SIGKILL; 0 is the standard of package local.
	StartTimeout, Grace time.Duration
	// Seed decides what becomes of messages, and what services do that have a choice.
	Seed   uint64
	Ledger cluster.ProcessLog
	// OnExit is told of nodes that ended by themselves. It must not block.
	OnExit func(cluster.Exit)
	// OnTrouble is told what nodes do that the protocol does not allow. It must not block.
	OnTrouble func(string)
	// Topology, if not nil, are the neighbors that nodes are told after their init.
	Topology map[string][]string
}

// Cluster is a running cluster. Its methods may be called from any goroutine.
type Cluster struct {
	*local.Cluster
	cfg     Config
	router  *router
	control *port
	readers sync.WaitGroup
}

var (
	_ nemesis.Network   = (*Cluster)(nil)
	_ nemesis.Processes = (*Cluster)(nil)
	_ maelstrom.Network = (*Cluster)(nil)
)

// Start starts all nodes and returns when all have answered their init. If one does not, the
// error names it and says why, and nothing is left running. The cluster lives until Close;
// ctx is for starting only.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, router: newRouter(cfg.Nodes, cfg.Seed, cfg.OnTrouble)}
	c.control = c.router.connect() // c0
	var err error
	c.Cluster, err = local.Start(ctx, local.Config{
		Nodes: cfg.Nodes, Command: cfg.Command, Others: cfg.Others, Dir: cfg.Dir,
		Logger: cfg.Logger, StartTimeout: cfg.StartTimeout, Grace: cfg.Grace, Seed: cfg.Seed,
		Assigned: true, Attach: c.attach, Ledger: cfg.Ledger, OnExit: cfg.OnExit,
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// attach puts a process that was started into the network, and greets it.
func (c *Cluster) attach(ctx context.Context, n nemesis.Node, pipe local.Pipes) error {
	before, _ := c.router.trouble.last(n)
	err := c.greet(ctx, newProcess(n, pipe))
	if after, what := c.router.trouble.last(n); err != nil && after > before {
		return fmt.Errorf("%w; it %s", err, what)
	}
	return err
}

// greet sends a process what it has to answer before it is ready.
func (c *Cluster) greet(ctx context.Context, p *process) error {
	ids := make([]string, len(c.cfg.Nodes))
	for i, node := range c.cfg.Nodes {
		ids[i] = string(node)
	}
	init := maelstrom.Request{"type": "init", "node_id": string(p.node), "node_ids": ids}
	greeting, err := c.router.begin(p, c.control, init)
	c.readers.Go(crash.Guard(func() { c.read(p) }))
	crash.Go(p.closeLater)
	if err != nil {
		return err
	}
	crash.Go(p.write)
	body, err := c.control.wait(ctx, greeting)
	if err := done(ctx, "init", body, err); err != nil || c.cfg.Topology == nil {
		return err
	}
	body, err = c.control.Call(ctx, string(p.node),
		maelstrom.Request{"type": "topology", "topology": c.cfg.Topology})
	return done(ctx, "topology", body, err)
}

// done says why a greeting was not understood.
func done(ctx context.Context, what string, body maelstrom.Body, err error) error {
	if errors.Is(err, errEnded) {
		<-ctx.Done() // its cause is how it ended
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case body.Type() != what+"_ok":
		return fmt.Errorf("%s was answered by a message of the type %q, want %s_ok: %s", what,
			body.Type(), what, clip(body["text"]))
	}
	return nil
}

// read reads what a process writes until that ends.
func (c *Cluster) read(p *process) {
	p.read(func(line []byte) { c.router.receive(p, line) }, func() {
		c.router.trouble.of(p.node, "wrote a line of more than %d MiB, which is lost", mostLine>>20)
	})
	c.router.end(p)
	p.end()
	_ = p.pipe.Out.Close() // it has ended
}

// Connect implements maelstrom.Network.
func (c *Cluster) Connect() maelstrom.Port { return c.router.connect() }

// Endpoint returns the node's name, by which clients reach it.
func (c *Cluster) Endpoint(n nemesis.Node) string { return string(n) }

// DirectEndpoint is Endpoint: nothing but messages leads to a node.
func (c *Cluster) DirectEndpoint(n nemesis.Node) string { return string(n) }

// SetRules implements nemesis.Network. On the links of clients only those parts of a rule
// count that have a meaning there.
func (c *Cluster) SetRules(
	ctx context.Context, h nemesis.Handle, rules map[nemesis.Link]nemesis.Rule,
) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("set the rules of %q: %w", h, err)
	}
	rules = maps.Clone(rules)
	for l, r := range rules {
		if l.From == nemesis.Clients || l.To == nemesis.Clients {
			rules[l] = nemesis.Rule{Cut: r.Cut, Delay: r.Delay, Jitter: r.Jitter, Rate: r.Rate}
		}
	}
	c.router.mu.Lock()
	defer c.router.mu.Unlock()
	return c.router.links.SetRules(h, rules)
}

// Clear implements nemesis.Network, whatever has become of the context.
func (c *Cluster) Clear(_ context.Context, h nemesis.Handle) error {
	c.router.mu.Lock()
	defer c.router.mu.Unlock()
	return c.router.links.SetRules(h, nil)
}

// Counters implements nemesis.Network.
func (c *Cluster) Counters(context.Context) (map[nemesis.Link]nemesis.Counters, error) {
	c.router.mu.Lock()
	defer c.router.mu.Unlock()
	return c.router.links.Counters(), nil
}

// Probe implements nemesis.Network.
func (c *Cluster) Probe(ctx context.Context) (map[nemesis.Link]bool, error) {
	c.router.mu.Lock()
	defer c.router.mu.Unlock()
	return c.router.links.Probe(), ctx.Err()
}

// errNoSeam is why nothing can be done to a node's clock and disk.
var errNoSeam = errors.New(
	"a node of Maelstrom has nothing by which its clock and its disk could be troubled")

// SetClock fails: see local.Cluster.
func (c *Cluster) SetClock(context.Context, nemesis.Node, nemesis.ClockSetting) error {
	return errNoSeam
}

// SetDisk fails: see local.Cluster.
func (c *Cluster) SetDisk(context.Context, nemesis.Node, nemesis.DiskSetting) error {
	return errNoSeam
}

// Close ends all nodes, and the network.
func (c *Cluster) Close(ctx context.Context) error {
	err := c.Cluster.Close(ctx)
	c.stop()
	return err
}

// stop waits until nothing reads any more, and ends the network.
func (c *Cluster) stop() {
	c.readers.Wait()
	c.router.close()
}
