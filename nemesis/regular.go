package nemesis

import (
	"slices"
	"time"
)

const (
	// regularEvery is how often the regular faults come.
	regularEvery = time.Minute
	// regularGap is the time between two faults that is kept for each regular one.
	regularGap = 2 * time.Second
)

// regular is a flavor that each minute of a plan has, because what it shows nothing
// else does, and chance alone may leave it out for minutes.
type regular struct {
	name, family string
	is           func(flavor) bool
	// least is how long it has to last, late the part of the minute after which it
	// comes next if it has not come by itself, shortest the plan without it.
	least, shortest time.Duration
	late            float64
}

func regulars() []regular {
	return []regular{
		{
			// Such a leader is still heard, so that the others have no reason to replace
			// it: it takes much longer than a clean cut until something goes wrong.
			name: "deaf leader", family: "partition", least: longMin, late: 0.4,
			shortest: 40 * time.Second, is: func(v flavor) bool { return v.shape == ShapeDeaf },
		},
		{
			// What a minority forgot the others still know: only when all lose what
			// they did not sync it is gone.
			name: "power cut", family: "kill", least: leastFor, late: 0.6,
			shortest: 30 * time.Second, is: func(v flavor) bool { return v.kind == "kill-all" },
		},
	}
}

// room is the time that a fault of the flavor v has from at on, with its healing, if it shall
// leave enough for the regular faults that the minute still lacks, but for the one that v is.
// A plan of less than a minute keeps nothing for them.
func (p *planner) room(at time.Duration, v flavor) time.Duration {
	end := p.end
	if owed := p.owed(at, v); owed > 0 {
		end = min(end, at.Truncate(regularEvery)+regularEvery) - owed
	}
	return end - at
}

// owed is the time that those regular faults take.
func (p *planner) owed(at time.Duration, v flavor) time.Duration {
	var sum time.Duration
	for _, m := range regulars() {
		if p.Duration >= regularEvery && p.lacks(m, at) && !m.is(v) {
			sum += m.least + regularGap
		}
	}
	return sum
}

// lacks reports whether the minute of this time has not had the fault yet, and should have it.
func (p *planner) lacks(m regular, at time.Duration) bool {
	return p.Duration >= m.shortest && p.had[m.name] != at.Truncate(regularEvery)+1 &&
		slices.ContainsFunc(p.families, func(f family) bool {
			return f.name == m.family && slices.ContainsFunc(f.flavors, m.is)
		})
}

// pressing reports whether the regular faults that the minute lacks have to come now, even
// before the rest of the first deck.
func (p *planner) pressing(at time.Duration) bool {
	return p.owed(at, flavor{}) > 0 && p.room(at, flavor{}) < p.Interval
}

// wants reports whether the minute at which the next step would begin still lacks
// what it must have and time is getting short, or the family comes anyway. A short plan has one or
// two cards of a family: those shall not be the same in all.
func (p *planner) wants(m regular, dealt bool) bool {
	at := p.crowdEnd
	if !p.lacks(m, at) || p.end-at < m.least+regularGap {
		return false
	}
	late := time.Duration(float64(min(regularEvery, p.Duration)) * m.late)
	return at-at.Truncate(regularEvery) > late ||
		dealt && p.Duration >= shortPlan && p.rng.IntN(2) == 0
}
