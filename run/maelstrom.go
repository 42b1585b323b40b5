package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	maelstromcluster "github.com/ordeal-dev/ordeal/cluster/maelstrom"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// maelstromWay runs nodes whose network is the checker.
func maelstromWay() way {
	w := localWay()
	return way{
		name: systems.Maelstrom,
		doc: "nodes that speak Maelstrom's protocol on their standard input and output; the checker " +
			"is their network, with all faults of links and messages; no root",
		check: checkMaelstrom,
		lacks: noInjuries,
		start: startMaelstrom,
		heal:  w.heal, undo: w.undo, over: w.over,
	}
}

func checkMaelstrom(c Config) error {
	if c.BasePort != 0 {
		return errors.New("its nodes have no ports: leave out --base-port")
	}
	return noHosts(c)
}

// validatePipes says why a cluster cannot run the nodes: those that speak on pipes, and no
// others, have a cluster of their own.
func (c Config) validatePipes(sys systems.System) error {
	piped, ofPipes := sys.Deployment().Piped, c.Cluster == systems.Maelstrom
	switch {
	case piped && !ofPipes:
		return fmt.Errorf("the nodes of %s speak on pipes of the checker, which starts them: "+
			"--cluster %s", sys.Name(), systems.Maelstrom)
	case ofPipes && !piped:
		return fmt.Errorf("cluster %s is for --system %s", c.Cluster, systems.Maelstrom)
	}
	return nil
}

// readMaelstrom takes the name of one of Maelstrom's workloads for what it stands for: what
// nodes understand, and which workload of this project judges that.
func (c *Config) readMaelstrom() error {
	if _, known := maelstrom.Named(c.Protocol); !known {
		c.Protocol = ""
		if p, ok := maelstrom.Named(c.Workload); ok {
			c.Protocol, c.Workload = p.Name, p.Workloads[0]
		}
	}
	if c.Bin == "" {
		return errors.New("system maelstrom: name the nodes' program: --bin ./mynode")
	}
	if len(c.Endpoints) == 0 && c.Cluster == Default().Cluster {
		c.Cluster = systems.Maelstrom
	}
	_, err := systems.New(c.systemOptions(""))
	return err
}

// said are the workload and the protocol as somebody would say them.
func (c Config) said() (workload, protocol string) {
	p, ok := maelstrom.Named(c.Protocol)
	if c.System == systems.Maelstrom && ok && slices.Index(p.Workloads, c.Workload) == 0 {
		return p.Name, ""
	}
	return c.Workload, c.Protocol
}

func startMaelstrom(ctx context.Context, l launch) (Cluster, error) {
	sys, err := systems.New(l.cfg.systemOptions(l.program))
	if err != nil {
		return nil, err
	}
	cfg := maelstromcluster.Config{
		Nodes: l.cfg.nodes(), Command: l.command, Dir: l.dir, Logger: l.logger, Seed: l.cfg.Seed,
		StartTimeout: l.deployment.ReadyWithin, Grace: l.deployment.StopWithin, Ledger: l.ledger,
		OnExit: l.onExit, OnTrouble: l.onTrouble,
	}
	if n, ok := sys.(systems.Neighborly); ok {
		var names []string
		for _, node := range cfg.Nodes {
			names = append(names, string(node))
		}
		if cfg.Topology, err = n.Neighbors(names); err != nil {
			return nil, err
		}
	}
	c, err := maelstromcluster.Start(ctx, cfg)
	if err != nil {
		return nil, err // not a Cluster that is a nil pointer
	}
	return c, nil
}

// binary is the nodes' program: the run's own copy, or what was named and stays where it is,
// because a script may need what lies beside it.
func (c Config) binary(own string) string { return cmp.Or(own, c.Bin) }
