package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/internal/timers"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Factory makes one node's machine, from what its disk holds.
type Factory func(protocol.Config) (protocol.Machine, error)

// Options say what to run. New is required; everything else has a default.
type Options struct {
	// Seed decides the whole run.
	Seed uint64
	// New makes a machine. It is called again at each restart of a node.
	New Factory
	// Bugs are planted in every node. bug.NoFsync is carried out here: records
	// are written but never synced.
	Bugs bug.Set
	// Nodes is the size of the cluster; 0 lets the seed choose 3, 4 or 5.
	Nodes int
	// Clients work concurrently, one operation each at a time; default 5.
	Clients int
	// Ops is how many operations the clients issue while there are faults;
	// default 200.
	Ops int
	// Generate makes the clients' requests; default Registers(3).
	Generate Generator
	// Dialogs, if set, takes the place of Generate: each call begins a dialog of
	// several requests, and Ops counts dialogs. n counts them from 1.
	Dialogs func(rng *rand.Rand, n int) Dialog
	// Final, if set, returns what makes the dialogs that have to succeed at every
	// node after healing, beside one of Dialogs. One that fails is made anew.
	Final func(*Cluster) []func() Dialog
	// Sessions makes each client open a session, number its requests, and
	// repeat those whose outcome it does not know.
	Sessions bool
	// Faults is what goes wrong; nil lets the seed choose, see Swarm.
	Faults *Faults
	// More are kinds of faults that come beside those of Faults.
	More []FaultKind
	// RequestTimeout is given to the machines; default 1 s.
	RequestTimeout time.Duration
	// ClientTimeout is when a client stops waiting; default 1.5 RequestTimeout.
	ClientTimeout time.Duration
	// TickInterval is the time between two ticks of a node, on its own clock;
	// default 20 ms.
	TickInterval time.Duration
	// Recovery is the virtual time after healing within which every node must
	// serve again; default 20 s.
	Recovery time.Duration
	// Log sends the records of each node through a real log (package wal) on a
	// virtual disk, so that what is wrong with logs and disks can be seen.
	Log bool
	// Salvages says that the machines can go on from a damaged log.
	Salvages bool
	// Observe sees every event as it happens. It must not keep the pointer.
	Observe func(*Cluster, *Event)
	// Check is asked after every step; an error ends the run.
	Check func(*Cluster) error
	// AtEnd are asked in turn when the cluster has come to rest.
	AtEnd []func(*Cluster) error
	// Describe prints a payload in the tail of a failure; default: its length.
	Describe func(payload []byte) string
	// Tail is how many events a failure shows; default 60.
	Tail int
}

func (o *Options) setDefaults() {
	orDuration(&o.RequestTimeout, time.Second)
	orDuration(&o.ClientTimeout, o.RequestTimeout*3/2)
	orDuration(&o.TickInterval, 20*time.Millisecond)
	orDuration(&o.Recovery, 20*time.Second)
	orInt(&o.Clients, 5)
	orInt(&o.Ops, 200)
	orInt(&o.Tail, 60)
	if o.Generate == nil {
		o.Generate = Registers(3)
	}
	if o.Describe == nil {
		o.Describe = func(p []byte) string { return fmt.Sprintf("%d bytes", len(p)) }
	}
}

