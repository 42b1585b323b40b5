// Package world runs all nodes of a reference cluster in one process and in virtual time,
// and is driven from outside: whoever opens it carries the datagrams, asks the nodes what
// clients ask, kills and pauses them, bends their clocks and troubles their disks.
//
// A node here is a node of target/server without the operating system: the same machines
// in the same loop (gather inputs, let the machine digest them, make durable what must
// be, let messages and then replies leave), the same log over a disk of which a kill
// loses what was not synced, the same clock, the same bodies of requests and answers. All
// that a machine does takes no time; what takes time are the disk and the network.
//
// It differs from target/sim, which is below the protocols and serves their own tests:
// that one brings its clients and faults along, and looks into the machines. This one
// shows its user only what a process would show.
package world

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/catalog"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/server"
)

// Config is a cluster to be opened.
type Config struct {
	Protocol string
	// Bug is the one to be planted, "" for none.
	Bug string
	// Nodes are their names; a node is known by its index here.
	Nodes []string
	// Seed decides the choices of the machines and how long disks take.
	Seed uint64
	// RequestTimeout is how long a node works on a request.
	RequestTimeout time.Duration
	// Carry takes a datagram of so many bytes from one node to another: it calls deliver
	// when, and as often as, one arrives.
	Carry func(from, to, size int, deliver func())
	// Exited is told of a node that ended without being killed.
	Exited func(node int, status, words string)
	// Log gets what a node says.
	Log func(node int, line string)
}

// Check says why there is no such cluster.
func Check(protocol, planted string) error {
	if _, err := catalog.Lookup(protocol); err != nil {
		return err
	}
	_, err := bug.Parse(planted, protocol)
	return err
}

// Cluster is nodes in a virtual world. Its methods are called from within that.
type Cluster struct {
	cfg     Config
	world   *vtime.World
	factory catalog.Factory
	bugs    bug.Set
	members []protocol.NodeID
	nodes   []*node
	pids    int
	// scratch is the payload of the message that a machine is looking at.
	scratch []byte
}

// Open makes a cluster of which no node runs.
func Open(w *vtime.World, cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, world: w}
	var err error
	if c.factory, err = catalog.Lookup(cfg.Protocol); err != nil {
		return nil, err
	}
	if c.bugs, err = bug.Parse(cfg.Bug, cfg.Protocol); err != nil {
		return nil, err
	}
	for i, name := range cfg.Nodes {
		c.members = append(c.members, protocol.NodeID(name))
		c.nodes = append(c.nodes, newNode(c, i, protocol.NodeID(name)))
	}
	slices.Sort(c.members)
	return c, nil
}

// newNode makes a node that has never run.
func newNode(c *Cluster, i int, id protocol.NodeID) *node {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "disk %s", id)
	return &node{
		c: c, index: i, id: id, disk: newDisk(),
		rng: rand.New(rand.NewPCG(c.cfg.Seed, h.Sum64())),
	}
}

// wallEpoch is the time of day at which every virtual world begins.
const wallEpoch = 1_700_000_000

// time is what a true clock shows.
func (c *Cluster) time() time.Time { return time.Unix(wallEpoch, 0).Add(c.world.Now()) }

// ErrRuns and ErrDown say that a node is not in the state that an action wants.
var (
	ErrRuns = errors.New("it runs")
	ErrDown = errors.New("it does not run")
)

// Start starts a node that is down. The error is that of a node that refuses to.
func (c *Cluster) Start(i int) error {
	n := c.nodes[i]
	if n.machine != nil {
		return nil
	}
	return n.start()
}

// Kill ends a node as SIGKILL does.
func (c *Cluster) Kill(i int) { c.nodes[i].kill() }

// Pause stops a node as SIGSTOP does.
func (c *Cluster) Pause(i int) { c.nodes[i].paused = c.nodes[i].machine != nil }

// Resume lets a paused node go on.
func (c *Cluster) Resume(i int) { c.nodes[i].resume() }

// State returns the number of the node's process, 0 while it is down, and whether it is
// paused.
func (c *Cluster) State(i int) (pid int, paused bool) {
	n := c.nodes[i]
	if n.machine == nil {
		return 0, false
	}
	return n.pid, n.paused
}

// SetClock bends the clocks of a node by the content of a clock file, also over its
// restarts; none makes them true.
func (c *Cluster) SetClock(i int, content []byte) error {
	s, err := server.ParseSetting(content)
	if err != nil {
		return err
	}
	n := c.nodes[i]
	n.bent = s
	if n.machine != nil {
		n.clock.Set(s)
	}
	return nil
}

// SetDisk troubles the disk of a node by the content of a disk file, also over its
// restarts; none makes it sound.
func (c *Cluster) SetDisk(i int, content []byte) error {
	t, err := server.ParseDisk(content)
	if err != nil {
		return err
	}
	n := c.nodes[i]
	n.disk.trouble = t
	if n.machine != nil {
		n.disk.wal.Set(t)
	}
	return nil
}

// Newest returns the log to which a node that is down wrote last.
func (c *Cluster) Newest(i int) (name string, content []byte, err error) {
	n := c.nodes[i]
	if n.machine != nil {
		return "", nil, ErrRuns
	}
	name, content = n.disk.platter.Newest()
	return name, content, nil
}

// SetByte changes a byte on the disk of a node that is down, if it was as expected.
func (c *Cluster) SetByte(i int, name string, at int64, was, is byte) error {
	n := c.nodes[i]
	if n.machine != nil {
		return ErrRuns
	}
	n.disk.platter.SetByte(name, at, was, is)
	return nil
}

// Wipe takes away everything on the disk of a node that is down, and returns how many
// bytes that was.
func (c *Cluster) Wipe(i int) (int64, error) {
	n := c.nodes[i]
	if n.machine != nil {
		return 0, ErrRuns
	}
	lost := n.disk.platter.Size()
	trouble := n.disk.trouble
	n.disk = newDisk()
	n.disk.trouble = trouble
	return lost, nil
}

// say writes a line of a node's log.
func (c *Cluster) say(n *node, format string, args ...any) {
	if c.cfg.Log != nil {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
		c.cfg.Log(n.index, fmt.Sprintf("%v %s", c.world.Now(), text))
	}
}
