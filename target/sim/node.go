package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Node is one machine with its disk, clock and queue of inputs.
type Node struct {
	id      protocol.NodeID
	index   int
	members []protocol.NodeID
	epoch   protocol.Epoch
	machine protocol.Machine // nil while the node is down
	disk    disk
	logged  logged
	clock   clock
	// wallError is how far the clock for the time of day is ahead.
	wallError time.Duration
	paused    bool
	// inbox holds what has arrived and was not handled yet: while the disk
	// syncs, and while the node is paused.
	inbox []input
	// syncing is the Ready whose records are on their way to the disk; nothing
	// of it has left yet.
	syncing *protocol.Ready
	// synced means that syncing is durable but the process is paused.
	synced bool
	// armed makes the node crash in the middle of its next Ready.
	armed    bool
	slowDisk bool
	// wiped is set from when the disk is wiped until the machine has repaired it.
	wiped   bool
	waiting []waiting
	calls   []*call // of clients that are connected
	lastReq protocol.RequestID
}

// waiting is a request that the machine owes a reply.
type waiting struct {
	id       protocol.RequestID
	deadline protocol.Time // on the node's clock
}

// input is one of a message, a request, and a tick.
type input struct {
	message *protocol.Message
	request *protocol.Request
}

func (in input) isTick() bool { return in.message == nil && in.request == nil }

// disk is what survives a crash, and what does not.
type disk struct {
	checkpoint []byte
	records    [][]byte
	// unsynced records were written without a sync (bug.NoFsync).
	unsynced [][]byte
}

// clock is a node's monotonic clock. It never goes back; a restart gives it
// another origin. Integers only, so that all machines compute the same.
type clock struct {
	since  time.Duration // virtual time of the last change
	local  protocol.Time // what the clock showed then
	faster int64         // parts per million above the true rate
}

func (k clock) read(now time.Duration) protocol.Time {
	d := int64(now - k.since)
	return k.local + protocol.Time(d+d*k.faster/1_000_000)
}

// set changes the rate and adds a jump from now on.
func (k *clock) set(now time.Duration, faster int64, jump time.Duration) {
	k.local, k.since = k.read(now)+protocol.Time(jump), now
	k.faster = faster
}

// wallEpoch is the time of day at which every run begins.
const wallEpoch = int64(1_700_000_000e9)

// maxInbox is the size of the socket's buffer, in datagrams.
const maxInbox = 2000

// ID names the node.
func (n *Node) ID() protocol.NodeID { return n.id }

// Machine is the node's machine, nil while the node is down.
func (n *Node) Machine() protocol.Machine { return n.machine }

// Up reports whether the node runs; it may be paused.
func (n *Node) Up() bool { return n.machine != nil }

// Epoch counts the node's starts.
func (n *Node) Epoch() protocol.Epoch { return n.epoch }

// Clock is what the node's monotonic clock shows.
func (c *Cluster) Clock(n *Node) protocol.Time { return n.clock.read(c.now) }

// Durable is what the node would find after a crash now. It must not be changed.
func (n *Node) Durable() (checkpoint []byte, records [][]byte) {
	return n.disk.checkpoint, n.disk.records
}

// start begins the node's next epoch from what its disk holds.
func (c *Cluster) start(n *Node) {
	var damaged bool
	n.epoch++
	if c.opts.Log {
		rec, ok := c.openLog(n)
		if !ok {
			return
		}
		n.epoch, damaged = protocol.Epoch(rec.Epoch), rec.Damaged
	}
	n.lastReq = 0 // ids are unique within an epoch, and no longer
	n.clock = clock{
		since: c.now, local: protocol.Time(c.rng.Int64N(int64(time.Hour))), faster: n.clock.faster,
	}
	cfg := protocol.Config{
		Self: n.id, Members: slices.Clone(n.members), Epoch: n.epoch, Seed: c.rng.Uint64(),
		Bugs: c.opts.Bugs, RequestTimeout: protocol.Time(c.opts.RequestTimeout),
		Checkpoint: slices.Clone(n.disk.checkpoint), Damaged: damaged,
	}
	for _, r := range n.disk.records {
		cfg.Records = append(cfg.Records, slices.Clone(r))
	}
	m, err := c.opts.New(cfg)
	if err != nil {
		c.fail(fmt.Errorf("start %s in epoch %d: %w", n.id, n.epoch, err))
		return
	}
	n.machine = m
	c.note(Event{Kind: Start, Node: n.id, Epoch: n.epoch})
	// A machine may have work from its recovery; the first tick also tells it
	// the time.
	c.input(n, input{})
	c.scheduleTick(n, n.epoch)
}