func orDuration(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

func orInt(n *int, otherwise int) {
	if *n == 0 {
		*n = otherwise
	}
}

// maxSteps ends a run that makes no progress in virtual time.
const maxSteps = 5_000_000

// Cluster is a run in progress, as hooks see it.
type Cluster struct {
	opts   Options
	faults Faults
	rng    *rand.Rand // network, disks and faults
	ask    *rand.Rand // clients, so that faults do not change what is asked
	now    time.Duration
	queue  timers.Queue
	nodes  []*Node
	links  [][]link // links[from][to]
	trace  tracer
	counts map[FaultKind]int

	clients []*client
	ops     []*Op
	calls   map[Attempt]*call
	issued  int
	healed  bool
	healAt  time.Duration
	final   []probe
	open    int // probes not answered yet
	done    bool
	failure error
	scratch []byte
}

// Now is the virtual time since the start of the run.
func (c *Cluster) Now() time.Duration { return c.now }

// Nodes lists the nodes in the order of the configured members.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Node returns the node with the id; it panics if there is none.
func (c *Cluster) Node(id protocol.NodeID) *Node {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	panic("sim: no node " + string(id))
}

// Ops lists the operations so far, in the order of their calls. The entries of
// operations under way have no Return yet.
func (c *Cluster) Ops() []*Op { return c.ops }

// Healed reports whether the run has reached its second part, without faults.
func (c *Cluster) Healed() bool { return c.healed }

// Trace is what a run leaves behind.
type Trace struct {
	Seed  uint64
	Nodes int
	// Hash covers every event with its time and content: equal hashes mean that
	// two runs were the same.
	Hash uint64
	// Steps and Events count what happened, Time is how long it took in virtual
	// time.
	Steps, Events int
	Time          time.Duration
	// Ops is the clients' history.
	Ops []*Op
	// Faults is the mix that was used, Injected how often each kind came.
	Faults   Faults
	Injected map[FaultKind]int
	// Tail are the last events, readable.
	Tail []string
}

// Failure is the error of a run that went wrong.
type Failure struct {
	Seed uint64
	Step int
	Time time.Duration
	Err  error
	Tail []string
}

// Error tells what is wrong, where, and what happened just before.
func (f *Failure) Error() string {
	msg := fmt.Sprintf("sim: seed %d, step %d, %v: %v\nlast events:", f.Seed, f.Step, f.Time, f.Err)
	for _, line := range f.Tail {
		msg += "\n  " + line
	}
	return msg
}

// Unwrap returns what a hook reported.
func (f *Failure) Unwrap() error { return f.Err }

// Run runs one seed. The error, if any, is a *Failure; the trace is valid with
// it, too, and shows the run up to there. A panic of a machine is a failure.
func Run(opts Options) (*Trace, error) {
	opts.setDefaults()
	if opts.New == nil {
		return nil, errors.New("sim: Options.New is required")
	}
	c := newCluster(opts)
	c.run()
	tr := &Trace{
		Seed: opts.Seed, Nodes: len(c.nodes), Hash: c.trace.hash, Steps: c.trace.steps,
		Events: c.trace.events, Time: c.now, Ops: c.ops, Faults: c.faults,
		Injected: c.counts, Tail: c.trace.tail(opts.Describe),
	}
	if c.failure != nil {
		return tr, &Failure{
			Seed: opts.Seed, Step: c.trace.steps, Time: c.now, Err: c.failure, Tail: tr.Tail,
		}
	}
	return tr, nil
}

func newCluster(opts Options) *Cluster {
	c := &Cluster{
		opts:   opts,
		rng:    rand.New(rand.NewPCG(opts.Seed, 0x5eed)),
		ask:    rand.New(rand.NewPCG(opts.Seed, 0xa5c)),
		calls:  map[Attempt]*call{},
		counts: map[FaultKind]int{},
		trace:  tracer{hash: hashStart, ring: make([]Event, 0, opts.Tail)},
	}
	if c.opts.Nodes == 0 {
		c.opts.Nodes = 3 + c.rng.IntN(3)
	}
	c.faults = Swarm(c.rng)
	if opts.Faults != nil {
		c.faults = *opts.Faults
	}
	c.faults.Kinds = slices.Concat(c.faults.Kinds, opts.More)
	c.faults.setDefaults()
	members := make([]protocol.NodeID, c.opts.Nodes)
	for i := range members {
		members[i] = protocol.NodeID(fmt.Sprintf("n%d", i+1))
	}
	c.links = make([][]link, len(members))
	for i, id := range members {
		c.links[i] = make([]link, len(members))
		c.nodes = append(c.nodes, &Node{id: id, index: i, members: members})
	}
	for i := range c.opts.Clients {
		c.clients = append(c.clients, &client{index: i, process: i})
	}
	return c
}

// run works off the queue until the run is over or something is wrong.
func (c *Cluster) run() {
	defer func() {
		if p := recover(); p != nil {
			c.failure = fmt.Errorf("panic: %v", p)
		}
	}()
	for _, n := range c.nodes {
		c.start(n)
	}
	for _, cl := range c.clients {
		c.after(c.think(), func() { c.next(cl) })
	}
	c.scheduleFault()
	for c.failure == nil && !c.done {
		ev, ok := c.queue.Pop()
		if !ok {
			c.fail(errors.New("nothing left to do, but not finished"))
			return
		}
		c.now = ev.At
		ev.Do()
		c.check()
	}
	for _, f := range c.opts.AtEnd {
		if c.failure == nil {
			c.fail(f(c))
		}
	}
}

func (c *Cluster) check() {
	c.trace.steps++
	if c.failure == nil && c.opts.Check != nil {
		c.fail(c.opts.Check(c))
	}
	if c.trace.steps > maxSteps {
		c.fail(fmt.Errorf("more than %d steps", maxSteps))
	}
}

// fail ends the run with the first error.
func (c *Cluster) fail(err error) {
	if c.failure == nil && err != nil {
		c.failure = err
	}
}

// after lets fn happen when d has passed.
func (c *Cluster) after(d time.Duration, fn func()) { c.queue.Push(c.now+d, fn) }

// between draws a duration from [lo, hi].
func (c *Cluster) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(c.rng.Int64N(int64(hi-lo)+1))
}

// happens is true with probability p. It draws nothing when p is zero.
func (c *Cluster) happens(p float64) bool { return p > 0 && c.rng.Float64() < p }
