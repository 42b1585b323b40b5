package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// MemoryHandle is that of the group of a node's processes whose memory can be limited. A
// cluster makes it before the nodes start, since what a process has taken counts where it
// was taken; all faults of its memory share it.
const MemoryHandle Handle = "memory"

// memoryFault takes memory away.
type memoryFault struct{ *hostFault }

func memoryKinds() []Kind {
	return []Kind{{
		Name: "memory", Doc: "Processes get a part of the memory that they use, also for copies of " +
			"files (control groups). The kernel first takes what it can, and kills who wants more " +
			"than is left; killed nodes are started at the end.",
		Target: TargetOne, UsesProcesses: true, Host: PowerMemory, build: buildMemory,
		Params: []Param{
			{
				Name: "percent", Unit: UnitPercent, Default: "80",
				Doc: "of what the node's processes use when the fault begins",
			},
			{
				Name: "bytes", Unit: UnitBytes, Default: "0",
				Doc: "how much, instead of a percentage; 0: by that",
			},
		},
		Proof: "the kernel counts how often a process wanted more than the limit",
	}}
}

func memoryFamilies() []family {
	share := func(rng *rand.Rand) Params { return Params{"percent": strconv.Itoa(60 + rng.IntN(36))} }
	f := func(t Target) flavor { return flavor{kind: "memory", target: t, params: share} }
	return []family{{
		name: "memory", doc: "processes get less memory than they use; the kernel kills who wants more",
		flavors: []flavor{f(TargetPrimaries), f(TargetOne), f(TargetMinority)},
	}}
}

func buildMemory(j job) (prepared, error) {
	i := Injury{Kind: InjuryMemory, Bytes: int64(j.set.rate("bytes"))}
	what := fmt.Sprintf("%d bytes of memory", i.Bytes)
	if i.Bytes == 0 {
		i.Percent = j.set.percent("percent")
		what = fmt.Sprintf("%d%% of their memory", i.Percent)
	}
	f := memoryFault{newHostFault(j, i)}
	f.handle = MemoryHandle
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: nodeNames(j.hit) + " get " + what,
	}, nil
}

// Inject sets the limits and waits for a while until processes have met them. Nodes may
// end by it.
func (f memoryFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no host was free"}, err
	}
	f.world.slowDown(f.id)
	f.world.claimAll(f.id, f.taken, false)
	f.world.expect(f.id, f.taken, true)
	err := together(ctx, f.taken, func(n Node) error {
		s, err := f.world.processes.State(ctx, n)
		f.look(n, func(g *sighting) { g.before = s.PID })
		if err == nil {
			err = f.injure(ctx, n, f.injury)
		}
		return err
	})
	if err != nil {
		return Evidence{}, err
	}
	limited, cancel := vtime.WithTimeout(ctx, diskShows)
	defer cancel()
	for {
		f.lookAgain(ctx)
		waits := func(n Node) bool { return f.fact(n, "met") == 0 }
		if !slices.ContainsFunc(f.taken, waits) || !vtime.Sleep(limited, clockPoll) {
			return f.evidence(), nil
		}
	}
}

// evidence: somebody wanted more than the limit.
func (f memoryFault) evidence() Evidence {
	var e Evidence
	var words []string
	for _, n := range f.taken {
		met, killed := f.fact(n, "met"), f.fact(n, "killed")
		e.Bit = e.Bit || met > 0
		for _, name := range []string{"met", "killed", "before", "limit"} {
			e.add(name+" "+string(n), f.fact(n, name))
		}
		text := fmt.Sprintf("%s met its limit of %d bytes %d times (it had used %d)", n,
			f.fact(n, "limit"), met, f.fact(n, "before"))
		if killed > 0 {
			text += fmt.Sprintf(", the kernel killed %d for it", killed)
		}
		if last, ended := f.world.lastWords(f.id, n); ended {
			text += fmt.Sprintf(", and it ended (%s)", shortened(last))
		}
		words = append(words, text)
	}
	e.Why = strings.Join(words, "; ")
	if !e.Bit {
		e.Why = "no process wanted more memory than it was left: " + e.Why
	}
	e.Why += f.leftOut()
	return e
}

// Observe counts once more.
func (f memoryFault) Observe(ctx context.Context) (Evidence, error) {
	f.lookAgain(ctx)
	return f.evidence(), nil
}

// Heal lifts the limits and starts the nodes that have ended. The groups stay.
func (f memoryFault) Heal(ctx context.Context) (Evidence, error) {
	none := Injury{Kind: InjuryMemory}
	err := together(ctx, f.taken, func(n Node) error {
		if err := f.injure(ctx, n, none); err != nil {
			return err
		}
		if limit := f.fact(n, "limit"); limit != 0 {
			return fmt.Errorf("%s still has a limit of %d bytes", n, limit)
		}
		return nil
	})
	started, serr := f.startTaken(ctx)
	if err := errors.Join(err, serr); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	started.Why = "no limit is left: " + nodeNames(f.taken) + "; " + started.Why
	return started, nil
}
