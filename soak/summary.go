package soak

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Summary is what came of a soak, or of several: all of it is computed from their journals.
type Summary struct {
	Name string `json:"name"`
	// Outcome is the gravest one: violated, crashed, unknown, valid. A canary that was not
	// found counts as crashed: the harness has failed.
	Outcome Outcome `json:"outcome"`
	// Reason says in a sentence why it is that.
	Reason string   `json:"reason"`
	Seeds  []uint64 `json:"seeds"`
	// Shards are those that it is of, as in "3/10"; empty for a whole plan.
	Shards   []string  `json:"shards,omitempty"`
	Started  time.Time `json:"started"`
	Last     time.Time `json:"last"`
	Checkers []string  `json:"checkers,omitempty"`
	// Active is the time at work, of all processes together. Took, CPU and Bytes are those of
	// all runs, with those that are pruned, Kept is what is on the disk.
	Active time.Duration `json:"active"` // ns
	Took   time.Duration `json:"took"`   // ns
	CPU    time.Duration `json:"cpu"`    // ns
	Bytes  int64         `json:"bytes"`
	Kept   int64         `json:"kept"`
	// Runs counts results without repetitions, Outcomes what they were. Those in which a
	// canary was found are in CanaryRuns, and not among the violated.
	Runs        int             `json:"runs"`
	CanaryRuns  int             `json:"canary_runs"`
	Outcomes    map[Outcome]int `json:"outcomes"`
	Operations  int64           `json:"operations"`
	Repetitions int             `json:"repetitions"`
	Interrupted int             `json:"interrupted"`
	Pruned      int             `json:"pruned"`
	Open        int             `json:"open"`
	// Stopped is why the processes stopped working, if it was before their time.
	Stopped  []string        `json:"stopped,omitempty"`
	Cells    []CellSummary   `json:"cells"`
	Canaries []CanarySummary `json:"canaries,omitempty"`
	Findings []Finding       `json:"findings,omitempty"`
	// Doubts are the reasons of runs without a verdict, the gravest and most frequent first.
	Doubts []Doubt `json:"doubts,omitempty"`
}

// CellSummary is a cell of the heat map.
type CellSummary struct {
	CellInfo
	Runs     int             `json:"runs"`
	Outcomes map[Outcome]int `json:"outcomes"`
	// Worst is the gravest outcome; "" if there was no run.
	Worst Outcome       `json:"worst,omitempty"`
	Took  time.Duration `json:"took"` // ns
}

