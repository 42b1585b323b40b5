package world

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/catalog"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/server"
	"github.com/ordeal-dev/ordeal/target/wal"
)

const (
	// tickEvery is as in target/server.
	tickEvery = 10 * time.Millisecond
	// maxInbox is the size of a socket's buffer, in datagrams.
	maxInbox = 2000
	// maxRounds of Ready in one turn, as in target/server.
	maxRounds = 16
	// syncLeast and syncMost bound how long a healthy disk takes to sync.
	syncLeast = 50 * time.Microsecond
	syncMost  = 800 * time.Microsecond
)

// node is one node: its process, while it runs, and what outlives that.
type node struct {
	c     *Cluster
	index int
	id    protocol.NodeID
	rng   *rand.Rand
	disk  *disk
	bent  server.Setting

	// The rest belongs to the process. life counts its starts and ends, so that what was
	// on its way to an earlier one finds nobody.
	life    int
	pid     int
	machine protocol.Machine // nil while the node is down
	epoch   protocol.Epoch
	clock   *server.Clock
	started time.Duration
	paused  bool
	inbox   []input
	spare   []input // room of an earlier inbox
	ticked  bool    // a tick is in the inbox
	toSelf  []protocol.Message
	// busy is set while the disk works; what it is to reveal has not left yet.
	busy bool
	// syncing ends what the disk is busy with.
	syncing func() error
	// stalled is what goes on when a paused process is resumed, piled how much of the inbox
	// has been there since.
	stalled func()
	piled   int
	waiting map[protocol.RequestID]*exchange
	lastReq protocol.RequestID
	counts  counts
	last    protocol.Status
	// published is the tick at which last was.
	published uint64
}

// input is one of a message, a request, and a tick.
type input struct {
	arrived bool // it is the message
	message protocol.Message
	request *exchange
}

// disk is what outlives the process, and the log while it runs.
type disk struct {
	platter *wal.Platter
	trouble wal.Trouble
	wal     *wal.Disk
	log     *wal.Log
}

func newDisk() *disk { return &disk{platter: wal.NewPlatter()} }

// start begins a process on what the disk holds.
func (n *node) start() error {
	c := n.c
	n.disk.wal = wal.NewDisk(n.disk.platter.Open(), func(time.Duration) {}) // delay waits instead
	n.disk.wal.Set(n.disk.trouble)
	opts := wal.Options{Salvage: catalog.Salvages(c.cfg.Protocol)}
	if catalog.Rejoins(c.cfg.Protocol) {
		opts.Born = uint64(c.time().UnixMicro())
	}
	log, rec, err := wal.Open(n.disk.wal, "wal", opts.Planted(c.bugs))
	if err != nil {
		c.say(n, "refuses to start: %v", err)
		return fmt.Errorf("exited before it was ready: exit status 1: %w", err)
	}
	epoch := protocol.Epoch(rec.Epoch)
	machine, err := n.make(rec)
	if err != nil {
		c.say(n, "refuses to start: %v", err)
		return fmt.Errorf("exited before it was ready: exit status 1: %w", err)
	}
	c.pids++
	n.life++
	n.pid, n.epoch, n.machine, n.disk.log = c.pids, epoch, machine, log
	n.clock, n.started = server.NewClock(c.time), c.world.Now()
	n.clock.Set(n.bent)
	n.paused, n.inbox, n.ticked, n.toSelf, n.busy, n.stalled = false, nil, false, nil, false, nil
	n.piled = 0
	n.waiting, n.lastReq, n.counts = map[protocol.RequestID]*exchange{}, 0, counts{}
	n.last, n.published = protocol.Status{}, 0
	c.say(n, "starts, epoch %d, records %d, checkpoint of %d bytes, damaged %v", n.epoch,
		len(rec.Records), len(rec.Checkpoint), rec.Damaged)
	n.scheduleTick()
	return nil
}

// make makes the machine. A panic in it is a refusal to start.
func (n *node) make(rec wal.Recovered) (m protocol.Machine, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s %d", n.c.cfg.Seed, n.id, rec.Epoch)
	return n.c.factory(protocol.Config{
		Self: n.id, Members: append([]protocol.NodeID(nil), n.c.members...),
		Epoch: protocol.Epoch(rec.Epoch), Seed: h.Sum64(), Bugs: n.c.bugs,
		RequestTimeout: protocol.Time(n.c.cfg.RequestTimeout),
		Checkpoint:     rec.Checkpoint, Records: rec.Records, Damaged: rec.Damaged,
	})
}

// after calls f when d has passed, if the process is still the same.
func (n *node) after(d time.Duration, f func()) {
	life := n.life
	n.c.world.After(d, func() {
		if n.life == life && n.machine != nil {
			f()
		}
	})
}