func (c *Cluster) scheduleTick(n *Node, e protocol.Epoch) {
	d := c.opts.TickInterval
	d -= d / 1_000_000 * time.Duration(n.clock.faster)
	c.after(d+c.between(0, d/10), func() {
		if n.machine == nil || n.epoch != e {
			return
		}
		if !n.paused {
			c.input(n, input{})
		}
		c.scheduleTick(n, e)
	})
}

// input hands something to the node, at once if it is idle.
func (c *Cluster) input(n *Node, in input) {
	switch {
	case n.machine == nil:
		return
	case in.isTick() && slices.ContainsFunc(n.inbox, input.isTick):
		return // one late tick is as good as many
	case in.message != nil && len(n.inbox) >= maxInbox:
		return
	}
	n.inbox = append(n.inbox, in)
	c.work(n)
}

// work lets the node handle what has arrived. What came while it was busy is
// handled in batches of random size, each with one Ready: group commit.
func (c *Cluster) work(n *Node) {
	for n.machine != nil && !n.paused && n.syncing == nil && len(n.inbox) > 0 && c.failure == nil {
		batch := 1
		if len(n.inbox) > 1 {
			batch += c.rng.IntN(len(n.inbox))
		}
		ticked := false
		for _, in := range n.inbox[:batch] {
			c.handle(n, in)
			ticked = ticked || in.isTick()
		}
		n.inbox = slices.Delete(n.inbox, 0, batch)
		r := n.machine.Ready()
		if ticked {
			c.checkDeadlines(n, r)
		}
		if !r.Empty() {
			c.carryOut(n, r)
		}
	}
}

// handle gives one input to the machine.
func (c *Cluster) handle(n *Node, in input) {
	now := n.clock.read(c.now)
	if m, ok := n.machine.(protocol.WallClocked); ok {
		m.SetWall(protocol.WallTime(wallEpoch + int64(c.now+n.wallError)))
	}
	switch {
	case in.message != nil:
		m := *in.message
		c.note(Event{Kind: Deliver, Node: n.id, Peer: m.From, Payload: m.Payload})
		// A driver may read every datagram into the same buffer; a machine that
		// keeps a part of the payload shall see it change.
		c.scratch = append(c.scratch[:0], m.Payload...)
		m.Payload = c.scratch
		n.machine.Step(now, m)
		for i := range c.scratch {
			c.scratch[i] = 0xdb
		}
	case in.request != nil:
		c.note(Event{Kind: Submit, Node: n.id, Epoch: n.epoch, Request: in.request})
		deadline := now + protocol.Time(c.opts.RequestTimeout)
		n.waiting = append(n.waiting, waiting{id: in.request.ID, deadline: deadline})
		n.machine.Submit(now, *in.request)
	default:
		c.note(Event{Kind: Tick, Node: n.id})
		n.machine.Tick(now)
	}
}

// checkDeadlines holds the machine to its promise: when a tick says that the
// time of a request is over, the reply is in the Ready that follows.
func (c *Cluster) checkDeadlines(n *Node, r protocol.Ready) {
	now := n.clock.read(c.now)
	for _, w := range n.waiting {
		answers := func(rep protocol.Reply) bool { return rep.ID == w.id }
		if now >= w.deadline && !slices.ContainsFunc(r.Replies, answers) {
			c.fail(fmt.Errorf("%s: request %d has no reply after its timeout", n.id, w.id))
		}
	}
}

// carryOut begins to do what a Ready asks for.
func (c *Cluster) carryOut(n *Node, r protocol.Ready) {
	if !c.opts.Log && c.opts.Bugs.Has(bug.NoFsync) && r.Checkpoint == nil && len(r.Records) > 0 {
		// The bug: the records are written, but a power cut forgets them.
		n.disk.unsynced = append(n.disk.unsynced, copies(r.Records)...)
		c.note(Event{Kind: Write, Node: n.id, Records: r.Records})
		r.Records = nil
	}
	if r.Checkpoint == nil && len(r.Records) == 0 && !r.Repaired {
		c.emit(n, r)
		return
	}
	n.syncing = &r
	e := n.epoch
	d := c.between(c.faults.Sync/10, c.faults.Sync)
	if n.slowDisk {
		d += c.between(10*time.Millisecond, 300*time.Millisecond)
	}
	c.after(d, func() {
		if n.machine == nil || n.epoch != e {
			return
		}
		if n.armed && c.rng.IntN(2) == 0 {
			c.crash(n)
			return
		}
		if c.opts.Log {
			if err := c.write(n, n.syncing); err != nil {
				// The first error of a disk ends a node.
				c.fault(n, "stops: "+err.Error())
				n.synced = true // there is nothing left to be written
				c.crash(n)
				c.restartAfter(n, c.faults.Last)
				return
			}
		}
		c.persist(n, n.syncing, len(n.syncing.Records), true)
		n.wiped = n.wiped && !n.syncing.Repaired
		n.synced = true
		c.leave(n)
	})
}

