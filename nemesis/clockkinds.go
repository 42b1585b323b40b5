package nemesis

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// whichClock is the parameter that says which of a node's clocks is bent.
func whichClock() Param {
	return Param{
		Name: "clock", Unit: UnitClock, Default: "both",
		Doc: "wall (the time of day), monotonic (how long something takes), or both",
	}
}

func clockKinds() []Kind {
	const proof = "the offset or rate of the clock, measured at the node, before, during and after"
	kind := func(name, doc string, params ...Param) Kind {
		return Kind{
			Name: name, Doc: doc, Target: TargetOne, Params: append([]Param{whichClock()}, params...),
			Proof: proof, UsesClocks: true, build: buildClock,
		}
	}
	offset := func(d string) Param {
		return Param{
			Name: "offset", Unit: UnitOffset, Default: d, Doc: "by how much; negative is backwards",
		}
	}
	return []Kind{
		kind("clock-jump", "A clock jumps, and back at the end.", offset("2s")),
		kind("clock-drift", "A clock runs too fast or too slowly.",
			Param{Name: "rate", Unit: UnitFactor, Default: "1.04", Doc: "seconds shown in a second"},
			Param{
				Name: "others", Unit: UnitFactor, Default: "1",
				Doc: "the rate of all clocks that are not hit",
			}),
		kind("clock-strobe", "A clock jumps forth and back several times a second.",
			offset("400ms"), Param{
				Name: "period", Unit: UnitDuration, Default: "200ms",
				Doc: "mean time between two jumps; a node looks at its clock file every 50 ms",
			}),
		kind("clock-freeze", "A clock stands still; from then on it goes on from there."),
	}
}

func buildClock(j job) (prepared, error) {
	f := &clockFault{
		id: j.step.ID, world: j.world, clocks: j.env.Clocks, hit: slices.Clone(j.hit), rng: j.rng,
		settings: map[Node]ClockSetting{},
	}
	var bend Bend
	which := j.set["clock"]
	name := map[string]string{"wall": "wall clock", "monotonic": "monotonic clock"}[which]
	if name == "" {
		name = "both clocks"
	}
	what := fmt.Sprintf("%s of %s: ", name, nodeNames(j.hit))
	switch j.step.Fault {
	case "clock-jump":
		bend.Offset = j.set.offset("offset")
		what += fmt.Sprintf("a jump of %v", bend.Offset)
	case "clock-strobe":
		bend.Offset, f.every = j.set.offset("offset"), max(2*clockPoll, j.set.duration("period"))
		what += fmt.Sprintf("jumps of %v, forth and back every %v", bend.Offset, f.every)
	case "clock-freeze":
		bend.Freeze = true
		what += "standing still"
	case "clock-drift":
		bend.Rate = j.set.factor("rate")
		what += fmt.Sprintf("rate %v", bend.Rate)
	}
	f.settings = settingsOf(j.hit, which, bend)
	if rest := others(j.nodes, j.hit); j.set["others"] != "" && len(rest) > 0 {
		if rate := j.set.factor("others"); rate != 1 {
			maps.Copy(f.settings, settingsOf(rest, which, Bend{Rate: rate}))
			f.hit = slices.Clone(j.nodes)
			what += fmt.Sprintf("; of %s: rate %v", nodeNames(rest), rate)
		}
	}
	if bend.Offset == 0 && bend.deviation() == 0 {
		return prepared{}, errors.New("the parameters do nothing")
	}
	var undo []string
	for _, n := range f.hit {
		undo = append(undo, UndoClock+" "+string(n))
	}
	return prepared{fault: f, nodes: f.hit, what: what, undo: undo}, nil
}

// settingsOf bends the chosen clocks of nodes in the same way.
func settingsOf(nodes []Node, which string, b Bend) map[Node]ClockSetting {
	out := map[Node]ClockSetting{}
	for _, n := range nodes {
		var s ClockSetting
		if which != "monotonic" {
			s.Wall = b
		}
		if which != "wall" {
			s.Monotonic = b
		}
		out[n] = s
	}
	return out
}