func (n *node) scheduleTick() {
	life := n.life
	var tick func()
	tick = func() {
		if n.life != life || n.machine == nil {
			return
		}
		if !n.ticked { // one late tick is as good as many
			n.ticked = true
			n.take(input{})
		}
		n.c.world.After(tickEvery, tick)
	}
	n.c.world.After(tickEvery, tick)
}

// take hands something to the node, at once if it is idle.
func (n *node) take(in input) {
	if n.machine == nil || len(n.inbox) >= maxInbox && in.arrived {
		return
	}
	n.inbox = append(n.inbox, in)
	n.work()
}

// work is the event loop: as long as there is something to do, and neither the disk nor
// a pause holds the process up.
func (n *node) work() {
	defer n.catch()
	for n.machine != nil && !n.paused && !n.busy && (len(n.inbox) > 0 || len(n.toSelf) > 0) {
		all := n.inbox
		batch := all[:n.turn()]
		n.inbox, n.spare = append(n.spare[:0], all[len(batch):]...), nil
		for i := range batch {
			n.handle(&batch[i])
		}
		clear(all)
		n.spare = all[:0]
		n.counts.batches++
		n.digest(0)
	}
}

// turn is how many inputs of the inbox are handled together: all, but of what piled up during a
// pause only some. There, a process finds them in several buffers, and the loop of
// target/server takes what others have read of these by then.
func (n *node) turn() int {
	if n.piled == 0 {
		return len(n.inbox)
	}
	some := 1 + n.rng.IntN(min(n.piled, mostPiled))
	n.piled -= some
	return some
}

// mostPiled is the greatest number of inputs in a turn of a process that was paused.
const mostPiled = 16

// shuffle brings the inbox into an order in which a process may come to it when it is resumed:
// messages, requests and the clock come by ways of their own, each in its order.
func (n *node) shuffle() {
	var ways [3][]input
	for _, in := range n.inbox {
		switch {
		case in.arrived:
			ways[0] = append(ways[0], in)
		case in.request != nil:
			ways[1] = append(ways[1], in)
		default:
			ways[2] = append(ways[2], in)
		}
	}
	n.inbox = n.inbox[:0]
	for left := ways[:]; len(left) > 0; {
		i := n.rng.IntN(len(left))
		if len(left[i]) == 0 {
			left = append(left[:i], left[i+1:]...)
			continue
		}
		n.inbox = append(n.inbox, left[i][0])
		left[i] = left[i][1:]
	}
	n.piled = len(n.inbox)
}

// catch makes a panic of the machine the end of its process.
func (n *node) catch() {
	if p := recover(); p != nil {
		n.exit("exit status 2", fmt.Sprintf("panic: %v", p))
	}
}

func (n *node) handle(in *input) {
	switch {
	case in.arrived:
		n.counts.received++
		// A machine keeps nothing of a payload, and changes it at most for itself.
		m := in.message
		n.c.scratch = append(n.c.scratch[:0], m.Payload...)
		m.Payload = n.c.scratch
		n.machine.Step(n.time(), m)
	case in.request != nil:
		n.submit(in.request)
	default:
		n.ticked = false
		n.counts.ticks++
		n.machine.Tick(n.time())
	}
}

// time is what the machine is told: monotonic time, and before that the time of day, if
// it wants to know it.
func (n *node) time() protocol.Time {
	if m, ok := n.machine.(protocol.WallClocked); ok {
		m.SetWall(protocol.WallTime(n.clock.Wall().UnixNano()))
	}
	return n.clock.Mono()
}

// digest does what the machine wants until it wants nothing more, or the disk has to
// work first.
func (n *node) digest(round int) {
	for ; round < maxRounds && n.machine != nil; round++ {
		pending := n.toSelf
		n.toSelf = nil
		for _, m := range pending {
			n.machine.Step(n.time(), m)
		}
		ready := n.machine.Ready()
		if ready.Empty() {
			break
		}
		if !n.persist(ready, round) {
			return
		}
		n.emit(ready)
	}
	n.publish()
}

// persist begins to make a Ready durable. It reports whether that takes no time;
// otherwise the node is busy, and goes on from there by itself.
func (n *node) persist(r protocol.Ready, round int) bool {
	if r.Checkpoint == nil && len(r.Records) == 0 && !r.Repaired {
		return true
	}
	alone := r.Checkpoint == nil && !r.Repaired
	if alone && !n.done(n.append(r)) {
		return false
	}
	if alone && n.c.bugs.Has(bug.NoFsync) {
		return true
	}
	n.busy = true
	n.syncing = func() error { return n.finish(r, alone) }
	n.after(n.delay(), func() {
		n.goOn(func() {
			n.busy = false
			if n.done(n.syncing()) {
				n.goOn(func() {
					n.emit(r)
					n.digest(round + 1)
				})
			}
			n.work()
		})
	})
	return false
}

// goOn does something now, or when the process is resumed.
func (n *node) goOn(f func()) {
	if n.paused {
		n.stalled = f
		return
	}
	defer n.catch()
	f()
}

