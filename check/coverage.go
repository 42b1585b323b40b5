package check

import (
	"slices"
)

// algorithms tells who decided which keys.
func (l *linearizable) algorithms(objects []*object) []Algorithm {
	var list []Algorithm
	at := func(name string) *Algorithm {
		i := slices.IndexFunc(list, func(a Algorithm) bool { return a.Name == name })
		if i < 0 {
			i = len(list)
			list = append(list, Algorithm{Name: name})
		}
		return &list[i]
	}
	for _, e := range exactEngines(l.spec.Known()) {
		at(e.name).Needs = e.needs
	}
	for _, o := range objects {
		for _, p := range o.finding.passed {
			a := at(p.engine)
			if a.Passed++; a.Passed == 1 {
				a.Why = p.why + " (" + keyName(o.key) + ")"
			}
		}
		if o.finding.answer == undecided {
			continue
		}
		a := at(o.finding.engine)
		a.Keys++
		a.Operations += o.size
		if o.certified {
			a.Certified++
		}
	}
	return slices.DeleteFunc(list, func(a Algorithm) bool { return a.Keys == 0 && a.Passed == 0 })
}

// power measures how much a verdict rests on.
func power(objects []*object, algorithms []Algorithm) []Measure {
	var operations, constrained, observations, written, most, unknown, certified int
	sizes := make([]int64, 0, len(objects))
	for _, o := range objects {
		operations += o.size
		sizes = append(sizes, int64(o.size))
		if o.observations > 0 {
			constrained++
		}
		observations += o.observations
		written += o.written
		most = max(most, o.concurrency)
		unknown += o.unknown
		if o.certified {
			certified++
		}
	}
	slices.Sort(sizes)
	list := []Measure{
		measure("operations", operations), measure("keys", len(objects)),
		measure("keys with observations", constrained),
		measure("observations", observations),
		measure("observations of written values", written),
		measure("max concurrency", most),
		measure("unknown operations", unknown),
		measure("operations per key p50", int(quantile(sizes, 0.5))),
		measure("operations per key p95", int(quantile(sizes, 0.95))),
		measure("operations per key max", int(quantile(sizes, 1))),
	}
	for _, a := range algorithms {
		if a.Keys > 0 {
			list = append(list, measure("keys decided by "+a.Name, a.Keys))
		}
	}
	if certified > 0 {
		list = append(list, measure("keys with a replayed order", certified))
	}
	return list
}
