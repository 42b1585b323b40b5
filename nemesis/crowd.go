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
	// when it begins: while the fault is in force, shortly before its end, the same but not
	// before all others are over, at the last moment of it, at that of the one before, which
	// has to be the moment after the fault began, or when it has been healed.
	when phase
	// beyond: it goes on for as long as usual when the fault has been healed.
	beyond bool
	// then is what follows the sequel itself, one of them.
	then []sequel
	// others are hit, not those that the fault hit; or the same; or one that no fault of
	// the crowd has hit.
	others, same, rest bool
}

type phase int

const (
	during phase = iota
	lately
	finally
	changing
	changed
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

// remembrance comes with a fault that may have taken from nodes what they said they have: a
// power cut of all, so that only the disks know, or a cut that leaves these nodes in a
// majority that needs each of them. Those that were not there when they said so do not know
// better: so others are cut off meanwhile, until all restart, seconds apart and in any order.
func remembrance() []sequel {
	late := lateness()[0]
	late.when = finally
	return []sequel{
		{
			family: "partition", kind: "partition", shape: ShapeGroup, target: TargetMinority,
			others: true, beyond: true, then: []sequel{late},
		},
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
	return []sequel{{
		family: "partition", kind: "partition", shape: ShapeGroup, target: TargetMinority,
		others: true,
	}}
}

// shift follows a cut by one of others: what only these had heard, those that were cut off
// must do without, although they are needed for a majority. The second begins just before
// the first ends, so that nobody hears the news in between, and whoever is on the side of
// both majorities is hit at that moment.
func shift() []sequel {
	blows := []sequel{
		{family: "kill", kind: "kill", target: TargetOne},
		{family: "wipe", kind: "disk-wipe", target: TargetOne, quick: true},
		{family: "bit-flip", kind: "bit-flip", target: TargetOne},
	}
	for i := range blows {
		blows[i].when, blows[i].rest = changed, true
	}
	return []sequel{{
		family: "partition", kind: "partition", shape: ShapeGroup, target: TargetMinority,
		when: changing, others: true, then: blows,
	}}
}

// stall kills those whose disk is slow: what they told others before it was on their own disk
// they have forgotten.
func stall(t Target, quick bool) []sequel {
	return []sequel{{family: "kill", kind: "kill", target: t, quick: quick, same: true}}
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
	if len(v.sequels) > 0 && p.rng.IntN(8) > 0 {
		p.lead(len(p.steps)-1, v.sequels[p.rng.IntN(len(v.sequels))], v.quick)
	}
}

// lead adds a sequel of the i-th step, the last one; quick says that it lasts a moment.
func (p *planner) lead(i int, s sequel, quick bool) {
	next, ok := p.find(s)
	if !ok || p.crowded >= crowdSize || s.when < finally && !p.mixes(next) {
		return
	}
	last := p.steps[i]
	at := p.moment(i, s.when).Round(time.Millisecond)
	dur := p.length(next, at)
	if s.beyond {
		dur += last.At + last.For + p.healing(last) - at
	}
	dur = min(dur, p.end-p.longestHealing(next)-at)
	if dur < p.least(next) {
		return
	}
	step := p.resolve(next)
	if s.when == changed && !s.place(&step, p) {
		return
	} else if s.when == changed && next.kind != "bit-flip" {
		dur = changeTime / 4
	}
	if rest := others(p.Nodes, last.Nodes); s.others && last.Nodes != nil {
		p.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		step.Nodes = rest[:min(len(rest), len(step.Nodes))]
	}
	if s.same && last.Nodes != nil {
		step.Nodes = last.Nodes
	}
	step = p.add(step, at, dur)
	if s.when == during && !quick && !s.beyond {
		// It is the two together that hurt: the first outlasts the second.
		p.outlast(i, step.At+step.For+outlasting)
	}
	possible := slices.DeleteFunc(slices.Clone(s.then), func(t sequel) bool {
		_, ok := p.find(t)
		return !ok
	})
	if len(possible) > 0 {
		p.lead(len(p.steps)-1, possible[p.rng.IntN(len(possible))], next.quick)
	}
}

// place lets a step hit one node that no other of the crowd hits, if there is one.
func (s sequel) place(step *Step, p *planner) bool {
	rest := p.Nodes
	for _, other := range p.steps[len(p.steps)-p.crowded:] {
		if rest = others(rest, other.Nodes); other.Nodes == nil {
			return false // who was hit shows later
		}
	}
	if len(rest) > 0 {
		step.Nodes = []Node{rest[p.rng.IntN(len(rest))]}
	}
	return len(rest) > 0
}

// changeTime is for how long two cuts that follow each other are both in force.
const changeTime = 300 * time.Millisecond

// moment is when a sequel of the i-th step begins.
func (p *planner) moment(i int, when phase) time.Duration {
	last := p.steps[i]
	share := 0.1 + 0.4*p.rng.Float64()
	switch when {
	case lately:
		return last.At + time.Duration((0.5+share)*float64(last.For))
	case changing:
		return last.At + last.For - changeTime
	case changed:
		return last.At + changeTime/2
	case finally:
		var over time.Duration // the faults before it
		for _, s := range p.steps[len(p.steps)-p.crowded : i] {
			over = max(over, s.At+s.For+p.healing(s))
		}
		end := last.At + last.For
		return max(over, end-time.Duration(share*float64(end-over)))
	case healed:
		return p.crowdEnd + time.Duration(share*float64(time.Second))
	default:
		return last.At + time.Duration(share*float64(last.For))
	}
}

// outlasting is for how long a fault goes on after the one that it was to meet.
const outlasting = 250 * time.Millisecond

// outlast makes the i-th step last until the end given, as far as there is time.
func (p *planner) outlast(i int, end time.Duration) {
	s := &p.steps[i]
	end = min(end, p.end-p.healing(*s)).Round(time.Millisecond)
	s.For = max(s.For, end-s.At)
	p.crowdEnd = max(p.crowdEnd, s.At+s.For+p.healing(*s))
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
	if rng.IntN(3) == 0 {
		// Most rounds come through in part only, and many pieces late.
		p["loss"], p["duplicate"] = percent(rng, 12, 18), percent(rng, 5, 15)
		p["jitter"], p["hold"] = millis(rng, 5, 40), percent(rng, 8, 18)
		p["hold_min"], p["hold_max"] = millis(rng, 20, 100), millis(rng, 300, 1200)
		return p
	}
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
