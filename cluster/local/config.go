package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Config says what cluster to run.
type Config struct {
	// Nodes are the nodes' names. A name becomes a directory.
	Nodes []nemesis.Node
	// Command returns the argument vector that starts a node. It must contain
	// NodeSpec.DataDir, by which the node's process is known again after a crash
	// of the harness. It is called once for each start.
	Command func(cluster.NodeSpec) []string
	// Dir is the store directory of the run: node n gets Dir/nodes/n with its
	// log node.log, its directory data, and small files of the harness.
	Dir string
	// Logger hears of starts, stops and surprises; nil discards them.
	Logger *slog.Logger
	// StartTimeout bounds the time from a node's start to its ready file; 0
	// means 10 s.
	StartTimeout time.Duration
	// Grace is how long Close waits for a node between SIGTERM and SIGKILL; 0
	// means 1 s.
	Grace time.Duration
	// Seed decides the random choices of the relays and the nodes' seeds.
	Seed uint64
	// Assigned nodes listen at the addresses that they are told, reach each other without
	// relays, and report nothing: one is ready when it takes a connection from a client,
	// and after its first start as soon as it runs.
	Assigned bool
	// Others, if not nil, is a shell script that prints the pids of the node's processes
	// beside those in its process group: $1 is the leader of that. They get the signals of
	// faults, too.
	Others func(cluster.NodeSpec) string
	// Attach, if not nil, makes nodes speak by their standard input and output, which are
	// pipes of the harness, and by nothing else: there are no relays and no ports. It is
	// called after each start and returns nil when the node is ready. Its context ends with
	// the process, or when that took too long, and the cause says so. Nodes are Assigned.
	Attach func(context.Context, nemesis.Node, Pipes) error
	// Logs, if not nil, are patterns of the node's files that are kept in the store beside
	// what it prints.
	Logs func(cluster.NodeSpec) []string
	// Files is the directory with the system's files; "" if there are none.
	Files string
	// BasePort, if not 0, makes all ports fixed: with n nodes, n client endpoints
	// from BasePort on, then n HTTP ports, n peer ports and n*n relays.
	BasePort int
	// Ledger records every process; nil records nothing.
	Ledger cluster.ProcessLog
	// OnExit, if not nil, is called when a node has exited that nobody killed. It
	// must not block, and not call Close.
	OnExit func(cluster.Exit)
}

// Pipes are the ends of a process's standard input and output that the harness has. In is
// closed when the process is gone; whoever reads Out closes it.
type Pipes struct {
	In, Out *os.File
	// Gone is closed when the process is gone. Another one may still hold its output open.
	Gone <-chan struct{}
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(format, args...))
	}
	if len(c.Nodes) == 0 {
		bad("no nodes")
	}
	seen := make(map[nemesis.Node]bool)
	for _, n := range c.Nodes {
		switch {
		case n == "" || n == "." || n == ".." || strings.ContainsAny(string(n), "/\\\x00 "):
			bad("node name %q cannot be a directory name", n)
		case n == nemesis.Clients:
			bad("node name %q is reserved", n)
		case seen[n]:
			bad("node %s is named twice", n)
		}
		seen[n] = true
	}
	if c.Command == nil {
		bad("no command to start a node")
	}
	if c.Dir == "" {
		bad("no directory")
	}
	if c.Attach != nil && (!c.Assigned || c.BasePort != 0) {
		bad("attached nodes report nothing and have no ports")
	}
	if c.StartTimeout < 0 || c.Grace < 0 {
		bad("negative start timeout %v or grace %v", c.StartTimeout, c.Grace)
	}
	last := c.BasePort + portPlan{base: c.BasePort, n: len(c.Nodes)}.size() - 1
	if c.BasePort < 0 || last > 65535 {
		bad("base port %d: ports up to %d are needed", c.BasePort, last)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("local cluster: %w", err)
	}
	return nil
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 10 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = time.Second
	}
	if c.Ledger == nil {
		c.Ledger = noLedger{}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("local cluster: %w", err)
	}
	c.Dir = dir
	return c, nil
}

type noLedger struct{}

func (noLedger) ProcessStarting(nemesis.Node, string) error { return nil }
func (noLedger) ProcessStarted(nemesis.ProcessRecord) error { return nil }
func (noLedger) ProcessEnded(nemesis.ProcessRecord) error   { return nil }
