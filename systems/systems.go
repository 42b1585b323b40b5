// Package systems says what is under test: how a node of the system is started,
// how a client talks to it, what it can do and what it promises. The reference cluster is
// one; any other is described in a file, without Go.
//
// A System knows nothing about how its nodes are run (that is the cluster's part)
// or about what goes wrong (the nemesis's part).
package systems

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/workload"
)

// NodeSpec is what a system is told about one of its nodes to be started.
type NodeSpec struct {
	Name string
	// Cluster names this run's cluster, so that messages of another one, at a port
	// that was used again, are recognized and dropped.
	Cluster string
	// DataDir is the node's own directory; it outlives restarts.
	DataDir string
	// Bind and PeerBind are the addresses to listen at, "127.0.0.1:0".
	Bind, PeerBind string
	// Peers maps every node of the cluster to the address at which this node
	// reaches it.
	Peers map[string]string
	// ReadyFile is written by the node when it serves.
	ReadyFile string
	// ClockFile sets the node's clock, where the system has such a seam.
	ClockFile string
	// DiskFile troubles the node's disk, where the system has such a seam.
	DiskFile string
	// Program is where the node's program is, if not where Options say.
	Program string
	// Tethered: the node is to end when its standard input does.
	Tethered bool
	Seed     uint64
	// Members are all nodes in their order, as they reach each other, this one among them;
	// nil where nodes report their addresses themselves.
	Members []Member
	// Files is the directory with the system's files; "" if it has none.
	Files string
	// Here: the node has the addresses of this machine.
	Here bool
}

// Member is a node as the others see it: host:port for clients and for nodes.
type Member struct{ Name, Client, Peer string }

// Deployment is what a system needs of the cluster that runs its nodes.
type Deployment struct {
	// Reporting nodes tell their addresses by a ready file, take messages of others as
	// datagrams from any address, and have the clock and disk files of
	// docs/target-api.md. Others listen where they are told, and are ready when they do.
	Reporting bool
	// Startable: the system says how a node is started.
	Startable bool
	// Setup: the system has to be prepared before it can be used, and is a Preparer.
	Setup bool
	// Piped nodes speak by their standard input and output, and have no addresses.
	Piped bool
	// Port and PeerPort are where nodes listen on hosts of their own; 0 is the cluster's
	// own choice.
	Port, PeerPort uint16
	// Files are files of this machine that every node gets.
	Files []string
	// Nodes is their number if nobody says another; 0 leaves it open.
	Nodes int
	// ReadyWithin and StopWithin bound a node's start and its end; 0 is the cluster's own
	// choice.
	ReadyWithin, StopWithin time.Duration
	// OpenWithin is how long a client may take to be opened; 0 is the time of an operation.
	OpenWithin time.Duration
}

// Status is what a node says about itself, as far as the harness uses it.
type Status struct {
	Node    string `json:"node"`
	Role    string `json:"role"`
	Primary bool   `json:"primary"`
	Leader  string `json:"leader"`
	// Epoch tells the node's starts apart.
	Epoch   int64    `json:"epoch"`
	Members []string `json:"members"`
	// Clock is nil where the system does not tell.
	Clock *ClockStatus `json:"clock"`
	// Counters only grow while the node runs: "syncs", "disk_delayed_syncs".
	Counters map[string]int64 `json:"counters"`
	// Details are the protocol's own.
	Details json.RawMessage `json:"details"`
}

// Shards returns the owners of the shards in their order, nil where the status tells
// of none.
func (s Status) Shards() []string {
	var d struct {
		Shards json.RawMessage `json:"shards"`
	}
	var owners []string
	if json.Unmarshal(s.Details, &d) != nil || json.Unmarshal(d.Shards, &owners) != nil {
		return nil
	}
	return owners
}

// ClockStatus is what a node's clocks show, in nanoseconds.
type ClockStatus struct {
	// WallError is how far its time of day is ahead of the machine's.
	WallError int64 `json:"wall_error_ns"`
	// Monotonic is its own measure of how long it runs, Running the true one.
	Monotonic int64 `json:"monotonic_ns"`
	Running   int64 `json:"running_ns"`
}

// System is one system under test. Its methods are safe for concurrent use.
type System interface {
	// Name is for people and store directories, "reference paxos".
	Name() string
	// Claim is the consistency that the system promises, in words.
	Claim() string
	// Available reports whether the system promises progress whenever a
	// majority is healthy and connected.
	Available() bool
	// HasPrimaries reports whether a node can lead, so that faults can aim at it.
	HasPrimaries() bool
	// Supports returns nil when the system can run these operations on this
	// kind of object, else an error that says in a sentence why not.
	Supports(object string, fs []history.F) error
	// Deployment is what the nodes need of the cluster.
	Deployment() Deployment
	// Command is the command line that runs one node in the foreground.
	Command(spec NodeSpec) ([]string, error)
	// Logs are patterns of a node's files that are to be kept, beside what it prints.
	Logs(spec NodeSpec) ([]string, error)
	// Others is a shell script that prints the pids of a node's processes which may be
	// outside the process group of its command; $1 is the pid that leads that.
	Others(spec NodeSpec) (string, error)
	// Workloads are the names of the workloads that test the claim, the first one
	// being the one to choose if nobody says another. What is not among them may
	// find what was never promised.
	Workloads() []string
	// Faults are the families of faults that the claim covers.
	Faults() []string
	// Promise is what a workload has to know of the claim, as far as it is about it.
	Promise(workload string) workload.Promise
	// Open makes a client of the node at endpoints[0], host:port. The others are
	// for clients that move between nodes.
	Open(ctx context.Context, endpoints []string, object string) (workload.Client, error)
	// Status asks the node at endpoint, and fails unless it serves.
	Status(ctx context.Context, endpoint string) (Status, error)
	// Probe does one real operation at endpoint, one that changes nothing, and
	// fails unless the system serves it.
	Probe(ctx context.Context, endpoint string) error
	// Version describes the program under test. It fails with ErrOptions when the
	// program cannot be what the options ask for.
	Version(ctx context.Context) (string, error)
}

