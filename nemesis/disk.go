package nemesis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// Disks is what a fault of disks needs of a cluster.
type Disks interface {
	// SetDisk troubles a node's disk from now on, also over its restarts; the zero
	// setting makes it sound. The node need not run.
	SetDisk(ctx context.Context, node Node, s DiskSetting) error
	// DiskCounts returns what the disk has done to a node that runs.
	DiskCounts(ctx context.Context, node Node) (DiskCounts, error)
	// FlipBit flips a bit of the log of a node that is down, place (from 0 to 1) of
	// the way from its beginning to its middle, and says where. It fails with
	// ErrLogTooSmall if there is no log of some kilobytes.
	FlipBit(ctx context.Context, node Node, place float64) (string, error)
	// Unflip puts back what FlipBit has changed in the log of a node that is down;
	// it is idempotent.
	Unflip(ctx context.Context, node Node) error
	// Wipe takes away everything on the disk of a node that is down, and says how many
	// bytes that was. There is no way back.
	Wipe(ctx context.Context, node Node) (int64, error)
	// Whole reports whether a node that runs has all that it ever made durable, or has got
	// it back; who cannot tell says true.
	Whole(ctx context.Context, node Node) (bool, error)
}

// ErrLogTooSmall says that a node has no log of a size worth damaging.
var ErrLogTooSmall = errors.New("the log is too small")

// DiskSetting is what is wrong with a node's disk.
type DiskSetting struct {
	// SyncDelay is how much longer each sync takes.
	SyncDelay time.Duration
	// SyncErrors is how many of the next syncs fail and lose what they should have
	// made durable. A node is expected to stop at the first.
	SyncErrors int
	// Full refuses every write after its first half. A node is expected to stop.
	Full bool
	// Torn lets half of each write reach the disk before its sync.
	Torn bool
}

// DiskCounts count what a disk has done to a node since its start. They only grow.
type DiskCounts struct {
	// Start tells the starts of a node apart.
	Start                                                       int64
	Syncs, DelayedSyncs, FailedSyncs, RefusedWrites, TornWrites int64
}

const (
	// diskPoll is the time between two looks at a node whose disk is troubled.
	diskPoll = 20 * time.Millisecond
	// diskShows is how long a troubled disk may take to be seen at once; it may show
	// later, too.
	diskShows = 4 * time.Second
	// diskSettles is how long a node may take to notice that its disk is sound.
	diskSettles = 250 * time.Millisecond
	// tornDelay keeps torn writes from being synced for so long that a kill finds
	// one.
	tornDelay = 150 * time.Millisecond
)

// diskFault is what all faults of disks share.
type diskFault struct {
	*processFault
	disks   Disks
	setting DiskSetting
	taken   []Node // whose disks nobody else troubles
	before  map[Node]DiskCounts
	effects map[Node]int64 // greatest growth of what the setting shows in
	// quiet tells of each node that was measured whether it has synced nothing since.
	quiet map[Node]bool
}

func newDiskFault(j job, s DiskSetting) *diskFault {
	return &diskFault{
		processFault: newProcessFault(j), disks: j.env.Disks, setting: s,
		before: map[Node]DiskCounts{}, effects: map[Node]int64{}, quiet: map[Node]bool{},
	}
}

func (f *diskFault) undo(more ...string) []string {
	var undo []string
	for _, action := range append([]string{UndoDisk}, more...) {
		undo = append(undo, f.processFault.undo(action)...)
	}
	return undo
}

// take seizes the disks.
func (f *diskFault) take() error {
	f.taken = f.world.seize(f.id, seamDisk, f.hit)
	if len(f.taken) == 0 {
		return errNothingToDo{"every disk is in the hands of another fault, or its node is"}
	}
	return nil
}

// set troubles all disks that were seized.
func (f *diskFault) set(ctx context.Context, s DiskSetting) error {
	return together(ctx, f.taken, func(n Node) error { return f.disks.SetDisk(ctx, n, s) })
}

// growth is what a setting shows in.
func (s DiskSetting) growth(c DiskCounts) int64 {
	switch {
	case s.Torn:
		return c.TornWrites
	case s.SyncErrors > 0:
		return c.FailedSyncs
	case s.Full:
		return c.RefusedWrites
	}
	return c.DelayedSyncs
}

