package nemesis

import "math/rand/v2"

// skewKinds bend the clocks of any system.
func skewKinds() []Kind {
	const proof = "the code by which processes ask for the time, read back and run, tells another"
	kind := func(name, doc string, params ...Param) Kind {
		return Kind{
			Name: name, Doc: doc + " The time of day only, of all processes of a node, whatever " +
				"they are written in (x86-64, vDSO).",
			Target: TargetOne, Params: params, Proof: proof, UsesProcesses: true,
			Host: PowerSkew, build: buildSkew,
		}
	}
	offset := func(d string) Param {
		return Param{
			Name: "offset", Unit: UnitOffset, Default: d, Doc: "by how much; negative is backwards",
		}
	}
	return []Kind{
		kind("wall-jump", "A process's clock jumps, and back at the end.", offset("2s")),
		kind("wall-drift", "A process's clock runs too fast or too slowly.",
			Param{Name: "rate", Unit: UnitFactor, Default: "1.04", Doc: "seconds shown in a second"}),
		kind("wall-strobe", "A process's clock jumps forth and back several times a second.",
			offset("400ms"), Param{
				Name: "period", Unit: UnitDuration, Default: "200ms", Doc: "time between two jumps",
			}),
	}
}

// skewFamilies are those of clocks of any system.
func skewFamilies() []family {
	f := func(kind string, t Target, params func(*rand.Rand) Params) flavor {
		return flavor{kind: kind, target: t, params: params}
	}
	only := func(names []string, draw func(*rand.Rand) Params) func(*rand.Rand) Params {
		return func(rng *rand.Rand) Params {
			drawn, kept := draw(rng), Params{}
			for _, n := range names {
				kept[n] = drawn[n]
			}
			return kept
		}
	}
	jump := only([]string{"offset"}, wallJump)
	drift := only([]string{"rate"}, anyDrift)
	strobe := only([]string{"offset", "period"}, wallStrobe)
	telling := f("wall-jump", TargetPrimaries, jump)
	telling.telling = true
	return []family{{
		name: "wall", doc: "the time of day of any system's processes jumps, drifts and strobes",
		flavors: []flavor{
			telling, f("wall-jump", TargetOne, jump), f("wall-jump", TargetMajority, jump),
			f("wall-drift", TargetPrimaries, drift), f("wall-drift", TargetMinority, drift),
			f("wall-strobe", TargetOne, strobe), f("wall-strobe", TargetPrimaries, strobe),
		},
	}}
}
