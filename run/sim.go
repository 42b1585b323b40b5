package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ordeal-dev/ordeal/cluster/sim"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// simWay computes nodes, network, clocks and disks in this process.
func simWay() way {
	return way{
		name: "sim",
		doc: "the reference cluster in this process, in virtual time: hundreds of seconds a " +
			"second, and the same seed gives the same history, byte for byte",
		virtual: true,
		check:   checkSim,
		lacks:   noInjuries,
		start:   startSim,
		heal:    func(context.Context, remains) ([]string, error) { return nil, nil },
		undo:    func(string, nemesis.OutstandingFault) error { return nil },
		over:    "the cluster was a part of its checker, and ended with it",
	}
}

func checkSim(c Config) error {
	if c.System != "reference" {
		return fmt.Errorf("only the reference cluster can be simulated, not %s", c.System)
	}
	if c.BasePort != 0 {
		return errors.New("its nodes have no ports: leave out --base-port")
	}
	return errors.Join(noHosts(c), sim.Check(c.Protocol, c.Bug))
}

// simulated is a simulated cluster with the files of its nodes' logs.
type simulated struct {
	*sim.Cluster
	// logs are written to line by line: the report reads them while the cluster is there.
	logs map[nemesis.Node]*os.File
}

func startSim(ctx context.Context, l launch) (Cluster, error) {
	s := &simulated{logs: map[nemesis.Node]*os.File{}}
	for _, n := range l.cfg.nodes() {
		dir := filepath.Join(l.dir, nodesDir, string(n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("log of %s: %w", n, err), s.closeLogs())
		}
		f, err := os.Create(filepath.Join(dir, "node.log"))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("log of %s: %w", n, err), s.closeLogs())
		}
		s.logs[n] = f
	}
	c, err := sim.Start(ctx, sim.Config{
		Protocol: l.cfg.Protocol, Bug: l.cfg.Bug, Nodes: l.cfg.nodes(), Seed: l.cfg.Seed,
		RequestTimeout: l.cfg.RequestTimeout, OnExit: l.onExit,
		Log: func(n nemesis.Node, line string) { _, _ = fmt.Fprintln(s.logs[n], line) },
	})
	if err != nil {
		return nil, errors.Join(err, s.closeLogs())
	}
	s.Cluster = c
	return s, nil
}

// Close implements Cluster.
func (s *simulated) Close(ctx context.Context) error {
	return errors.Join(s.Cluster.Close(ctx), s.closeLogs())
}

func (s *simulated) closeLogs() error {
	var errs []error
	for _, l := range s.logs {
		errs = append(errs, l.Close())
	}
	s.logs = nil
	return errors.Join(errs...)
}