// CanarySummary tells whether a planted bug was found.
type CanarySummary struct {
	Cell  string `json:"cell"`
	Runs  int    `json:"runs"`
	Found int    `json:"found"`
	// Elsewhere: no run was due in these shards, so that others have to find it.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// missed reports whether it makes the night red.
func (c CanarySummary) missed() bool { return c.Found == 0 && !c.Elsewhere }

// Finding is a signature with the runs that showed it.
type Finding struct {
	ID string `json:"id"`
	Violation
	// Runs is how many runs showed it, in Cells; Faults says of each family how many of
	// them had it in force.
	Runs     int            `json:"runs"`
	Cells    []string       `json:"cells"`
	ByFaults map[string]int `json:"by_faults,omitempty"`
	First    Sighting       `json:"first"`
	Last     Sighting       `json:"last"`
	// Tries is how often the first run was repeated with its seed, Reproduced how often that
	// was invalid by the same checker, and Exact how often with the same signature.
	Tries      int `json:"tries"`
	Reproduced int `json:"reproduced"`
	Exact      int `json:"exact"`
}

// Sighting is a run that showed it.
type Sighting struct {
	Run     int       `json:"run"`
	Seed    uint64    `json:"seed"`
	Cell    string    `json:"cell"`
	At      time.Time `json:"at"`
	Files   string    `json:"files,omitempty"`
	Command string    `json:"command,omitempty"`
	dir     string    // of the soak
}

// Doubt is a reason for which there is no verdict.
type Doubt struct {
	Outcome Outcome `json:"outcome"`
	Runs    int     `json:"runs"`
	Example string  `json:"example"`
	Run     int     `json:"run"`
	Cell    string  `json:"cell"`
}

// Merge is the summary of several soaks: of the shards of a plan, or of one plan on several
// nights. A run that two of them have is an error.
func Merge(dirs []string) (Summary, error) {
	var states []*State
	var errs []error
	for _, d := range dirs {
		s, err := LoadState(d)
		errs = append(errs, err)
		states = append(states, s)
	}
	if err := errors.Join(errs...); err != nil {
		return Summary{}, err
	}
	if err := disjoint(states); err != nil {
		return Summary{}, err
	}
	return summarize(states), nil
}

// disjoint says why soaks cannot be told of together.
func disjoint(states []*State) error {
	type part struct {
		plan string
		seed uint64
		run  int
	}
	seen := map[part]string{}
	for _, s := range states {
		if first := states[0]; s.Plan != first.Plan {
			return fmt.Errorf("%s is the soak of another plan than %s", s.Dir, first.Dir)
		}
		for a := range s.Ended {
			p := part{s.Plan, s.Seed, a.Run}
			if a.Try == 0 && seen[p] != "" {
				return fmt.Errorf("run %d is in %s and in %s: seed %d was soaked twice", a.Run,
					seen[p], s.Dir, s.Seed)
			}
			if a.Try == 0 {
				seen[p] = s.Dir
			}
		}
	}
	return nil
}

// result is one of many, with the soak that it is of.
type result struct {
	Ended
	of *State
}

// ordered are the results of several soaks: those of one master seed by their numbers, as if
// they had been one soak, and the seeds in the order in which they began.
func ordered(states []*State) []result {
	began := map[uint64]time.Time{}
	for _, s := range states {
		if t, ok := began[s.Seed]; !ok || s.Started.Before(t) {
			began[s.Seed] = s.Started
		}
	}
	var all []result
	for _, s := range states {
		for _, e := range s.Ended {
			all = append(all, result{e, s})
		}
	}
	slices.SortFunc(all, func(a, b result) int {
		return cmp.Or(began[a.of.Seed].Compare(began[b.of.Seed]), cmp.Compare(a.of.Seed, b.of.Seed),
			a.Run-b.Run, a.Try-b.Try)
	})
	return all
}

// summarize tells what the soaks of one plan came to.
func summarize(states []*State) Summary {
	sum := Summary{
		Name: states[0].Name, Started: states[0].Started, Outcomes: map[Outcome]int{},
	}
	for _, s := range states {
		sum.add(s)
	}
	slices.Sort(sum.Seeds)
	sum.Seeds = slices.Compact(sum.Seeds)
	slices.Sort(sum.Shards)
	all := ordered(states)
	sum.cells(states[0].Cells, all)
	sum.canaries(states)
	sum.findings(all)
	sum.doubts(all)
	sum.judge()
	return sum
}

// add adds the numbers of one soak.
func (sum *Summary) add(s *State) {
	sum.Seeds = append(sum.Seeds, s.Seed)
	if s.Shards > 1 {
		sum.Shards = append(sum.Shards, fmt.Sprintf("%d/%d", s.Shard, s.Shards))
	}
	if s.Started.Before(sum.Started) {
		sum.Started = s.Started
	}
	if s.Last.After(sum.Last) {
		sum.Last = s.Last
	}
	for _, c := range s.Checkers {
		if !slices.Contains(sum.Checkers, c) {
			sum.Checkers = append(sum.Checkers, c)
		}
	}
	sum.Active += s.Active
	sum.Interrupted += s.Interrupted
	sum.Pruned += len(s.Pruned)
	sum.Open += len(s.Open)
	if s.Stopped != "" && s.Stopped != stoppedAsPlanned {
		sum.Stopped = append(sum.Stopped, s.Stopped)
	}
	for a, e := range s.Ended {
		sum.Took += e.Took
		sum.CPU += e.CPU
		sum.Bytes += e.Bytes
		sum.Operations += e.Operations
		if !s.Pruned[a] {
			sum.Kept += e.Bytes
		}
	}
}

// cells fills the heat map.
func (sum *Summary) cells(infos []CellInfo, all []result) {
	at := map[string]int{}
	for i, info := range infos {
		at[info.ID] = i
		sum.Cells = append(sum.Cells, CellSummary{CellInfo: info, Outcomes: map[Outcome]int{}})
	}
	for _, r := range all {
		if r.Try > 0 {
			sum.Repetitions++
			continue
		}
		i, ok := at[r.Cell]
		if !ok {
			continue
		}
		c := &sum.Cells[i]
		c.Runs++
		c.Outcomes[r.Outcome]++
		c.Took += r.Took
		c.Worst = graver(c.Worst, r.Outcome)
		sum.Runs++
		if c.Canary && r.Outcome == Violated {
			sum.CanaryRuns++
		} else {
			sum.Outcomes[r.Outcome]++
		}
	}
}

// graver returns the graver of two outcomes.
func graver(a, b Outcome) Outcome {
	if slices.Index(Outcomes(), a) > slices.Index(Outcomes(), b) {
		return a
	}
	return b
}

// canaries says of each whether it was found.
func (sum *Summary) canaries(states []*State) {
	// A part of the shards cannot be asked for what the others may have found.
	shards := map[uint64]int{}
	for _, s := range states {
		shards[s.Seed]++
	}
	whole := false
	for _, s := range states {
		whole = whole || shards[s.Seed] == s.Shards
	}
	for _, c := range sum.Cells {
		if c.Canary {
			sum.Canaries = append(sum.Canaries, CanarySummary{
				Cell: c.ID, Runs: c.Runs, Found: c.Outcomes[Violated],
				Elsewhere: !whole && c.Runs == 0,
			})
		}
	}
}

// doubts groups the reasons of runs without a verdict.
func (sum *Summary) doubts(all []result) {
	at := map[string]int{}
	for _, r := range all {
		if r.Try > 0 || r.Outcome != Unknown && r.Outcome != Crashed {
			continue
		}
		key := string(r.Outcome) + " " + essence(r.Reason)
		if _, ok := at[key]; !ok {
			at[key] = len(sum.Doubts)
			sum.Doubts = append(sum.Doubts, Doubt{
				Outcome: r.Outcome, Example: r.Reason, Run: r.Run, Cell: r.Cell,
			})
		}
		sum.Doubts[at[key]].Runs++
	}
	slices.SortStableFunc(sum.Doubts, func(a, b Doubt) int {
		return cmp.Or(strings.Compare(string(a.Outcome), string(b.Outcome)), b.Runs-a.Runs)
	})
}

// judge takes the gravest outcome of all.
func (sum *Summary) judge() {
	var missed []string
	for _, c := range sum.Canaries {
		if c.missed() {
			missed = append(missed, c.Cell)
		}
	}
	n := sum.Outcomes
	switch {
	case len(sum.Findings) > 0:
		sum.Outcome = Violated
		sum.Reason = fmt.Sprintf("%s in %s", count(len(sum.Findings), "finding", "findings"),
			count(n[Violated], "run", "runs"))
	case len(missed) > 0:
		sum.Outcome = Crashed
		sum.Reason = "a canary was not found, so that nothing else that was not found means " +
			"anything: " + strings.Join(missed, ", ")
	case n[Crashed] > 0:
		sum.Outcome = Crashed
		sum.Reason = count(n[Crashed], "run", "runs") + " crashed"
	case sum.Runs == 0:
		sum.Outcome, sum.Reason = Unknown, "nothing was run"
	case n[Unknown] > 0:
		sum.Outcome = Unknown
		sum.Reason = count(n[Unknown], "run has", "runs have") + " no verdict"
	default:
		sum.Outcome = Valid
		sum.Reason = count(sum.Runs, "run", "runs") + ", nothing found"
	}
	if len(missed) > 0 && sum.Outcome == Violated {
		sum.Reason += "; and a canary was not found: " + strings.Join(missed, ", ")
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
