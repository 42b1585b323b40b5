package nemesis

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

func wipeKinds() []Kind {
	return []Kind{{
		Name: "disk-wipe",
		Doc: "The node is killed, loses everything on its disk, and is started. Hits one node, " +
			"and none while another has not got back what it lost.",
		Target: TargetOne, UsesProcesses: true, UsesDisks: true, build: buildWipe,
		Proof: "there was something on the disk; and " + proofPID,
	}}
}

// wipeFamilies is what only a protocol withstands whose nodes can rejoin with nothing.
func wipeFamilies() []family {
	return []family{{
		name: "wipe", doc: "a node loses its whole disk while it is down",
		flavors: []flavor{
			{kind: "disk-wipe", target: TargetOne, sequels: doubt()},
			{kind: "disk-wipe", target: TargetPrimaries, sequels: doubt()},
			{
				kind: "disk-wipe", target: TargetOne, quick: true, telling: true,
				sequels: doubt(),
			},
		},
	}}
}

// wipeFault takes all that a node has. Two nodes that lack something at the same time
// are more than a claim covers, so it looks first whether all others are whole, and it
// is not healed before its own is.
type wipeFault struct {
	*diskFault
	lost int64
}

func buildWipe(j job) (prepared, error) {
	if TargetMinority.size(len(j.nodes)) == 0 {
		return prepared{}, fmt.Errorf("a minority of %d nodes is no node at all", len(j.nodes))
	}
	j.hit = j.hit[:min(len(j.hit), 1)]
	f := &wipeFault{diskFault: newDiskFault(j, DiskSetting{})}
	return prepared{
		fault: f, nodes: j.hit, undo: f.diskFault.processFault.undo("start"),
		what: "wipe the disk of " + nodeNames(j.hit),
	}, nil
}

// Inject kills the node, wipes its disk, and starts it.
func (f *wipeFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no disk was free"}, err
	}
	if err := f.world.loseAlone(f.id); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	if err := f.whole(ctx, f.world.nodes); err != nil {
		return Evidence{Why: err.Error()}, errNothingToDo{err.Error()}
	}
	f.world.claimAll(f.id, f.taken, false)
	n := f.taken[0]
	if err := f.kill(ctx, n); err != nil {
		return Evidence{}, err
	}
	var err error
	if f.lost, err = f.disks.Wipe(ctx, n); err != nil {
		return Evidence{}, err
	}
	return f.evidence(f.start(ctx, n))
}

func (f *wipeFault) evidence(err error) (Evidence, error) {
	e, killErr := f.killed()
	e.add("bytes lost", f.lost)
	e.Bit = e.Bit && f.lost > 0
	if f.lost == 0 {
		e.Why = strings.TrimSpace("there was nothing on the disk; " + e.Why)
	}
	return e, errors.Join(err, killErr)
}

// Observe repeats what Inject saw.
func (f *wipeFault) Observe(context.Context) (Evidence, error) { return f.evidence(nil) }

// Heal starts the node and waits until it has got back what others hold.
func (f *wipeFault) Heal(ctx context.Context) (Evidence, error) {
	e, err := f.startTaken(ctx)
	if err == nil {
		err = f.awaitWhole(ctx)
	}
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	e.Why = strings.TrimSpace(e.Why + "; it has got back what it lost")
	return e, nil
}
