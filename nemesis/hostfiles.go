package nemesis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// fileFault damages a file of nodes while they are down, and starts them with it.
type fileFault struct {
	*hostFault
	// refused are the nodes that do not start, and what they say.
	refused map[Node]string
}

func buildFile(j job) (prepared, error) {
	i := Injury{Kind: InjuryFlip, Path: j.set["path"], Place: j.rng.Float64()}
	what := "flip a bit of "
	if j.step.Fault == "file-truncate" {
		i = Injury{Kind: InjuryCut, Path: j.set["path"], Bytes: int64(j.set.rate("bytes"))}
		what = "cut the end off "
		if i.Bytes == 0 {
			return prepared{}, errors.New("the parameters do nothing")
		}
	}
	f := &fileFault{hostFault: newHostFault(j, i), refused: map[Node]string{}}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: what + i.named() + " on " + nodeNames(j.hit),
	}, nil
}

// Inject kills the nodes, damages the file, and tries to start them.
func (f *fileFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.takeFiles(); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	err := together(ctx, f.taken, func(n Node) error {
		if err := f.kill(ctx, n); err != nil {
			return err
		}
		if err := f.injure(ctx, n, f.injury); err != nil {
			return err
		}
		f.tryStart(ctx, n)
		return nil
	})
	if err != nil {
		return Evidence{}, err
	}
	return f.evidence()
}

// takeFiles seizes the hosts for a fault after which something durable may be lost.
func (f *hostFault) takeFiles() error {
	if err := f.take(); err != nil {
		return err
	}
	if err := f.world.loseAlone(f.id); err != nil {
		return err
	}
	f.world.claimAll(f.id, f.taken, false)
	return nil
}

// tryStart starts a node with a damaged file, which it may refuse.
func (f *fileFault) tryStart(ctx context.Context, n Node) {
	f.world.expect(f.id, []Node{n}, true)
	defer f.world.expect(f.id, []Node{n}, false)
	if err := f.world.processes.Start(ctx, n); err != nil {
		words, ok := f.world.lastWords(f.id, n)
		if !ok {
			words = err.Error()
		}
		f.look(n, func(*sighting) { f.refused[n] = shortened(words) })
	}
}

// evidence says what was done and what became of the nodes.
func (f *fileFault) evidence() (Evidence, error) {
	e, err := f.killed()
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, n := range f.taken {
		became := "started with it"
		if why := f.refused[n]; why != "" {
			became = "refuses to start (" + why + ")"
		}
		words = append(words, fmt.Sprintf("%s, %s: %s", n, f.what[n].Where, became))
		e.Bit = e.Bit && f.what[n].Where != ""
	}
	e.add("refused to start", int64(len(f.refused)))
	e.Why = strings.Join(words, "; ") + f.leftOut()
	return e, err
}

// Observe repeats what Inject saw.
func (f *fileFault) Observe(context.Context) (Evidence, error) { return f.evidence() }

// Heal puts the files back where nodes have refused them, and starts the nodes. What a
// node that runs has made of its file is its own.
func (f *fileFault) Heal(ctx context.Context) (Evidence, error) {
	return f.healFiles(ctx)
}

// healFiles mends what nodes that are down have not made their own, and starts them. The
// injuries of the others are forgotten when their hosts are left.
func (f *hostFault) healFiles(ctx context.Context) (Evidence, error) {
	left, err := "", error(nil)
	down := f.taken[:0:0]
	for _, n := range f.taken {
		s, stateErr := f.world.processes.State(ctx, n)
		err = errors.Join(err, stateErr)
		if stateErr == nil && s.PID == 0 {
			down = append(down, n)
		}
	}
	if err == nil {
		all := f.taken
		f.taken = down
		left, err = f.mend(ctx)
		f.taken = all
	}
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	e, err := f.startTaken(ctx)
	if left != "" {
		e.Why += "; " + left
	}
	return e, err
}

// rollbackFault puts files back to what they were some time ago.
type rollbackFault struct {
	*hostFault
	age time.Duration
}

func buildRollback(j job) (prepared, error) {
	f := &rollbackFault{
		hostFault: newHostFault(j, Injury{Kind: InjuryKeep, Path: j.set["path"]}),
		age:       min(j.set.duration("age"), j.step.For/2),
	}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: fmt.Sprintf("put %s on %s back to what it was %v before", f.injury.named(),
			nodeNames(j.hit), f.age),
	}, nil
}

// Inject keeps a copy of the files of a node that is down, and starts it; some time later
// the copy takes their place.
func (f *rollbackFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.takeFiles(); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	if err := f.swap(ctx, f.injury); err != nil {
		return Evidence{}, err
	}
	f.loop.start(ctx, func(ctx context.Context) error {
		if !vtime.Sleep(ctx, f.age) {
			return nil
		}
		back := f.injury
		back.Kind = InjuryRestore
		if err := f.swap(ctx, back); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
	return Evidence{Why: "copies were made", Bit: false}, nil
}

// swap does something to the files of all nodes while they are down.
func (f *rollbackFault) swap(ctx context.Context, i Injury) error {
	return together(ctx, f.taken, func(n Node) error {
		if err := f.kill(ctx, n); err != nil {
			return err
		}
		if err := f.injure(ctx, n, i); err != nil {
			return err
		}
		return f.start(ctx, n)
	})
}

// Observe wants files to be others than they were.
func (f *rollbackFault) Observe(context.Context) (Evidence, error) {
	err := f.loop.stop()
	return f.counted("changed", "files put back that had changed",
		"nothing had changed, or the fault ended before"), err
}

// Heal starts the nodes. What they have made of their old state is their own.
func (f *rollbackFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	e, err := f.healFiles(ctx)
	if err == nil && loopErr != nil {
		e.Why += "; in the meantime: " + loopErr.Error()
	}
	return e, err
}