// measure reads the counters once; who does not answer is left out.
func (f *diskFault) measure(ctx context.Context, first bool) {
	_ = together(ctx, f.taken, func(n Node) error {
		c, err := f.disks.DiskCounts(ctx, n)
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if first {
			f.before[n], f.quiet[n] = c, true
			return nil
		}
		before := f.before[n]
		f.quiet[n] = f.quiet[n] && c.quietSince(before)
		if before.Start != c.Start {
			before = DiskCounts{}
		}
		f.effects[n] = max(f.effects[n], f.setting.growth(c)-f.setting.growth(before))
		return nil
	})
}

// showing returns the nodes on which the counters have grown, and the others.
func (f *diskFault) showing() (yes, no []Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.taken {
		if f.effects[n] > 0 {
			yes = append(yes, n)
		} else {
			no = append(no, n)
		}
	}
	return yes, no
}

// quietSince reports whether nothing was synced between two measurements, or since the
// node's start if that came between them.
func (c DiskCounts) quietSince(before DiskCounts) bool {
	if c.Start != before.Start {
		return c.Syncs == 0
	}
	return c.Syncs == before.Syncs
}

// idle reports whether none of the nodes has written anything since the first measurement,
// by what all of them say now; or said last, if another fault has taken them away.
func (f *diskFault) idle(ctx context.Context) bool {
	for _, n := range f.taken {
		c, err := f.disks.DiskCounts(ctx, n)
		gone := err != nil && !f.world.idle(f.id, n)
		f.mu.Lock()
		quiet := f.quiet[n] && (gone || err == nil && c.quietSince(f.before[n]))
		f.mu.Unlock()
		if !quiet {
			return false
		}
	}
	return true
}

// awaitShowing measures until all nodes show the setting, or for a while.
func (f *diskFault) awaitShowing(ctx context.Context) {
	ctx, cancel := vtime.WithTimeout(ctx, diskShows)
	defer cancel()
	for {
		f.measure(ctx, false)
		if _, no := f.showing(); len(no) == 0 || !vtime.Sleep(ctx, diskPoll) {
			return
		}
	}
}

// counted is the evidence of counters: at least one node has met the trouble.
func (f *diskFault) counted(what string) Evidence {
	yes, no := f.showing()
	e := Evidence{Bit: len(yes) > 0, Why: "nothing was written: no " + what}
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, n := range f.taken {
		e.add(what+" "+string(n), f.effects[n])
		words = append(words, fmt.Sprintf("%s %d", n, f.effects[n]))
	}
	if e.Bit {
		e.Why = what + ": " + strings.Join(words, ", ")
	}
	if e.Bit && len(no) > 0 {
		e.Why += "; nothing was written by " + nodeNames(no)
	}
	e.Why += f.left()
	return e
}

// left names the nodes that were to be hit and are in the hands of another fault.
func (f *diskFault) left() string {
	if left := others(f.hit, f.taken); len(left) > 0 {
		return "; left to another fault: " + nodeNames(left)
	}
	return ""
}

// whole says which node lacks something, or is not there to be asked.
func (f *diskFault) whole(ctx context.Context, nodes []Node) error {
	return together(ctx, nodes, func(n Node) error {
		whole, err := f.disks.Whole(ctx, n)
		if err == nil && !whole {
			err = fmt.Errorf("%s has not got back what it lost", n)
		}
		return err
	})
}

// awaitWhole waits until all that were hit have got back what they lost.
func (f *diskFault) awaitWhole(ctx context.Context) error {
	for {
		lacking := f.whole(ctx, f.taken)
		if lacking == nil || !vtime.Sleep(ctx, diskPoll) {
			return lacking
		}
	}
}

// slowDisk makes syncs take long. It counts while it lasts, because a kill by another
// fault takes the counters with it.
type slowDisk struct {
	*diskFault
	count *background
}

// countEvery is how often a fault that lasts counts.
const countEvery = 250 * time.Millisecond