// clockFamilies are the wild one, which only systems without clocks withstand, and
// the one that stays within what protocols with leases declare.
func clockFamilies() []family {
	f := func(kind string, t Target, params func(*rand.Rand) Params) flavor {
		return flavor{kind: kind, target: t, params: params}
	}
	telling := func(v flavor) flavor {
		v.telling, v.weight, v.sequels = true, 2, cutOff()
		return v
	}
	long := func(v flavor) flavor {
		v.long = true
		return v
	}
	return []family{
		{
			name: "clock", byName: 2,
			doc: "clocks jump, drift, strobe and freeze without any bound, " +
				"those of the time of day and those of durations",
			flavors: []flavor{
				telling(f("clock-jump", TargetPrimaries, anyJump)),
				f("clock-jump", TargetOne, anyJump),
				f("clock-jump", TargetMajority, anyJump),
				f("clock-jump", TargetAll, anyJump),
				telling(f("clock-drift", TargetPrimaries, anyDrift)),
				f("clock-drift", TargetMinority, anyDrift),
				f("clock-drift", TargetAll, anyDrift),
				f("clock-strobe", TargetOne, anyStrobe),
				f("clock-strobe", TargetPrimaries, anyStrobe),
				telling(f("clock-freeze", TargetPrimaries, anyClock)),
				f("clock-freeze", TargetMinority, anyClock),
				f("clock-freeze", TargetOne, anyClock),
			},
		},
		{
			name: "drift", byName: 2,
			doc: "clocks within the bounds that leases declare: rates within 4.9 % " +
				"of the true one, and jumps of any size of the time of day only",
			flavors: []flavor{
				telling(long(f("clock-drift", TargetPrimaries, apartDrift))),
				long(f("clock-drift", TargetOne, boundedDrift)),
				f("clock-drift", TargetMajority, boundedDrift),
				f("clock-drift", TargetAll, boundedDrift),
				telling(f("clock-jump", TargetPrimaries, wallBack)),
				f("clock-jump", TargetOne, wallJump),
				f("clock-jump", TargetMajority, wallJump),
				f("clock-strobe", TargetOne, wallStrobe),
			},
		},
	}
}

// anyClock picks which clock is bent.
func anyClock(rng *rand.Rand) Params {
	return Params{"clock": []string{"both", "monotonic", "monotonic", "wall"}[rng.IntN(4)]}
}

// jumpOf draws a jump of milliseconds, seconds or up to an hour, more often back: a clock
// that is set back makes what has ended go on.
func jumpOf(rng *rand.Rand) string {
	ranges := [][2]int{{100, 900}, {2000, 10_000}, {2000, 10_000}, {60_000, 3_600_000}}
	r := ranges[rng.IntN(len(ranges))]
	d := time.Duration(r[0]+rng.IntN(r[1]-r[0]+1)) * time.Millisecond
	if rng.IntN(3) != 0 {
		d = -d
	}
	return d.String()
}

func anyJump(rng *rand.Rand) Params {
	p := anyClock(rng)
	p["offset"] = jumpOf(rng)
	return p
}

func wallJump(rng *rand.Rand) Params {
	return Params{"clock": "wall", "offset": jumpOf(rng)}
}

// wallBack sets the time of day back by seconds: what should have ended goes on.
func wallBack(rng *rand.Rand) Params {
	return Params{"clock": "wall", "offset": "-" + millis(rng, 2000, 10_000)}
}

func anyStrobe(rng *rand.Rand) Params {
	p := anyClock(rng)
	p["offset"], p["period"] = millis(rng, 200, 2000), millis(rng, 150, 400)
	return p
}

func wallStrobe(rng *rand.Rand) Params {
	p := anyStrobe(rng)
	p["clock"] = "wall"
	return p
}

// anyDrift draws a rate from a fifth to five times the true one.
func anyDrift(rng *rand.Rand) Params {
	p := anyClock(rng)
	rate := 1.2 + 3.8*rng.Float64()
	if rng.IntN(2) == 0 {
		rate = 1 / rate
	}
	p["rate"] = factor(rate)
	return p
}

// driftMost is the greatest share by which a clock of the family drift is wrong.
const driftMost = 0.049

// boundedDrift draws a rate within the bound, at least 1 % wrong, often at its ends.
func boundedDrift(rng *rand.Rand) Params {
	dev := driftMost
	if rng.IntN(2) == 0 {
		dev = 0.01 + (driftMost-0.01)*rng.Float64()
	}
	if rng.IntN(2) == 0 {
		dev = -dev
	}
	return Params{
		"clock": []string{"both", "monotonic"}[rng.IntN(2)], "rate": factor(1 + dev),
	}
}

// apartDrift lets the target run slowly and all others fast, or the other way round,
// as far as the bound allows: only then a margin that is too small is seen to be.
func apartDrift(rng *rand.Rand) Params {
	p := boundedDrift(rng)
	slow, fast := factor(1-driftMost), factor(1+driftMost)
	p["rate"], p["others"] = slow, fast
	if rng.IntN(4) == 0 {
		p["rate"], p["others"] = fast, slow
	}
	return p
}

// factor writes a rate with four digits.
func factor(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