// delay is how long the disk takes.
func (n *node) delay() time.Duration {
	return n.disk.trouble.SyncDelay + syncLeast +
		time.Duration(n.rng.Int64N(int64(syncMost-syncLeast)))
}

// append writes the records, which a kill may still lose.
func (n *node) append(r protocol.Ready) error {
	n.counts.records += uint64(len(r.Records))
	return n.disk.log.Append(r.Records...)
}

// finish makes durable what was not yet, in the order of target/server.
func (n *node) finish(r protocol.Ready, appended bool) error {
	if r.Checkpoint != nil {
		n.counts.checkpoints++
		if err := n.disk.log.Checkpoint(r.Checkpoint); err != nil {
			return err
		}
	}
	if !appended && len(r.Records) > 0 {
		if err := n.append(r); err != nil {
			return err
		}
	}
	if len(r.Records) > 0 && !n.c.bugs.Has(bug.NoFsync) {
		n.counts.syncs++
		if err := n.disk.log.Sync(); err != nil {
			return err
		}
	}
	if r.Repaired {
		n.c.say(n, "the damage of the log is repaired")
		return n.disk.log.Repaired()
	}
	return nil
}

// done ends the process at the first error of its disk, and reports whether there was
// none.
func (n *node) done(err error) bool {
	if err != nil {
		n.exit("exit status 1", "disk failed, stopping because nothing written since can be "+
			"relied on: "+err.Error())
	}
	return err == nil
}

// emit lets the messages and then the replies of a Ready leave.
func (n *node) emit(r protocol.Ready) {
	for _, m := range r.Messages {
		n.send(m)
	}
	for _, rep := range r.Replies {
		n.reply(rep)
	}
}

// send puts a datagram on its way.
func (n *node) send(m protocol.Message) {
	m.From, m.Epoch = n.id, n.epoch
	if m.To == n.id {
		n.toSelf = append(n.toSelf, m)
		return
	}
	n.counts.sent++
	for _, to := range n.c.nodes {
		if to.id != m.To {
			continue
		}
		way := m // what leaves is the sender's no longer
		way.Payload = append([]byte(nil), m.Payload...)
		n.c.cfg.Carry(n.index, to.index, datagram(m), func() {
			to.take(input{arrived: true, message: way})
		})
	}
}

// datagram is the size of a message with its envelope.
func datagram(m protocol.Message) int { return 44 + len(m.From) + len(m.To) + len(m.Payload) }

// publish logs changes of the machine's role, as target serve does, but looks once a tick:
// that is exact enough, and a look after every message takes a seventh of a simulation's time.
func (n *node) publish() {
	if n.machine == nil || n.c.cfg.Log == nil || n.counts.ticks == n.published {
		return
	}
	n.published = n.counts.ticks
	now := n.brief()
	if now.Role != n.last.Role || now.Leader != n.last.Leader || now.Primary != n.last.Primary ||
		now.Ballot != n.last.Ballot {
		n.c.say(n, "msg=role role=%s primary=%v leader=%q ballot=%s", now.Role, now.Primary, now.Leader,
			now.Ballot)
	}
	n.last = now
}

// brief says who leads, by what the machine tells faster than all of its status, if it does.
func (n *node) brief() protocol.Status {
	if m, ok := n.machine.(interface{ Brief() protocol.Status }); ok {
		return m.Brief()
	}
	return n.machine.Status()
}

// kill ends the process. A sync that was under way may have ended just before: then it
// is durable, and nobody was told.
func (n *node) kill() {
	if n.machine == nil {
		return
	}
	if n.busy && n.rng.IntN(2) == 0 {
		_ = n.syncing() // whatever becomes of it: nobody lives to see it
	}
	n.c.say(n, "killed")
	n.end()
}

// exit is the end of a process by itself.
func (n *node) exit(status, words string) {
	if n.machine == nil {
		return
	}
	n.c.say(n, "%s (%s)", words, status)
	n.end()
	if n.c.cfg.Exited != nil {
		n.c.cfg.Exited(n.index, status, words)
	}
}

// end takes away what belongs to the process. Its connections break, in the order of
// their requests.
func (n *node) end() {
	open := n.waiting
	last := n.lastReq
	n.life++
	n.machine, n.inbox, n.toSelf, n.waiting, n.stalled = nil, nil, nil, nil, nil
	n.paused, n.busy, n.ticked = false, false, false
	for id := protocol.RequestID(1); id <= last && len(open) > 0; id++ {
		if x, ok := open[id]; ok {
			delete(open, id)
			x.end(0, nil)
		}
	}
}

// resume lets a paused process go on with what has piled up.
func (n *node) resume() {
	if n.machine == nil || !n.paused {
		return
	}
	n.paused = false
	n.shuffle()
	if f := n.stalled; f != nil {
		n.stalled = nil
		n.goOn(f)
	}
	n.work()
}
