package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// InjurySkew bends the time of day that the node's processes tell, by the code with which
// they ask for it: by Offset, by what Gain adds in each second, and if Period is not 0
// Offset comes and goes. It can be done again, and then reaches processes that were started
// since.
const InjurySkew InjuryKind = "skew"

// skewAgain is how often processes are looked for that were started since.
const skewAgain = time.Second

// skewFault bends the time of day of processes, whatever system they belong to.
type skewFault struct {
	*hostFault
	loop background

	// Guarded by the hostFault's mutex.
	seen map[Node]*skewSeen
}

// skewSeen is what was seen of one node.
type skewSeen struct {
	// first and last are what its processes' code told; known: that is something.
	first, last map[string]int64
	known       bool
	// anew counts how often processes were found that had to be bent anew.
	anew int64
}

func buildSkew(j job) (prepared, error) {
	i := Injury{Kind: InjurySkew}
	what := fmt.Sprintf("the time of day of all processes of %s: ", nodeNames(j.hit))
	switch j.step.Fault {
	case "wall-jump":
		i.Offset = j.set.offset("offset")
		what += fmt.Sprintf("a jump of %v", i.Offset)
	case "wall-strobe":
		i.Offset, i.Period = j.set.offset("offset"), max(time.Millisecond, j.set.duration("period"))
		what += fmt.Sprintf("jumps of %v, forth and back every %v", i.Offset, i.Period)
	case "wall-drift":
		i.Gain = j.set.factor("rate") - 1
		what += fmt.Sprintf("rate %v", j.set.factor("rate"))
	}
	if i.Offset == 0 && i.Gain == 0 {
		return prepared{}, errors.New("the parameters do nothing")
	}
	f := &skewFault{hostFault: newHostFault(j, i), seen: map[Node]*skewSeen{}}
	return prepared{fault: f, nodes: j.hit, what: what, undo: f.undo()}, nil
}

// Inject bends the clocks, and looks until it shows.
func (f *skewFault) Inject(ctx context.Context) (Evidence, error) {
	f.taken = f.world.seize(f.id, seamClock, f.hit)
	if len(f.taken) == 0 {
		return Evidence{Why: "no clock was free to be bent"},
			errNothingToDo{"every clock is in the hands of another fault, or its node is"}
	}
	for _, n := range f.taken {
		f.seen[n] = &skewSeen{}
	}
	err := together(ctx, f.taken, func(n Node) error { return f.injure(ctx, n, f.injury) })
	if err != nil {
		return Evidence{}, err
	}
	f.loop.start(ctx, f.again)
	limited, cancel := vtime.WithTimeout(ctx, clockShows)
	defer cancel()
	for {
		f.measure(ctx)
		if e := f.evidence(); e.Bit || !vtime.Sleep(limited, clockPoll) {
			return e, nil
		}
	}
}

// again bends what was started since, until ctx ends. A node that is down has nothing to
// be bent.
func (f *skewFault) again(ctx context.Context) error {
	for vtime.Sleep(ctx, skewAgain) {
		_ = together(ctx, f.taken, func(n Node) error {
			got, err := f.hosts.Injured(ctx, n, f.handle)
			if err != nil || got.Facts["true"] == 0 {
				return err
			}
			f.look(n, func(*sighting) { f.seen[n].anew++ })
			_, err = f.hosts.Injure(ctx, n, f.handle, f.injury)
			return err
		})
	}
	return nil
}

// measure looks at all nodes once.
func (f *skewFault) measure(ctx context.Context) {
	_ = together(ctx, f.taken, func(n Node) error {
		got, err := f.hosts.Injured(ctx, n, f.handle)
		if err != nil || got.Facts["bent"] == 0 {
			return err
		}
		f.look(n, func(*sighting) {
			s := f.seen[n]
			if !s.known {
				s.first, s.known = got.Facts, true
			}
			s.last = got.Facts
		})
		return nil
	})
}

// shows says in words what was seen of a node's clock; ok: it is what was to be.
func (f *skewFault) shows(s *skewSeen) (words string, ok bool) {
	ahead := func(facts map[string]int64) time.Duration {
		return time.Duration(facts["ahead ms"]) * time.Millisecond
	}
	switch {
	case !s.known:
		return "could not be looked at", false
	case f.injury.Period > 0:
		n := s.last["jumps"]
		return fmt.Sprintf("seen to jump %d times", n), n >= 2
	case f.injury.Gain != 0:
		took := s.last["since ms"] - s.first["since ms"]
		if took < 50 {
			return "not watched for long enough", false
		}
		gain := float64(s.last["ahead ms"]-s.first["ahead ms"]) / float64(took)
		return fmt.Sprintf("at rate %.4g (set %.4g)", 1+gain, 1+f.injury.Gain),
			math.Abs(gain-f.injury.Gain) <= 0.2*math.Abs(f.injury.Gain)+2/float64(took)
	}
	near := func(d time.Duration) bool {
		return (d - f.injury.Offset).Abs() <= max(f.injury.Offset.Abs()/4, 20*time.Millisecond)
	}
	return aheadBy(ahead(s.last)), near(ahead(s.last))
}

// evidence wants every node whose processes could be looked at to be bent.
func (f *skewFault) evidence() Evidence {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := Evidence{Bit: len(f.taken) > 0}
	var words []string
	for _, n := range f.taken {
		s := f.seen[n]
		text, ok := f.shows(s)
		e.Bit = e.Bit && ok
		if s.known {
			e.add("processes "+string(n), s.last["bent"])
			e.add("ahead ms "+string(n), s.last["ahead ms"])
		}
		if s.anew > 0 {
			text += fmt.Sprintf(", bent anew after starts %d times", s.anew)
		}
		words = append(words, string(n)+": "+text)
	}
	e.Why = strings.Join(words, "; ")
	if left := others(f.hit, f.taken); len(left) > 0 {
		e.Why += "; left to another fault: " + nodeNames(left)
	}
	return e
}

// Observe looks once more; what was seen before stays seen if a node is down now.
func (f *skewFault) Observe(ctx context.Context) (Evidence, error) {
	err := f.loop.stop()
	f.measure(ctx)
	return f.evidence(), err
}

// Heal puts the code back, in all processes that have the other, and reads it back.
func (f *skewFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	left, err := f.mend(ctx)
	if err != nil {
		return Evidence{Why: err.Error()}, errors.Join(loopErr, err)
	}
	why := "no process tells another time any more: " + nodeNames(f.taken)
	if left != "" {
		why += "; " + left
	}
	return Evidence{Bit: true, Why: why}, nil
}