// Operator is a System that can be told to change itself. Each order goes to the node
// at endpoint and returns nil when that has answered that it is done; after any error
// that history.Definite does not wrap it may be done all the same.
type Operator interface {
	// Orders lists those that it takes: "transfer", "remove-member", "add-member",
	// "move".
	Orders() []string
	// Transfer hands leadership over to a node.
	Transfer(ctx context.Context, endpoint, to string) error
	// Remove takes a node out of the cluster's members, Add takes it in again.
	Remove(ctx context.Context, endpoint, node string) error
	Add(ctx context.Context, endpoint, node string) error
	// Move gives a shard, counted from 0, to a node.
	Move(ctx context.Context, endpoint string, shard int, to string) error
}

// Preparer is a System that something has to be done to before it can be used, once it runs:
// tables are made, a cluster is formed.
type Preparer interface {
	// Prepare does it through the node at endpoint. It is called for one node after the other
	// until it returns nil, so that it may be done more than once.
	Prepare(ctx context.Context, endpoint string) error
}

// Neighborly is a System whose nodes are told, after each start, who is whose neighbor; nil:
// they are not.
type Neighborly interface {
	Neighbors(nodes []string) (map[string][]string, error)
}

// Libc is a System whose program asks libc for the time and has no clock file: its clocks
// are bent by libfaketime, where nodes have hosts, and measured there.
type Libc interface {
	Libc() bool
}

// Options choose and set up a system.
type Options struct {
	// System is a name of Names, or the path of a declaration: see IsFile.
	System string
	// Declaration is the text of that declaration; empty: it is read from its file.
	Declaration string
	// Settings are those of a system that the checker knows by name (see Natives), or of a
	// declaration.
	Settings map[string]string
	// Protocol and Bug are the reference cluster's; of nodes of Maelstrom Protocol is
	// Maelstrom's workload.
	Protocol, Bug string
	// Faults are the families of faults that are named.
	Faults []string
	// Binary is the program of a node.
	Binary string
	// RequestTimeout is how long a node may work on a request, "1s".
	RequestTimeout string
	// TxnPause makes one interactive transaction in four pause for up to this long
	// between two of its requests, but not under WithoutRests.
	TxnPause time.Duration
	// Transport, if not nil, leads to nodes that no network of this machine leads to.
	Transport Transport
	// Messages, if not nil, is the network of nodes that have no addresses.
	Messages maelstrom.Network
}

// Transport carries the requests of clients. An *http.Transport is one.
type Transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// ErrUnknown is returned for a system that does not exist, ErrOptions when the
// program of the nodes knows better than the harness that options are wrong.
var (
	ErrUnknown = errors.New("unknown system")
	ErrOptions = errors.New("wrong option")
)

// Names lists the systems.
func Names() []string {
	names := []string{referenceName}
	for _, s := range Natives() {
		names = append(names, s.Name)
	}
	return append(names, Maelstrom)
}

// referenceName is the name of the reference cluster.
const referenceName = "reference"

// IsDeclared reports whether a system is one that is declared, by a user or by the checker:
// its nodes are none of the project's own programs, and it speaks no protocol of the
// reference cluster.
func IsDeclared(system string) bool {
	_, known := Native(system)
	return known || IsFile(system)
}

// IsFile reports whether a system's name is the path of its declaration.
func IsFile(system string) bool {
	return strings.HasSuffix(system, ".yaml") || strings.HasSuffix(system, ".yml")
}

// New returns the system that the options name.
func New(opts Options) (System, error) { return newOf(Natives(), opts) }

// newOf is New with these native systems.
func newOf(natives []native.System, opts Options) (System, error) {
	if s, ok := nativeOf(natives, opts.System); ok {
		return newNative(s, opts.Settings)
	}
	if opts.System == Maelstrom {
		return newMaelstrom(opts)
	}
	if opts.System != referenceName && !IsFile(opts.System) {
		return nil, fmt.Errorf("system %q: %w; there is %s, or a file that describes one, "+
			"mykv.yaml (checker init makes one)", opts.System, ErrUnknown, strings.Join(Names(), ", "))
	}
	if IsFile(opts.System) {
		text := []byte(opts.Declaration)
		if len(text) == 0 {
			var err error
			if text, err = os.ReadFile(opts.System); err != nil {
				return nil, fmt.Errorf("system: %w", err)
			}
		}
		d, err := declare.Load(opts.System, text, opts.Settings)
		if err != nil {
			return nil, err
		}
		return declared{d}, nil
	}
	if err := noSettings(opts); err != nil {
		return nil, err
	}
	return newReference(opts)
}
