package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

const (
	// InjurySlow freezes the volume that InjuryPower has made under PowerHandle, for Offset,
	// again and again, with Period between two freezes.
	InjurySlow InjuryKind = "slow"
	// InjuryWrites lets the node's processes write Bytes a second to the disk on which Path is.
	InjuryWrites InjuryKind = "writes"
)

func slowKinds() []Kind {
	return []Kind{
		{
			Name: "volume-slow", Doc: "The node's data is moved to a volume of its own (SIGKILL, start), " +
				"unless it is on one. Then that is frozen again and again: whoever writes to it or " +
				"syncs waits until it is thawed.",
			Target: TargetOne, UsesProcesses: true, Host: PowerVolumes, build: buildSlowVolume,
			Params: append(volumeParams(),
				Param{
					Name: "delay", Unit: UnitDuration, Default: "300ms",
					Doc: "for how long it is frozen each time, 50ms to 30s",
				},
				Param{
					Name: "gap", Unit: UnitDuration, Default: "100ms",
					Doc: "for how long it works between two freezes, 50ms to 30s",
				}),
			Proof: "a sync of the agent on that volume takes so long, and a thread of the node is seen " +
				"to wait for a disk",
		},
		{
			Name: "write-limit", Doc: "Processes write slowly to the disk of their data (control groups). " +
				"With cgroup v1 that concerns what they sync, and not what the kernel writes later.",
			Target: TargetOne, UsesProcesses: true, Host: PowerWrites, build: buildWriteLimit,
			Params: []Param{
				{
					Name: "rate", Unit: UnitRate, Default: "32768",
					Doc: "of all processes of a node together",
				},
				{
					Name: "path", Unit: UnitPath, Default: ".",
					Doc: "a directory on the disk, absolute or below the data directory",
				},
			},
			Proof: "the kernel counts that a node wrote what it may, for a second at least",
		},
	}
}

// slowFamilies are single faults.
func slowFamilies() []family {
	freeze := func(rng *rand.Rand) Params {
		return Params{"delay": millis(rng, 50, 600), "gap": millis(rng, 50, 200)}
	}
	rate := func(rng *rand.Rand) Params { return Params{"rate": strconv.Itoa(8192 << rng.IntN(4))} }
	all := func(kind string, params func(*rand.Rand) Params) []flavor {
		f := func(t Target) flavor { return flavor{kind: kind, target: t, params: params} }
		return []flavor{f(TargetPrimaries), f(TargetOne), f(TargetMajority)}
	}
	return []family{
		{
			name: "volume-slow", doc: "the volume of a node's data stands still for moments",
			flavors: all("volume-slow", freeze),
		},
		{
			name: "write-limit", doc: "nodes write slowly to their disks",
			flavors: all("write-limit", rate),
		},
	}
}

// slowVolume freezes and thaws volumes.
type slowVolume struct {
	*hostFault
	volume Injury
	// count asks the agents now and then, which live on by that.
	count *background
}

func buildSlowVolume(j job) (prepared, error) {
	delay, gap := j.set.duration("delay"), j.set.duration("gap")
	for _, d := range []time.Duration{delay, gap} {
		if d < 50*time.Millisecond || d > 30*time.Second {
			return prepared{}, fmt.Errorf("delay %v, gap %v: each from 50ms to 30s", delay, gap)
		}
	}
	f := slowVolume{
		newHostFault(j, Injury{Kind: InjurySlow, Offset: delay, Period: gap}),
		volumeOf(j), &background{},
	}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: fmt.Sprintf("the volumes of %s stand still for %v, again and again", nodeNames(j.hit),
			delay),
	}, nil
}

// Inject puts the data on volumes and freezes them.
func (f slowVolume) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no host was free"}, err
	}
	f.world.slowDown(f.id)
	f.world.claimAll(f.id, f.taken, false)
	if err := f.toVolumes(ctx, f.volume); err != nil {
		return Evidence{}, err
	}
	err := together(ctx, f.taken, func(n Node) error { return f.injure(ctx, n, f.injury) })
	if err != nil {
		return Evidence{}, err
	}
	limited, cancel := vtime.WithTimeout(ctx, diskShows+f.injury.Offset)
	defer cancel()
	for {
		f.lookAgain(ctx)
		works := func(n Node) bool { return f.fact(n, "slow") == 0 || f.fact(n, "waiting") == 0 }
		if !slices.ContainsFunc(f.taken, works) || !vtime.Sleep(limited, clockPoll) {
			break
		}
	}
	f.count.start(ctx, func(ctx context.Context) error {
		for vtime.Sleep(ctx, askEvery) {
			f.lookAgain(ctx)
		}
		return nil
	})
	return f.evidence(), nil
}

// askEvery is how often an agent that lives by that is asked.
const askEvery = 2 * time.Second

