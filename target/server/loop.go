package server

import (
	"context"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// tickInterval is how often the machine is told the time.
	tickInterval = 10 * time.Millisecond
	// maxBatch inputs share one sync.
	maxBatch = 512
	// maxRounds of Ready in one turn; what a machine still sends to itself then
	// waits for the next turn.
	maxRounds = 16
	// submitQueue requests wait for the event loop, maxWaiting for the machine.
	submitQueue = 256
	maxWaiting  = 8192
)

// submission is a request on its way to the machine, and where its answer goes.
// The channel has room for one reply, so that nobody waits for a client that is
// gone.
type submission struct {
	request protocol.Request
	reply   chan<- protocol.Reply
}

// loop is the only goroutine that touches the machine and the log. Each turn
// takes what inputs there are, lets the machine digest them, and then does what
// the machine wants, with one sync for all of them.
func (n *Node) loop(ctx context.Context) error {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if len(n.toSelf) == 0 {
			n.await(ctx, tick.C)
		}
		n.drain(tick.C)
		if err := n.digest(); err != nil {
			return err
		}
		n.publish()
	}
	return nil
}

// await takes one input.
func (n *Node) await(ctx context.Context, tick <-chan time.Time) {
	select {
	case <-ctx.Done():
	case m := <-n.transport.inbox:
		n.machine.Step(n.time(), m)
	case s := <-n.submits:
		n.submit(s)
	case <-tick:
		n.tick()
	}
}

// time is what the machine is told: monotonic time, and before that the time of
// day, if it wants to know it.
func (n *Node) time() protocol.Time {
	if m, ok := n.machine.(protocol.WallClocked); ok {
		m.SetWall(protocol.WallTime(n.clock.Wall().UnixNano()))
	}
	return n.clock.Mono()
}

// drain takes the inputs that are there already.
func (n *Node) drain(tick <-chan time.Time) {
	for range maxBatch {
		select {
		case m := <-n.transport.inbox:
			n.machine.Step(n.time(), m)
		case s := <-n.submits:
			n.submit(s)
		case <-tick:
			n.tick()
		default:
			return
		}
	}
}

func (n *Node) tick() {
	n.counters.ticks.Add(1)
	n.machine.Tick(n.time())
}

func (n *Node) submit(s submission) {
	if len(n.waiting) >= maxWaiting {
		n.counters.refused.Add(1)
		s.reply <- protocol.Reply{
			Outcome: protocol.Fail, Code: codeOverloaded,
			Error: fmt.Sprintf("%d requests wait already", maxWaiting),
		}
		return
	}
	n.lastRequest++
	s.request.ID = n.lastRequest
	n.waiting[s.request.ID] = s.reply
	n.counters.requests.Add(1)
	n.machine.Submit(n.time(), s.request)
}

// digest does what the machine wants until it wants nothing more.
func (n *Node) digest() error {
	n.counters.batches.Add(1)
	for range maxRounds {
		pending := n.toSelf
		n.toSelf = nil
		for _, m := range pending {
			n.machine.Step(n.time(), m)
		}
		ready := n.machine.Ready()
		if ready.Empty() {
			return nil
		}
		if err := n.persist(ready); err != nil {
			return fmt.Errorf("disk failed, stopping because nothing written "+
				"since can be relied on: %w", err)
		}
		for _, m := range ready.Messages {
			n.send(m)
		}
		for _, r := range ready.Replies {
			n.answer(r)
		}
	}
	return nil
}

// persist makes the durable part of ready durable. It returns before any message
// or reply leaves: the one rule that every protocol relies on.
func (n *Node) persist(ready protocol.Ready) error {
	if ready.Checkpoint != nil {
		n.counters.checkpoints.Add(1)
		if err := n.wal.Checkpoint(ready.Checkpoint); err != nil {
			return err
		}
	}
	if err := n.append(ready.Records); err != nil {
		return err
	}
	if ready.Repaired {
		n.log.Info("the damage of the log is repaired")
		return n.wal.Repaired()
	}
	return nil
}

func (n *Node) append(records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	n.counters.records.Add(uint64(len(records)))
	if err := n.wal.Append(records...); err != nil {
		return err
	}
	if n.cfg.Bugs.Has(bug.NoFsync) {
		return nil
	}
	n.counters.syncs.Add(1)
	return n.wal.Sync()
}

// send hands a message to the transport, or keeps it when it is to the node
// itself.
func (n *Node) send(m protocol.Message) {
	m.From, m.Epoch = n.cfg.ID, n.epoch
	if m.To == n.cfg.ID {
		n.toSelf = append(n.toSelf, m)
		return
	}
	n.transport.send(m)
}

func (n *Node) answer(r protocol.Reply) {
	reply, ok := n.waiting[r.ID]
	if !ok {
		n.counters.stray.Add(1)
		n.log.Error("the machine answered a request that nobody asked",
			"request", r.ID, "outcome", r.Outcome)
		return
	}
	delete(n.waiting, r.ID)
	reply <- r
}

// publish shows the machine's status to others and logs changes of its role.
func (n *Node) publish() {
	now := n.machine.Status()
	old := n.status.Swap(&now)
	n.alive.Store(int64(time.Since(n.started)))
	if old != nil && old.Role == now.Role && old.Leader == now.Leader &&
		old.Ballot == now.Ballot && old.Primary == now.Primary {
		return
	}
	n.log.Info("role", "role", now.Role, "primary", now.Primary,
		"leader", now.Leader, "ballot", now.Ballot)
}
