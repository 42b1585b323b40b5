package soak

import (
	"cmp"
	"slices"
	"strings"
)

// findings groups what runs have shown by its signature. What canaries show is none.
func (sum *Summary) findings(all []result) {
	canary := map[string]bool{}
	for _, c := range sum.Cells {
		canary[c.ID] = c.Canary
	}
	at := map[string]*Finding{}
	var order []*Finding
	for _, r := range all {
		if r.Try > 0 || canary[r.Cell] {
			continue
		}
		for _, v := range r.Violations {
			f := at[v.ID()]
			if f == nil {
				f = &Finding{
					ID: v.ID(), Violation: v, First: sighting(r), ByFaults: map[string]int{},
				}
				at[v.ID()], order = f, append(order, f)
			}
			f.Runs++
			f.Last = sighting(r)
			for _, family := range v.Faults {
				f.ByFaults[family]++
			}
			if !slices.Contains(f.Cells, r.Cell) {
				f.Cells = append(f.Cells, r.Cell)
			}
		}
	}
	for _, f := range order {
		slices.Sort(f.Cells)
		f.repeated(all)
		sum.Findings = append(sum.Findings, *f)
	}
	slices.SortFunc(sum.Findings, func(a, b Finding) int {
		return cmp.Or(b.Runs-a.Runs, strings.Compare(a.ID, b.ID))
	})
}

func sighting(r result) Sighting {
	return Sighting{
		Run: r.Run, Seed: r.Seed, Cell: r.Cell, At: r.At, Files: r.Files, Command: r.Command,
		dir: r.of.Dir,
	}
}

// repeated counts the repetitions of the first of the finding's runs that was repeated: it
// is the one that was seen first, which need not have the lowest number.
func (f *Finding) repeated(all []result) {
	showed := func(r result) bool {
		return slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.ID() == f.ID })
	}
	type number struct {
		seed uint64
		run  int
	}
	of := func(r result) number { return number{r.of.Seed, r.Run} }
	shown := map[number]bool{}
	for _, r := range all {
		shown[of(r)] = shown[of(r)] || r.Try == 0 && showed(r)
	}
	for i, first := range all {
		if first.Try == 0 || !shown[of(first)] {
			continue
		}
		for _, again := range all[i:] {
			if of(again) != of(first) {
				break
			}
			f.Tries++
			same := func(v Violation) bool { return v.Checker == f.Checker }
			if slices.ContainsFunc(again.Violations, same) {
				f.Reproduced++
			}
			if showed(again) {
				f.Exact++
			}
		}
		return
	}
}
