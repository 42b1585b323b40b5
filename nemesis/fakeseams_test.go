package nemesis

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fakeClock is the pair of clocks of a fake node.
type fakeClock struct {
	setting         ClockSetting
	starts          int64
	started         time.Time
	since           time.Time     // of the present setting
	mono, wallError time.Duration // at since, without offsets
}

// restart is a new start of the node: monotonic time begins anew, the setting stays.
func (c *fakeClock) restart(now time.Time) {
	*c = fakeClock{setting: c.setting, starts: c.starts + 1, started: now, since: now}
}

func (c *fakeClock) read(now time.Time) ClockReading {
	took := now.Sub(c.since)
	gain := func(b Bend) time.Duration { return time.Duration(b.deviation() * float64(took)) }
	return ClockReading{
		Start:     c.starts,
		WallError: c.wallError + gain(c.setting.Wall) + c.setting.Wall.Offset,
		Monotonic: c.mono + took + gain(c.setting.Monotonic) + c.setting.Monotonic.Offset,
		Running:   now.Sub(c.started),
	}
}

// set bends the clocks as the clock file of a node does.
func (c *fakeClock) set(now time.Time, s ClockSetting) {
	r := c.read(now)
	c.mono, c.wallError = r.Monotonic-c.setting.Monotonic.Offset, r.WallError-c.setting.Wall.Offset
	if s.Wall == (Bend{}) {
		c.wallError = 0
	}
	c.since, c.setting = now, s
}

func (c *fakeCluster) SetClock(ctx context.Context, n Node, s ClockSetting) error {
	what := fmt.Sprintf("clock %s: %+v", n, s)
	if s == (ClockSetting{}) {
		what = fmt.Sprintf("clock %s: true", n)
	}
	if err := c.command(ctx, time.Millisecond, what); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.toothless {
		c.clocks[n].set(time.Now(), s)
	}
	return nil
}

var errFakeDown = errors.New("does not answer")

func (c *fakeCluster) ReadClock(_ context.Context, n Node) (ClockReading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.procs[n]; s.PID == 0 || s.Stopped {
		return ClockReading{}, errFakeDown
	}
	return c.clocks[n].read(time.Now()), nil
}

// fakeDisk is the disk of a fake node.
type fakeDisk struct {
	setting DiskSetting
	start   int64
	counts  DiskCounts
	flipped bool
	small   bool // its log is
	mends   bool // it starts on a damaged log
	lacks   bool // it has lost something
	forgets bool // for good
	defies  bool // its node goes on when it fails
}

func (c *fakeCluster) SetDisk(ctx context.Context, n Node, s DiskSetting) error {
	what := fmt.Sprintf("disk %s: %+v", n, s)
	if s == (DiskSetting{}) {
		what = fmt.Sprintf("disk %s: sound", n)
	}
	if err := c.command(ctx, time.Millisecond, what); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.toothless {
		return nil
	}
	c.disks[n].setting = s
	if (s.Full || s.SyncErrors > 0) && c.procs[n].PID != 0 && c.traffic > 0 {
		time.AfterFunc(30*time.Millisecond, func() { c.stopByDisk(n) })
	}
	return nil
}

// stopByDisk is what a node does whose disk fails.
func (c *fakeCluster) stopByDisk(n Node) {
	c.mu.Lock()
	s := c.disks[n].setting
	stops := (s.Full || s.SyncErrors > 0) && c.procs[n].PID != 0 && !c.disks[n].defies
	if stops {
		c.procs[n] = ProcessState{}
	}
	c.mu.Unlock()
	if stops {
		c.note("-- " + string(n) + " ends by itself")
		c.exited(n, "disk failed")
	}
}

func (c *fakeCluster) DiskCounts(_ context.Context, n Node) (DiskCounts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.procs[n]; s.PID == 0 || s.Stopped {
		return DiskCounts{}, errFakeDown
	}
	d := c.disks[n]
	if d.counts.Start != d.start {
		d.counts = DiskCounts{Start: d.start}
	}
	d.counts.Syncs += c.traffic
	if d.setting.SyncDelay > 0 {
		d.counts.DelayedSyncs += c.traffic
	}
	if d.setting.SyncErrors > 0 {
		d.counts.FailedSyncs += c.traffic
	}
	if d.setting.Full {
		d.counts.RefusedWrites += c.traffic
	}
	if d.setting.Torn {
		d.counts.TornWrites += c.traffic
	}
	return d.counts, nil
}

func (c *fakeCluster) FlipBit(ctx context.Context, n Node, place float64) (string, error) {
	if c.disks[n].small {
		return "", fmt.Errorf("log of %s: %w", n, ErrLogTooSmall)
	}
	if err := c.command(ctx, time.Millisecond, "flip "+string(n)); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.disks[n]
	d.flipped, d.lacks = !d.mends, d.mends
	if d.mends {
		c.getBack(n)
	}
	return fmt.Sprintf("byte %d", int(1000*place)), nil
}

func (c *fakeCluster) Wipe(ctx context.Context, n Node) (int64, error) {
	if err := c.command(ctx, time.Millisecond, "wipe "+string(n)); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.procs[n].PID != 0 {
		return 0, errors.New("it runs")
	}
	if c.toothless {
		return 0, nil
	}
	c.disks[n].lacks = true
	c.getBack(n)
	return 1000, nil
}

// getBack lets a node have all again after a while.
func (c *fakeCluster) getBack(n Node) {
	time.AfterFunc(700*time.Millisecond, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.disks[n].lacks = c.disks[n].forgets
	})
}

func (c *fakeCluster) Whole(_ context.Context, n Node) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.procs[n]; s.PID == 0 || s.Stopped {
		return false, errFakeDown
	}
	return !c.disks[n].lacks, nil
}

func (c *fakeCluster) Unflip(ctx context.Context, n Node) error {
	if err := c.command(ctx, time.Millisecond, "unflip "+string(n)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disks[n].flipped = false
	return nil
}

// refuses says why a node does not start, "" if it does.
func (c *fakeCluster) refuses(n Node) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch d := c.disks[n]; {
	case c.procs[n].PID != 0:
		return ""
	case c.hosts[n].damaged():
		return "the file is damaged"
	case d.flipped:
		return "refusing to start on a damaged log"
	case d.setting.Full:
		return "no space left"
	default:
		return ""
	}
}
