package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

func diskKinds() []Kind {
	kind := func(name, doc, proof string, build func(job) (prepared, error), params ...Param) Kind {
		return Kind{
			Name: name, Doc: doc, Target: TargetOne, Params: params, Proof: proof,
			UsesProcesses: true, UsesDisks: true, build: build,
		}
	}
	const itself = "the process ended by itself"
	return []Kind{
		kind("disk-slow", "Syncs take long.", "the node counts delayed syncs", buildSlowDisk,
			Param{
				Name: "delay", Unit: UnitDuration, Default: "300ms",
				Doc: "how much longer each takes, up to 10s",
			}),
		kind("disk-error", "A sync fails and loses what it should have made durable. The node "+
			"stops; it is started again at the end. Hits at most a minority.", itself, buildStopDisk),
		kind("disk-full", "Every write is refused after its first half. The node stops and does "+
			"not start again before the end. Hits at most a minority.",
			itself+" and did not start again", buildStopDisk),
		kind("disk-torn", "Half of each write reaches the disk before it is synced; then the node "+
			"is killed.", "the node counts torn writes; and "+proofPID, buildTornDisk),
		kind("bit-flip", "The node is killed, a bit in the first half of its log is flipped, and "+
			"it is started. If it refuses, the bit is put back at the end.",
			"the node refuses to start, or starts with a damaged log", buildFlip),
	}
}

// diskFamilies is what a correct node withstands. A bit that is flipped is not part of
// it: a node refuses to start on such a log, unless its protocol can rejoin without.
func diskFamilies() []family {
	slow := func(rng *rand.Rand) Params { return Params{"delay": millis(rng, 50, 600)} }
	return []family{
		{
			name: "disk", byName: 2,
			doc: "syncs are slow or fail, disks are full, kills leave half a write behind",
			flavors: []flavor{
				{
					kind: "disk-slow", target: TargetPrimaries, params: slow, telling: true,
					sequels: stall(TargetPrimaries, true),
				},
				{
					kind: "disk-slow", target: TargetOne, params: slow, telling: true,
					sequels: stall(TargetOne, false),
				},
				{kind: "disk-slow", target: TargetOne, params: slow, long: true},
				{
					kind: "disk-slow", target: TargetMajority, params: slow,
					sequels: stall(TargetMajority, false),
				},
				{kind: "disk-error", target: TargetPrimaries, sequels: remembrance()},
				{kind: "disk-error", target: TargetMinority, sequels: remembrance()},
				{kind: "disk-full", target: TargetPrimaries, sequels: remembrance()},
				{kind: "disk-full", target: TargetMinority, sequels: remembrance()},
				{kind: "disk-torn", target: TargetPrimaries, telling: true, sequels: remembrance()},
				{
					kind: "disk-torn", target: TargetMinority, quick: true, telling: true,
					sequels: remembrance(),
				},
			},
		},
		{
			name: "bit-flip", doc: "a bit of a node's log is flipped while it is down",
			flavors: []flavor{{kind: "bit-flip", target: TargetOne, sequels: remembrance()}},
		},
	}
}

// stopsByDisk reports whether a kind makes nodes end by themselves.
func stopsByDisk(kind string) bool {
	return kind == "disk-error" || kind == "disk-full" || kind == "volume-full"
}

// stopDisk makes nodes end by themselves.
type stopDisk struct{ *diskFault }

func buildStopDisk(j job) (prepared, error) {
	most := TargetMinority.size(len(j.nodes))
	if most == 0 {
		return prepared{}, fmt.Errorf("a minority of %d nodes is no node at all", len(j.nodes))
	}
	j.hit = j.hit[:min(len(j.hit), most)]
	setting, what := DiskSetting{SyncErrors: 1}, "a sync fails on "
	if j.step.Fault == "disk-full" {
		setting, what = DiskSetting{Full: true}, "no space on the disk of "
	}
	f := stopDisk{newDiskFault(j, setting)}
	return prepared{
		fault: f, nodes: j.hit, what: what + nodeNames(j.hit), undo: f.undo("start"),
	}, nil
}

// Inject troubles the disks and waits for a while that the nodes stop.
func (f stopDisk) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no disk was free"}, err
	}
	err := together(ctx, f.taken, func(n Node) error {
		s, err := f.world.processes.State(ctx, n)
		f.look(n, func(g *sighting) { g.before = s.PID })
		return err
	})
	if err != nil {
		return Evidence{}, err
	}
	f.measure(ctx, true)
	f.world.holdDown(f.id, f.taken)
	f.world.expect(f.id, f.taken, true)
	if err := f.set(ctx, f.setting); err != nil {
		return Evidence{}, err
	}
	limited, cancel := vtime.WithTimeout(ctx, diskShows)
	defer cancel()
	for defied := 0; ; {
		e, all := f.ended()
		if all || defied > stopPolls || !vtime.Sleep(limited, diskPoll) {
			return e, nil
		}
		f.measure(limited, false)
		if len(f.defying()) > 0 {
			defied++
		}
	}
}

// stopPolls is how many looks a node may take to end once its disk has failed it.
const stopPolls = 20

// defying are the nodes that run although their disk has failed them.
func (f stopDisk) defying() []Node {
	met, _ := f.showing()
	return slices.DeleteFunc(met, func(n Node) bool {
		_, gone := f.world.lastWords(f.id, n)
		return gone
	})
}

