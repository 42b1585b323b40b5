package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// fakeHost is the host of a fake node.
type fakeHost struct {
	injuries map[Handle]Injury
	kept     map[Handle]time.Time
	started  time.Time // the process
	since    time.Time // the last injury
	failed   bool      // its power
	refuses  bool      // the node does not start on a damaged file
}

func (c *fakeCluster) Injure(
	ctx context.Context, n Node, h Handle, i Injury,
) (Injured, error) {
	text := fmt.Sprintf("injure %s: %s %s", n, i.Kind, i.Path)
	if err := c.command(ctx, 5*time.Millisecond, text); err != nil {
		return Injured{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := c.procs[n].PID != 0
	ofProcesses := []InjuryKind{InjuryCPU, InjurySkew, InjurySlow, InjuryWrites}
	needs := slices.Contains(ofProcesses, i.Kind) || i.Off
	if needs != runs && i.Kind != InjuryFull && i.Kind != InjuryMemory {
		return Injured{}, fmt.Errorf("the process runs: %t", runs)
	}
	if c.toothless {
		return Injured{}, nil
	}
	host := c.hosts[n]
	got := Injured{Where: i.Path + " of " + string(n), Facts: map[string]int64{}}
	switch i.Kind {
	case InjuryKeep:
		host.kept[h] = time.Now()
		return got, nil
	case InjuryRestore:
		got.Facts["changed"] = time.Since(host.kept[h]).Milliseconds()
	case InjuryPower:
		host.failed = i.Off
		got.Facts = map[string]int64{"moved": 1, "kept": 1, "lost": 1, "failures": 1}
	case InjuryMemory:
		got.Facts["limit"], got.Facts["before"] = i.memoryLimit(), 1<<20
		if c.traffic > 0 && got.Facts["limit"] > 0 && got.Facts["limit"] < 1<<19 {
			time.AfterFunc(30*time.Millisecond, func() { c.stop(n, "out of memory") })
		}
	case InjuryFull:
		got.Facts["taken"], got.Facts["free"] = 1<<20, i.Bytes
		if c.traffic > 0 {
			time.AfterFunc(30*time.Millisecond, func() { c.stop(n, "no space left on device") })
		}
	}
	host.injuries[h] = i
	host.since = time.Now()
	return got, nil
}

// memoryLimit is that of a fake node, which uses a megabyte.
func (i Injury) memoryLimit() int64 { return max(i.Bytes, int64(i.Percent)<<20/100) }

// stop is what a node does that cannot write, or gets no memory.
func (c *fakeCluster) stop(n Node, words string) {
	c.mu.Lock()
	c.procs[n] = ProcessState{}
	c.mu.Unlock()
	c.note("-- " + string(n) + " ends by itself")
	c.exited(n, words)
}

func (c *fakeCluster) Injured(_ context.Context, n Node, h Handle) (Injured, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch i, ok := c.hosts[n].injuries[h]; {
	case !ok:
		return Injured{}, errors.New("no such injury")
	case i.Kind == InjuryPower:
		facts := map[string]int64{"moved": 1}
		if c.hosts[n].failed {
			facts["failed"] = 1
		}
		return Injured{Facts: facts}, nil
	case i.Kind == InjurySkew:
		return Injured{Facts: c.hosts[n].skewed(i)}, nil
	case i.Kind == InjuryMemory:
		return Injured{Facts: map[string]int64{
			"limit": i.memoryLimit(), "before": 1 << 20, "met": c.traffic,
		}}, nil
	case i.Kind == InjurySlow:
		return Injured{Facts: map[string]int64{
			"runs": 1, "freezes": 9, "slow": 8, "slowest ms": i.Offset.Milliseconds(),
			"waiting": c.traffic / 20,
		}}, nil
	case i.Kind == InjuryWrites:
		since := time.Since(c.hosts[n].since).Milliseconds()
		return Injured{Facts: map[string]int64{
			"since ms": since, "written": i.Bytes * c.traffic / 100 * since / 1000,
		}}, nil
	case i.Kind == InjuryCPU:
		return Injured{Facts: map[string]int64{"throttled": c.traffic / 10}}, nil
	default:
		return Injured{Facts: map[string]int64{"taken": 1 << 20, "free": i.Bytes}}, nil
	}
}

// skewed is what a bent clock of a process shows: one that was started since shows none.
func (h *fakeHost) skewed(i Injury) map[string]int64 {
	since := time.Since(h.since)
	if h.started.After(h.since) {
		return map[string]int64{"true": 1}
	}
	facts := map[string]int64{"bent": 1, "since ms": since.Milliseconds()}
	ahead := i.Offset + time.Duration(i.Gain*float64(since))
	facts["ahead ms"] = ahead.Milliseconds()
	if i.Period > 0 {
		facts["jumps"] = 4
	}
	return facts
}

func (c *fakeCluster) Mend(ctx context.Context, n Node, h Handle) (string, error) {
	if err := c.command(ctx, 5*time.Millisecond, "mend "+string(n)); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.hosts[n].injuries, h)
	return "", nil
}

// injured reports what is wrong with a host: an injury of a file that a node which runs
// has accepted is none.
func (h *fakeHost) injured() error {
	for _, i := range h.injuries {
		limited := i.Kind == InjuryMemory && i.memoryLimit() > 0
		kinds := []InjuryKind{InjuryCPU, InjuryFull, InjurySkew, InjurySlow, InjuryWrites}
		if slices.Contains(kinds, i.Kind) || limited || h.refuses || h.failed {
			return fmt.Errorf("%s is left", i.Kind)
		}
	}
	return nil
}

// damaged reports whether the node's files keep it from starting.
func (h *fakeHost) damaged() bool {
	if !h.refuses {
		return false
	}
	for _, i := range h.injuries {
		if i.Kind == InjuryFlip || i.Kind == InjuryCut {
			return true
		}
	}
	return false
}
