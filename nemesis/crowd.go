package nemesis

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// A fault alone is often survived: what goes wrong needs a second one that comes while the
// first is in force. This file has the two ways in which a plan makes such pairs on purpose;
// the third, chance, is planner.place.

// sequel is what mostly comes with a fault, because the fault hurts only then: that a
// leader's clock is wrong matters when nobody else tells it the news, what an operator handed
// over when the new owner dies, what a disk has lost when nobody remembers it.
type sequel struct {
	family, kind string
	shape        Shape
	target       Target
	quick, apart bool
	// when it begins: while the fault is in force, shortly before its end, or when it
	// has been healed.
	when phase
	// others are hit, not those that the fault hit.
	others bool
}

type phase int

const (
	during phase = iota
	lately
	healed
)

// cutOff separates the leader from the others while something else is wrong with it.
func cutOff() []sequel {
	return []sequel{{
		family: "partition", kind: "partition", shape: ShapeIsolate, target: TargetPrimaries,
	}}
}

// death kills the leader of that moment, when some orders were done.
func death() []sequel {
	return []sequel{{
		family: "kill", kind: "kill", target: TargetPrimaries, quick: true, when: lately,
	}}
}

// remembrance follows a fault that may have taken from nodes what they said they have: a
// power cut of all, so that only the disks know, or a cut that leaves these nodes in a
// majority that needs each of them.
func remembrance() []sequel {
	return []sequel{
		{family: "kill", kind: "kill-all", target: TargetAll, when: healed},
		{
			family: "partition", kind: "partition", shape: ShapeGroup, target: TargetMinority,
			when: healed, others: true,
		},
	}
}

// doubt cuts others off while nodes lack what they said they have, so that their votes would
// be needed.
func doubt() []sequel {
	s := remembrance()[1]
	s.when = during
	return []sequel{s}
}

// lateness follows a fault that keeps nodes from the news: all restart, seconds apart, so
// that those may be the first.
func lateness() []sequel {
	return []sequel{{
		family: "kill", kind: "kill-all", target: TargetAll, apart: true, when: lately,
	}}
}

// follow adds a sequel of the last step, which is of the flavor v, if the families that
// were chosen have one and there is time.
func (p *planner) follow(v flavor) {
	if len(v.sequels) == 0 || p.crowded >= crowdSize || p.rng.IntN(4) == 0 {
		return
	}
	s := v.sequels[p.rng.IntN(len(v.sequels))]
	next, ok := p.find(s)
	last := p.steps[len(p.steps)-1]
	if !ok || s.when != healed && !p.mixes(next) {
		return
	}
	share := 0.1 + 0.4*p.rng.Float64()
	at := last.At + time.Duration(share*float64(last.For))
	switch s.when {
	case lately:
		at = last.At + time.Duration((0.5+share)*float64(last.For))
	case healed:
		at = p.crowdEnd + time.Duration(share*float64(time.Second))
	}
	at = at.Round(time.Millisecond)
	dur := min(p.length(next, at), p.end-p.longestHealing(next)-at)
	if dur < p.least(next) {
		return
	}
	step := p.resolve(next)
	if rest := others(p.Nodes, last.Nodes); s.others && last.Nodes != nil {
		p.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		step.Nodes = rest[:min(len(rest), len(step.Nodes))]
	}
	p.add(step, at, dur)
}

// find returns the flavor of the chosen families that a sequel means.
func (p *planner) find(s sequel) (flavor, bool) {
	for _, f := range p.families {
		for _, v := range f.flavors {
			if f.name == s.family && v.kind == s.kind && v.shape == s.shape &&
				v.quick == s.quick && v.apart == s.apart && v.target == s.target {
				return v, true
			}
		}
	}
	return flavor{}, false
}

// noise makes the network a little bad from the first fault to the last: some messages are
// lost, some come twice, late or in another order. Then faults meet rounds of a protocol
// that came through in part, and more of them, since they take longer. Faults of the
// messages on all links are left out: they would not be told from it.
func (p *planner) noise() {
	for j := range p.families {
		f := &p.families[j]
		f.flavors = slices.DeleteFunc(slices.Clone(f.flavors), func(v flavor) bool {
			return sortOf(v.kind) == "messages" && v.target == ""
		})
	}
	p.families = slices.DeleteFunc(p.families, func(f family) bool { return len(f.flavors) == 0 })
	p.steps = append(p.steps, Step{
		ID: 1, Fault: "messages", At: p.crowdEnd, For: p.end - p.crowdEnd,
		Seed: uint64(p.rng.Uint32()) + 1, Params: noisyMessages(p.rng),
	})
}

// noisyMessages are few enough that a protocol makes progress, and many enough that most of
// its rounds meet one.
func noisyMessages(rng *rand.Rand) Params {
	p := noMessages()
	p["loss"] = percent(rng, 4, 12)
	p["duplicate"] = percent(rng, 4, 12)
	p["reorder"] = percent(rng, 5, 15)
	p["delay"], p["jitter"] = millis(rng, 1, 8), millis(rng, 5, 30)
	if rng.IntN(2) == 0 {
		p["hold"] = percent(rng, 2, 8)
		p["hold_min"], p["hold_max"] = millis(rng, 50, 300), millis(rng, 500, 2500)
	}
	return p
}

// seriesOf is how many seeds share their decks.
const seriesOf = 1000

// firstDeck is the deck of a family's flavors that a plan begins with. Tests of a series,
// whose seeds follow each other within a thousand, have the same, and each begins one card
// further: together they soon have dealt each card, where decks of their own would leave
// some out for long, since a short test takes only one or two.
func (p *planner) firstDeck(f family, deck []int) []int {
	h := fnv.New64a()
	fmt.Fprint(h, f.name)
	rng := rand.New(rand.NewPCG(p.Seed/seriesOf, h.Sum64()))
	deck = spread(rng, deck, func(i int) bool { return f.flavors[i].telling })
	turn := int(p.Seed%seriesOf) % len(deck)
	return slices.Concat(deck[turn:], deck[:turn])
}