// ended is the evidence of processes that ended by themselves.
func (f stopDisk) ended() (e Evidence, all bool) {
	var gone, words []string
	var up []Node
	for _, n := range f.taken {
		if last, ok := f.world.lastWords(f.id, n); ok {
			gone, words = append(gone, string(n)), append(words, last)
		} else {
			up = append(up, n)
		}
	}
	e.add("ended by themselves", int64(len(gone)))
	defying := f.defying()
	if len(gone) == 0 && len(defying) > 0 {
		e.Bit = true
		e.Why = "goes on although its disk failed it: " + nodeNames(defying) + f.left()
		return e, false
	}
	if len(gone) == 0 {
		e.Why = "did not end, perhaps nothing was written: " + nodeNames(up)
		return e, false
	}
	e.Bit = true
	e.Why = fmt.Sprintf("ended by itself: %s (%s)", strings.Join(gone, " "), shortened(words[0]))
	if len(up) > 0 {
		e.Why += "; wrote nothing and runs: " + nodeNames(up)
	}
	e.Why += f.left()
	return e, len(up) == 0
}

// Observe looks once more. A full disk must keep its node from starting.
func (f stopDisk) Observe(ctx context.Context) (Evidence, error) {
	e, _ := f.ended()
	e.Idle = !e.Bit && f.idle(ctx)
	for _, n := range f.taken {
		if _, gone := f.world.lastWords(f.id, n); !gone || !f.setting.Full {
			continue
		}
		if err := f.world.processes.Start(ctx, n); err == nil {
			e.Bit = false
			e.Why += "; but it started on a full disk: " + string(n)
		} else {
			e.Why += "; does not start: " + string(n)
		}
		break
	}
	return e, nil
}

// Heal makes the disks sound and starts the nodes.
func (f stopDisk) Heal(ctx context.Context) (Evidence, error) {
	if err := f.set(ctx, DiskSetting{}); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	// A node that runs yet may still stop until it has noticed.
	vtime.Sleep(ctx, diskSettles)
	return f.startTaken(ctx)
}

// shortened takes the middle out of a text that is too long for a sentence: what went
// wrong stands at its beginning and at its end.
func shortened(s string) string {
	const most = 160
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most/2]) + " … " + string(r[len(r)-most/2:])
	}
	return s
}

// flipFault damages the log of a node.
type flipFault struct {
	*diskFault
	where map[Node]string
	// refused are the nodes that do not start, and what they say.
	refused map[Node]string
}

func buildFlip(j job) (prepared, error) {
	f := &flipFault{
		diskFault: newDiskFault(j, DiskSetting{}),
		where:     map[Node]string{}, refused: map[Node]string{},
	}
	return prepared{
		fault: f, nodes: j.hit, undo: f.diskFault.processFault.undo(UndoFlip),
		what: "flip a bit in the log of " + nodeNames(j.hit),
	}, nil
}

// Inject kills the nodes, flips, and tries to start them.
func (f *flipFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no disk was free"}, err
	}
	if err := f.world.loseAlone(f.id); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	f.world.claimAll(f.id, f.taken, false)
	places := map[Node]float64{}
	for _, n := range f.taken {
		places[n] = f.rng.Float64()
	}
	err := together(ctx, f.taken, func(n Node) error {
		if err := f.kill(ctx, n); err != nil {
			return err
		}
		where, err := f.disks.FlipBit(ctx, n, places[n])
		if errors.Is(err, ErrLogTooSmall) {
			return nil
		}
		f.look(n, func(*sighting) { f.where[n] = where })
		return err
	})
	if err != nil {
		return Evidence{}, err
	}
	if len(f.where) == 0 {
		return Evidence{Why: "the logs are too small"}, errNothingToDo{
			"no log was large enough to be damaged",
		}
	}
	for _, n := range f.taken {
		if f.where[n] != "" {
			f.tryStart(ctx, n)
		}
	}
	return f.evidence()
}

// tryStart starts a node on a damaged log, which it may refuse.
func (f *flipFault) tryStart(ctx context.Context, n Node) {
	f.world.expect(f.id, []Node{n}, true)
	defer f.world.expect(f.id, []Node{n}, false)
	if err := f.world.processes.Start(ctx, n); err != nil {
		words, ok := f.world.lastWords(f.id, n)
		if !ok {
			words = err.Error()
		}
		f.refused[n] = shortened(words)
	}
}

// evidence says what became of the nodes.
func (f *flipFault) evidence() (Evidence, error) {
	e, err := f.killed()
	var words []string
	for _, n := range f.taken {
		switch where, refused := f.where[n], f.refused[n]; {
		case where == "":
			words = append(words, fmt.Sprintf("the log of %s is too small", n))
		case refused != "":
			words = append(words, fmt.Sprintf("%s at %s: refuses to start (%s)", n, where, refused))
		default:
			words = append(words, fmt.Sprintf("%s at %s: started with it", n, where))
		}
	}
	e.add("refused to start", int64(len(f.refused)))
	e.Why = strings.Join(words, "; ")
	return e, err
}

// Observe repeats what Inject saw.
func (f *flipFault) Observe(context.Context) (Evidence, error) { return f.evidence() }

// Heal puts the bits back where nodes refused them, and starts the nodes.
func (f *flipFault) Heal(ctx context.Context) (Evidence, error) {
	err := together(ctx, f.taken, func(n Node) error {
		s, err := f.world.processes.State(ctx, n)
		if err != nil || s.PID != 0 {
			return err // what a running node has made of its log is its own
		}
		return f.disks.Unflip(ctx, n)
	})
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	ctx, cancel := vtime.WithTimeout(ctx, time.Minute)
	defer cancel()
	e, err := f.startTaken(ctx)
	if err == nil {
		// A node may have started on what is left, and need the others for the rest.
		err = f.awaitWhole(ctx)
	}
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	return e, nil
}