// leave sends what waited for the disk, unless the process is paused.
func (c *Cluster) leave(n *Node) {
	if !n.synced || n.paused {
		return
	}
	r := *n.syncing
	n.syncing, n.synced = nil, false
	c.emit(n, r)
	c.work(n)
}

// persist makes the checkpoint, if the Ready has one, and the first so many
// records durable.
func (c *Cluster) persist(n *Node, r *protocol.Ready, records int, checkpoint bool) {
	ev := Event{Kind: Persist, Node: n.id}
	if checkpoint && r.Checkpoint != nil {
		n.disk = disk{checkpoint: slices.Clone(r.Checkpoint)}
		ev.Checkpoint = n.disk.checkpoint
	}
	ev.Records = copies(r.Records[:records])
	n.disk.records = append(n.disk.records, ev.Records...)
	c.note(ev)
}

func copies(records [][]byte) [][]byte {
	out := make([][]byte, len(records))
	for i, r := range records {
		out[i] = slices.Clone(r)
	}
	return out
}

// emit lets the messages and then the replies of a Ready leave. An armed node
// crashes after some of them.
func (c *Cluster) emit(n *Node, r protocol.Ready) {
	left := -1
	if n.armed {
		left = c.rng.IntN(len(r.Messages) + len(r.Replies) + 1)
	}
	for _, m := range r.Messages {
		if left == 0 {
			c.crash(n)
			return
		}
		left--
		c.send(n, m)
	}
	for _, rep := range r.Replies {
		if left == 0 {
			c.crash(n)
			return
		}
		left--
		c.reply(n, rep)
	}
	if left == 0 {
		c.crash(n)
	}
}

// crash cuts the node's power. Of a Ready that was on its way to the disk any
// prefix may have arrived; the checkpoint comes first and wholly or not at all.
func (c *Cluster) crash(n *Node) {
	if n.machine == nil {
		return
	}
	if c.opts.Log {
		c.powerCut(n)
	} else if r := n.syncing; r != nil && !n.synced {
		steps := len(r.Records)
		if r.Checkpoint != nil {
			steps++
		}
		if got := c.rng.IntN(steps + 1); got > 0 && r.Checkpoint != nil {
			c.persist(n, r, got-1, true)
		} else if got > 0 {
			c.persist(n, r, got, false)
		}
	}
	if k := len(n.disk.unsynced); k > 0 && c.rng.IntN(4) == 0 {
		r := protocol.Ready{Records: n.disk.unsynced[:c.rng.IntN(k+1)]} // by luck
		c.persist(n, &r, len(r.Records), false)
	}
	n.disk.unsynced = nil
	c.note(Event{Kind: Crash, Node: n.id, Epoch: n.epoch})
	n.machine, n.inbox, n.syncing, n.waiting = nil, nil, nil, nil
	n.synced, n.paused, n.armed = false, false, false
	c.disconnect(n)
}

// wipe crashes the node and takes away all that it had durable. The machine of a
// node that was wiped gets a higher epoch all the same, see wal.Options.
func (c *Cluster) wipe(n *Node) {
	c.crash(n)
	n.disk, n.logged.mem, n.logged.hurt, n.wiped = disk{}, nil, false, true
	c.note(Event{Kind: Wipe, Node: n.id})
}

func (c *Cluster) pause(n *Node) {
	if n.machine == nil || n.paused {
		return
	}
	n.paused = true
	c.note(Event{Kind: Pause, Node: n.id})
}

// resume lets a paused node go on, with what has piled up; the tick that it has
// missed comes before or after that.
func (c *Cluster) resume(n *Node) {
	if n.machine == nil || !n.paused {
		return
	}
	n.paused = false
	c.note(Event{Kind: Resume, Node: n.id})
	if c.rng.IntN(2) == 0 {
		n.inbox = slices.Insert(slices.DeleteFunc(n.inbox, input.isTick), 0, input{})
	}
	c.leave(n)
	c.input(n, input{})
	c.work(n)
}