// evidence: syncs were slow, and the node has waited for them.
func (f slowVolume) evidence() Evidence {
	e := Evidence{Idle: true}
	var words []string
	for _, n := range f.taken {
		slow, waiting := f.fact(n, "slow"), f.fact(n, "waiting")
		e.Bit = e.Bit || slow > 0 && waiting > 0
		e.Idle = e.Idle && slow > 0 && waiting == 0
		for _, name := range []string{"freezes", "slow", "slowest ms", "waiting"} {
			e.add(name+" "+string(n), f.fact(n, name))
		}
		words = append(words, fmt.Sprintf("%s: %d syncs of the agent took up to %d ms, and the node "+
			"waited in %d of %d freezes", n, slow, f.fact(n, "slowest ms"), waiting,
			f.fact(n, "freezes")))
	}
	e.Why = strings.Join(words, "; ")
	for _, n := range f.taken {
		if f.fact(n, "runs") == 0 {
			e.Bit, e.Idle = false, false
			e.Why += "; the agent of " + string(n) + " has ended before its time"
		}
	}
	if e.Idle {
		e.Why = "nothing was written: " + e.Why
	}
	e.Why += f.leftOut()
	return e
}

// Observe counts once more.
func (f slowVolume) Observe(ctx context.Context) (Evidence, error) {
	_ = f.count.stop() // it has no errors
	f.lookAgain(ctx)
	return f.evidence(), nil
}

// Heal thaws the volumes, on which the data stays.
func (f slowVolume) Heal(ctx context.Context) (Evidence, error) {
	_ = f.count.stop()
	if _, err := f.mend(ctx); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	e, err := f.startTaken(ctx)
	if err == nil {
		e.Why = "a sync returned from the volume: " + nodeNames(f.taken) + "; " + e.Why
	}
	return e, err
}

// writeLimit lets processes write slowly.
type writeLimit struct {
	*hostFault
	count *background
	seen  map[Node]*writeTrace // under mu
}

// writeTrace follows how much of a limit a node uses, in stretches of a second or more.
type writeTrace struct {
	written, since int64 // bytes and milliseconds at the beginning of this stretch
	full, all      int64 // stretches: those in which it wrote all that it may, and all
	best           int64 // percent of the limit in the fullest
}

const (
	// writeStretch is the length of a stretch; for a tenth of a second the kernel lets more
	// through.
	writeStretch = 1000
	// writeFull is how many percent of the limit count as all of it.
	writeFull = 80
)

// add takes in what is known now.
func (w *writeTrace) add(written, since, rate int64) {
	took := since - w.since
	if took < writeStretch {
		return
	}
	used := (written - w.written) * 100 * 1000 / (rate * took)
	w.written, w.since = written, since
	w.all++
	w.best = max(w.best, used)
	if used >= writeFull {
		w.full++
	}
}

func buildWriteLimit(j job) (prepared, error) {
	rate := int64(j.set.rate("rate"))
	if rate == 0 {
		return prepared{}, errors.New("the parameters do nothing")
	}
	f := writeLimit{
		newHostFault(j, Injury{Kind: InjuryWrites, Path: j.set["path"], Bytes: rate}),
		&background{}, map[Node]*writeTrace{},
	}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo(),
		what: fmt.Sprintf("%s write at most %d bytes a second", nodeNames(j.hit), rate),
	}, nil
}

// lookAgain follows what the kernel counts.
func (f writeLimit) lookAgain(ctx context.Context) {
	f.hostFault.lookAgain(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.taken {
		if f.seen[n] == nil {
			f.seen[n] = &writeTrace{}
		}
		facts := f.what[n].Facts
		f.seen[n].add(facts["written"], facts["since ms"], f.injury.Bytes)
	}
}

// Inject sets the limits and waits for a while until a node has met its own.
func (f writeLimit) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no host was free"}, err
	}
	f.world.slowDown(f.id)
	err := together(ctx, f.taken, func(n Node) error { return f.injure(ctx, n, f.injury) })
	if err != nil {
		return Evidence{}, err
	}
	limited, cancel := vtime.WithTimeout(ctx, diskShows)
	defer cancel()
	for {
		f.lookAgain(ctx)
		if e := f.evidence(); e.Bit || !vtime.Sleep(limited, clockPoll) {
			f.count.start(ctx, func(ctx context.Context) error {
				for vtime.Sleep(ctx, countEvery) {
					f.lookAgain(ctx)
				}
				return nil
			})
			return e, nil
		}
	}
}

// evidence: a node wrote all that it may.
func (f writeLimit) evidence() Evidence {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := Evidence{Idle: true}
	var words []string
	for _, n := range f.taken {
		w := f.seen[n]
		written := f.what[n].Facts["written"]
		e.Bit = e.Bit || w.full > 0
		e.Idle = e.Idle && written == 0 && w.all > 0
		e.add("written "+string(n), written)
		e.add("stretches at the limit "+string(n), w.full)
		words = append(words, fmt.Sprintf("%s wrote all that it may in %d of %d stretches of a second, "+
			"at most %d%% of it", n, w.full, w.all, w.best))
	}
	e.Idle = e.Idle && !e.Bit
	e.Why = strings.Join(words, "; ")
	switch {
	case e.Idle:
		e.Why = "nothing was written: " + e.Why
	case !e.Bit:
		e.Why = "no node wanted to write more than it may: " + e.Why
	}
	e.Why += f.leftOut()
	return e
}

// Observe counts once more.
func (f writeLimit) Observe(ctx context.Context) (Evidence, error) {
	_ = f.count.stop() // it has no errors
	f.lookAgain(ctx)
	return f.evidence(), nil
}

// Heal takes the limits away.
func (f writeLimit) Heal(ctx context.Context) (Evidence, error) {
	_ = f.count.stop()
	return f.unlimited(ctx)
}