func buildSlowDisk(j job) (prepared, error) {
	d := j.set.duration("delay")
	if d == 0 {
		return prepared{}, errors.New("the parameters do nothing")
	}
	f := slowDisk{newDiskFault(j, DiskSetting{SyncDelay: d}), &background{}}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo(),
		what: fmt.Sprintf("syncs of %s take %v longer", nodeNames(j.hit), d),
	}, nil
}

const delayedSyncs = "delayed syncs"

// Inject sets the delay and waits for the first sync of each node.
func (f slowDisk) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no disk was free"}, err
	}
	f.world.slowDown(f.id)
	f.measure(ctx, true)
	if err := f.set(ctx, f.setting); err != nil {
		return Evidence{}, err
	}
	f.awaitShowing(ctx)
	f.count.start(ctx, func(ctx context.Context) error {
		for vtime.Sleep(ctx, countEvery) {
			f.measure(ctx, false)
		}
		return nil
	})
	return f.counted(delayedSyncs), nil
}

// Observe counts a last time.
func (f slowDisk) Observe(ctx context.Context) (Evidence, error) {
	_ = f.count.stop() // it has no errors
	f.measure(ctx, false)
	e := f.counted(delayedSyncs)
	e.Idle = !e.Bit && f.idle(ctx)
	return e, nil
}

// Heal takes the delay away and waits until no sync is delayed any more.
func (f slowDisk) Heal(ctx context.Context) (Evidence, error) {
	_ = f.count.stop()
	if err := f.set(ctx, DiskSetting{}); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	err := together(ctx, f.taken, func(n Node) error {
		for last := int64(-1); ; {
			c, err := f.disks.DiskCounts(ctx, n)
			switch {
			case err != nil && !f.world.idle(f.id, n):
				return nil // another fault has it; a new start finds its disk sound
			case err == nil && c.DelayedSyncs == last:
				return nil
			case err == nil:
				last = c.DelayedSyncs
			}
			if !vtime.Sleep(ctx, diskSettles) {
				return errors.Join(fmt.Errorf("syncs of %s are still delayed", n), err)
			}
		}
	})
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	return Evidence{
		Bit: true, Why: fmt.Sprintf("no sync was delayed for %v: %s", diskSettles, nodeNames(f.taken)),
	}, nil
}

// tornDisk kills nodes in the middle of writes.
type tornDisk struct {
	*diskFault
	nothing bool // was written, so that nothing was torn
}

func buildTornDisk(j job) (prepared, error) {
	f := &tornDisk{diskFault: newDiskFault(j, DiskSetting{Torn: true, SyncDelay: tornDelay})}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: "kill " + nodeNames(j.hit) + " in the middle of a write",
	}, nil
}

// Inject tears writes, waits for one on each node, and kills.
func (f *tornDisk) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no disk was free"}, err
	}
	f.world.claimAll(f.id, f.taken, false)
	f.measure(ctx, true)
	if err := f.set(ctx, f.setting); err != nil {
		return Evidence{}, err
	}
	f.awaitShowing(ctx)
	torn, _ := f.showing()
	f.nothing = len(torn) == 0 && f.idle(ctx)
	err := together(ctx, f.taken, func(n Node) error { return f.kill(ctx, n) })
	if err = errors.Join(err, f.set(ctx, DiskSetting{})); err != nil {
		return Evidence{}, err
	}
	return f.evidence()
}

// evidence wants torn writes and dead processes.
func (f *tornDisk) evidence() (Evidence, error) {
	torn := f.counted("torn writes")
	e, err := f.killed()
	for name, n := range torn.Facts {
		e.add(name, n)
	}
	e.Bit = e.Bit && torn.Bit
	e.Idle = !e.Bit && f.nothing && err == nil
	e.Why = torn.Why + "; " + e.Why
	return e, err
}

// Observe repeats what Inject saw.
func (f *tornDisk) Observe(context.Context) (Evidence, error) { return f.evidence() }

// Heal starts the nodes on their torn logs.
func (f *tornDisk) Heal(ctx context.Context) (Evidence, error) {
	if err := f.set(ctx, DiskSetting{}); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	return f.startTaken(ctx)
}

// startTaken starts what was taken down.
func (f *diskFault) startTaken(ctx context.Context) (Evidence, error) {
	return f.verified(together(ctx, f.taken, func(n Node) error { return f.start(ctx, n) }))
}
