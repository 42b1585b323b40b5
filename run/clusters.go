package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
)

// Cluster is what a run needs of the nodes, however they are run.
type Cluster interface {
	nemesis.Network
	nemesis.Processes
	// SetClock and the others are those parts of nemesis.Clocks and nemesis.Disks that
	// are done to a node; what it shows of them is asked through the system.
	SetClock(ctx context.Context, n nemesis.Node, s nemesis.ClockSetting) error
	SetDisk(ctx context.Context, n nemesis.Node, s nemesis.DiskSetting) error
	FlipBit(ctx context.Context, n nemesis.Node, place float64) (string, error)
	Unflip(ctx context.Context, n nemesis.Node) error
	Wipe(ctx context.Context, n nemesis.Node) (int64, error)
	// Endpoint is the host:port at which clients reach the node, the same for the life
	// of the cluster.
	Endpoint(n nemesis.Node) string
	// DirectEndpoint is the host:port at which the harness asks the node itself, past
	// all faults of the network where the cluster can do that; "" while it is down.
	DirectEndpoint(n nemesis.Node) string
	// Close ends all nodes and takes away all that was made for them. It has a limit of
	// its own.
	Close(ctx context.Context) error
}

// launch is what a way of running nodes is told to start a cluster.
type launch struct {
	cfg Config
	// dir is the run's directory, program the nodes' program in it.
	dir, program string
	// files is the directory with the system's own files, "" if it has none.
	files string
	// deployment is what the nodes need, others finds those of their processes that their
	// command does not lead; nil if there are none.
	deployment systems.Deployment
	others     func(cluster.NodeSpec) string
	logs       func(cluster.NodeSpec) []string
	command    func(cluster.NodeSpec) []string
	// libc: clocks are bent by libfaketime.
	libc bool
	// memory: the nodes' memory is to be limited.
	memory bool
	ledger *nemesis.Ledger
	logger *slog.Logger
	onExit func(cluster.Exit)
	// say tells the user something.
	say func(format string, args ...any)
	// onTrouble is told what makes faults prove nothing.
	onTrouble func(string)
}

// settler is where healing tells what is gone. A *nemesis.Ledger is one.
type settler interface {
	cluster.ProcessLog
	ResourceMaking(nemesis.Resource) error
	ResourceGone(nemesis.Resource) error
}

// remains is what is left of a run whose checker is gone.
type remains struct {
	cfg    Config
	dir    string
	left   nemesis.Outstanding
	ledger settler
}

// way is a way of running nodes.
type way struct {
	name, doc string
	// virtual: nodes and time are computed, in this process.
	virtual bool
	// elsewhere: nodes have the programs of their hosts, not those of this machine.
	elsewhere bool
	// check says why this machine, or the configuration, does not do for it.
	check func(Config) error
	// lacks says what faults it cannot do.
	lacks func(Config) nemesis.Lacks
	// lacksPlain is what it cannot do to nodes that do not report their addresses, beside
	// that.
	lacksPlain nemesis.Lacks
	start      func(ctx context.Context, l launch) (Cluster, error)
	// heal takes away what is left and says in words what it was. After it no process of
	// the run lives, and no link is disturbed.
	heal func(ctx context.Context, r remains) ([]string, error)
	// reach reaches the hosts for a doctor; nil where nodes have none.
	reach func(ctx context.Context, c Config) (reached, error)
	// undo takes back what a fault has done to files that outlive the cluster.
	undo func(dir string, f nemesis.OutstandingFault) error
	// over says why a fault is over once heal is done.
	over string
}

// ways are all ways of running nodes, the default one first.
func ways() []way {
	return []way{
		localWay(), netnsWay(), composeWay(), sshWay(), existingWay(), simWay(), maelstromWay(),
	}
}

// ClusterDoc describes a way of running nodes to a person.
type ClusterDoc struct{ Name, Doc string }

// Clusters lists the ways of running nodes.
func Clusters() []ClusterDoc {
	var out []ClusterDoc
	for _, w := range ways() {
		out = append(out, ClusterDoc{Name: w.name, Doc: w.doc})
	}
	return out
}

func wayNamed(name string) (way, error) {
	var names []string
	for _, w := range ways() {
		if w.name == name {
			return w, nil
		}
		names = append(names, w.name)
	}
	return way{}, fmt.Errorf("cluster %q: unknown; there is %s", name, strings.Join(names, ", "))
}

// elsewhere reports whether the programs that nodes run are not those of this machine.
func (c Config) elsewhere() bool {
	w, err := wayNamed(c.Cluster)
	return err == nil && w.elsewhere
}

// validateCluster says why the nodes cannot be run so.
func (c Config) validateCluster() error {
	w, err := wayNamed(c.Cluster)
	if err != nil {
		return err
	}
	err = w.check(c)
	if c.SSHD && c.Cluster != "netns" {
		err = errors.Join(err, errors.New("--sshd is of cluster netns"))
	}
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.Cluster, err)
	}
	return nil
}

// noSettler forgets what it is told: after a panic the ledger is left to heal.
type noSettler struct{}

func (noSettler) ProcessStarting(nemesis.Node, string) error { return nil }
func (noSettler) ProcessStarted(nemesis.ProcessRecord) error { return nil }
func (noSettler) ProcessEnded(nemesis.ProcessRecord) error   { return nil }
func (noSettler) ResourceMaking(nemesis.Resource) error      { return nil }
func (noSettler) ResourceGone(nemesis.Resource) error        { return nil }

var _ settler = (*nemesis.Ledger)(nil)

// noHosts refuses addresses of hosts where nodes have none.
func noHosts(c Config) error {
	if len(c.Hosts) > 0 || c.NodesFile != "" {
		return errors.New("its nodes have no hosts of their own: leave out --hosts and --nodes-file")
	}
	return nil
}
