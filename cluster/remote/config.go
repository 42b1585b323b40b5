package remote

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Config says what cluster to run.
type Config struct {
	// Shell reaches the nodes. It stays open after Close.
	Shell Shell
	Hosts []Host
	// Controls are the addresses from which clients come, as the nodes see them. The
	// links from and to clients are cut by them and by the system's client port, so
	// that the controller's own way to the node stays open.
	Controls []netip.Addr
	// Run names the run on the nodes' disks and in their firewalls: 1 to 10 small
	// letters and digits, that no other run on these hosts has.
	Run string
	// Root is the directory on the nodes below which the run has its own; "" is
	// /var/lib/ordeal.
	Root string
	// Dir is the store directory of the run, where the logs go.
	Dir string
	// Command returns the argument vector that starts a node. It must contain
	// NodeSpec.DataDir, by which the node's process is known.
	Command func(cluster.NodeSpec) []string
	// Program is put on the nodes and named in NodeSpec.Program; empty: it is there
	// already.
	Program []byte
	// Files are put into a directory of each node that is named in NodeSpec.Files; their
	// paths are names.
	Files []File
	// Others, if not nil, is a shell script that prints the pids of the node's processes
	// beside those in its process group: $1 is the leader of that. They get the signals of
	// faults, too.
	Others func(cluster.NodeSpec) string
	// Logs, if not nil, are patterns of the node's files that are kept in the store beside
	// what it prints. They are taken by a shell.
	Logs func(cluster.NodeSpec) []string
	// Agent is the checker's own program, which does to packets what a firewall cannot;
	// without it links can be cut and lossy, and nothing else.
	Agent []byte
	// Faketime says that the nodes' program is one of libc that has no seam of its own for
	// clocks: it is started under libfaketime, which has to be on the hosts, and its time of
	// day is bent and measured through that.
	Faketime bool
	// MemoryGroups puts each node's processes, whenever they start, into a control group in
	// which their memory can be limited. It takes an Agent.
	MemoryGroups bool
	// ClientPort and PeerPort are the system's, ProbePort (UDP) is for looking whether
	// links deliver; 0 is 7000, 7001 and 7009.
	ClientPort, PeerPort, ProbePort uint16
	// Ports, if there are any, are the ports to which faults of links between nodes are
	// limited; without any they concern everything that the nodes send each other.
	Ports []uint16
	// StartTimeout bounds the time from a node's start to its ready file; 0: 10 s.
	StartTimeout time.Duration
	// Grace is how long Close waits for a node between SIGTERM and SIGKILL; 0: 1 s.
	Grace time.Duration
	// Seed decides the nodes' seeds.
	Seed   uint64
	Ledger Ledger
	// Logger hears of starts, stops and surprises; nil discards them.
	Logger *slog.Logger
	// OnExit, if not nil, is called when a node has exited that nobody killed. It
	// must not block, and not call Close.
	OnExit func(cluster.Exit)
	// OnTrouble, if not nil, is told in a sentence what makes faults prove nothing, such
	// as the end of an agent. It must not block.
	OnTrouble func(string)
}

// Ledger is where everything is written down before it is made on a node, so that
// Heal finds it. *nemesis.Ledger is one.
type Ledger interface {
	cluster.ProcessLog
	ResourceMaking(nemesis.Resource) error
	ResourceGone(nemesis.Resource) error
}

// runName is what fits into the name of a chain, and into a path without quotes.
var runName = regexp.MustCompile(`^[a-z0-9]{1,10}$`)

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Shell == nil {
		bad("no shell")
	}
	if len(c.Hosts) == 0 {
		bad("no hosts")
	}
	errs = append(errs, validateHosts(c.Hosts))
	if len(c.Controls) == 0 {
		bad("no address from which clients come")
	}
	if !runName.MatchString(c.Run) {
		bad("name of the run %q: want 1 to 10 small letters and digits", c.Run)
	}
	if c.Root != "" && (!path.IsAbs(c.Root) || path.Clean(c.Root) != c.Root || c.Root == "/") {
		bad("directory on the nodes %q: want a clean absolute path", c.Root)
	}
	if c.Dir == "" {
		bad("no store directory")
	}
	if c.Command == nil {
		bad("no command to start a node")
	}
	if c.StartTimeout < 0 || c.Grace < 0 {
		bad("negative start timeout %v or grace %v", c.StartTimeout, c.Grace)
	}
	if c.MemoryGroups && len(c.Agent) == 0 {
		bad("no agent to make groups in which memory is limited")
	}
	if c.Ledger == nil {
		bad("no ledger")
	}
	return errors.Join(errs...)
}

func validateHosts(hosts []Host) error {
	var errs []error
	names, addrs := map[nemesis.Node]bool{}, map[netip.Addr]nemesis.Node{}
	for _, h := range hosts {
		switch {
		case !nodeName.MatchString(string(h.Node)) || h.Node == nemesis.Clients:
			errs = append(errs, fmt.Errorf("node name %q: want letters, digits, . - _", h.Node))
		case names[h.Node]:
			errs = append(errs, fmt.Errorf("node %s is named twice", h.Node))
		case len(h.Addrs) == 0:
			errs = append(errs, fmt.Errorf("node %s has no address", h.Node))
		}
		names[h.Node] = true
		for _, a := range h.Addrs {
			if other, taken := addrs[a]; taken {
				errs = append(errs, fmt.Errorf("%s and %s have the same address %s", other, h.Node, a))
			}
			addrs[a] = h.Node
		}
	}
	return errors.Join(errs...)
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$`)

func (c Config) withDefaults() Config {
	c.Root = cmp.Or(c.Root, "/var/lib/ordeal")
	c.ClientPort = cmp.Or(c.ClientPort, defaultClientPort)
	c.PeerPort = cmp.Or(c.PeerPort, 7001)
	c.ProbePort = cmp.Or(c.ProbePort, 7009)
	c.StartTimeout = cmp.Or(c.StartTimeout, 10*time.Second)
	c.Grace = cmp.Or(c.Grace, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// directory is the node's own on its host.
func (c Config) directory(n nemesis.Node) string {
	return path.Join(c.Root, c.Run, string(n))
}

// chain is the common beginning of the names of the run's chains.
func (c Config) chain() string { return chainPrefix + strings.ToUpper(c.Run) }

const (
	chainPrefix       = "ORDEAL-"
	defaultClientPort = 7000
)
