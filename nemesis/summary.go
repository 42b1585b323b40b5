package nemesis

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// FaultRecord is what became of one step.
type FaultRecord struct {
	Step Step `json:"step"`
	// Nodes and What are who was really hit and how, in words.
	Nodes []Node `json:"nodes,omitempty"`
	What  string `json:"what,omitempty"`
	// Links are those that it disturbed; Cut says that nothing got over them.
	Links []Link `json:"links,omitempty"`
	Cut   bool   `json:"cut,omitempty"`
	// Start is when the fault was about to be injected, End when it was healed
	// (Never, if it was not). Both are 0 for a skipped step.
	Start history.Time `json:"start"`
	End   history.Time `json:"end"`
	// Injected is true when the injection went through.
	Injected bool `json:"injected"`
	// Evidence is what was seen of the fault, Bit its short form.
	Evidence Evidence `json:"evidence"`
	Bit      bool     `json:"bit"`
	// Healed is true when the healing was verified; Healing says how.
	Healed  bool     `json:"healed"`
	Healing Evidence `json:"healing"`
	// Interrupted is true when the test ended before the fault's time was over.
	Interrupted bool `json:"interrupted,omitempty"`
	// Skipped is why the step was not done at all.
	Skipped string `json:"skipped,omitempty"`
	// Error is what went wrong in injecting or observing, HealError the last
	// failure to heal, also when a later attempt succeeded.
	Error     string `json:"error,omitempty"`
	HealError string `json:"heal_error,omitempty"`
}

// Summary is what a nemesis did, computed from its ledger.
type Summary struct {
	// Planned is the number of steps that were asked for.
	Planned int `json:"planned"`
	// Faults are the steps, in the order in which they were asked for.
	Faults []FaultRecord `json:"faults"`
	// Baseline and Final are the state of the world before the first and after
	// the last fault; nil if the test did not get there.
	Baseline *Evidence `json:"baseline,omitempty"`
	Final    *Evidence `json:"final,omitempty"`
	// Matrices are what probes have found, whenever that changed.
	Matrices []Matrix `json:"-"`
}

// LoadSummary computes the summary from the ledger at path, also from one whose
// last line is torn. Of a ledger with a damaged line it returns what the others
// say, beside the error.
func LoadSummary(path string) (Summary, error) {
	entries, _, err := ReadLedger(path)
	return summarize(entries), err
}

// summarize computes the summary from the entries of a ledger.
func summarize(entries []Entry) Summary {
	var s Summary
	record := func(id int64) *FaultRecord {
		i := slices.IndexFunc(s.Faults, func(f FaultRecord) bool { return f.Step.ID == id })
		if i < 0 {
			s.Faults = append(s.Faults, FaultRecord{Step: Step{ID: id}})
			i = len(s.Faults) - 1
		}
		return &s.Faults[i]
	}
	for _, e := range entries {
		switch e.Type {
		case EntryPlan:
			s = Summary{Planned: len(e.Steps)}
			for _, step := range e.Steps {
				s.Faults = append(s.Faults, FaultRecord{Step: step})
			}
		case EntryBaseline:
			s.Baseline = e.Evidence
		case EntryFinal:
			s.Final = e.Evidence
		case EntryMatrix:
			if e.Matrix != nil {
				e.Matrix.At = e.At
				s.Matrices = append(s.Matrices, *e.Matrix)
			}
		case EntryIntent, EntryDone, EntryHealing, EntryHealed, EntrySkipped:
			record(e.Fault).apply(e)
		case EntryStarting, EntryStarted, EntryEnded:
		}
	}
	return s
}

// apply adds what an entry says of the fault.
func (f *FaultRecord) apply(e Entry) {
	if e.Evidence == nil {
		e.Evidence = &Evidence{}
	}
	switch e.Type {
	case EntryIntent:
		f.Start, f.End = e.At, history.Never
		f.Nodes, f.What = e.Intent.Nodes, e.Intent.What
		f.Links, f.Cut = e.Intent.Links, e.Intent.Cut
	case EntryDone:
		f.Injected = e.Error == ""
		f.Evidence, f.Bit = *e.Evidence, e.Evidence.Bit && f.Injected
		f.Error = e.Error
	case EntryHealing:
		f.Interrupted = e.Interrupted
		if f.Injected {
			f.Evidence, f.Bit = *e.Evidence, e.Evidence.Bit
		}
		f.fail(e.Error)
	case EntryHealed:
		f.Healing, f.Healed = *e.Evidence, e.Error == ""
		switch {
		case f.Healed && e.At >= f.Start:
			f.End = e.At
		case f.Healed: // cleaned up later, by somebody who has no such clock
		default:
			f.HealError = e.Error
		}
	case EntrySkipped:
		f.Skipped, f.Interrupted = e.Error, e.Interrupted
	}
}

// fail notes an error unless it is known already.
func (f *FaultRecord) fail(err string) {
	switch {
	case err == "" || f.Error == err:
	case f.Error == "":
		f.Error = err
	default:
		f.Error += "; " + err
	}
}

// name is the fault's name with its id and target, for sentences.
func (f FaultRecord) name() string {
	what := f.What
	if what == "" {
		what = "not begun"
	}
	return fmt.Sprintf("%s #%d (%s)", f.Step.Fault, f.Step.ID, what)
}

// Result judges the nemesis, not the system: valid when every fault that was
// injected left evidence, or was seen to meet nothing, and was healed; unknown
// otherwise, and also when faults were asked for but none, or none of some kind, was
// applied. A fault cut short by the end of the test needs no evidence, as long as
// another one has it.
func (s Summary) Result() check.Result {
	problems := s.problems()
	applied, bit, idle, healed := 0, 0, 0, 0
	for _, f := range s.Faults {
		if f.Injected {
			applied++
		}
		if f.Bit {
			bit++
		}
		if f.idle() {
			idle++
		}
		if f.Healed {
			healed++
		}
	}
	r := check.Result{
		Name:    "nemesis",
		Verdict: check.Valid,
		Power: []check.Measure{
			{Name: "faults planned", Value: float64(s.Planned)},
			{Name: "faults injected", Value: float64(applied)},
			{Name: "faults with evidence", Value: float64(bit)},
			{Name: "faults healed", Value: float64(healed)},
		},
		Details: s,
	}
	r.Power = append(r.Power, s.kinds()...)
	switch {
	case len(problems) > 0:
		r.Verdict = check.Unknown
		r.Reason = strings.Join(problems, "; ")
	case s.Planned == 0:
		r.Reason = "no faults were asked for"
	case bit == applied:
		r.Reason = fmt.Sprintf("%d of %d faults were injected; each left evidence and was healed",
			applied, s.Planned)
	default:
		r.Reason = fmt.Sprintf("%d of %d faults were injected and healed; %d left evidence",
			applied, s.Planned, bit)
		if idle > 0 {
			r.Reason += fmt.Sprintf(", %d met nothing that they could act upon", idle)
		}
		if bit+idle < applied {
			r.Reason += ", the test ended too early for the others"
		}
	}
	return r
}

// kinds counts the faults with evidence by their kind.
func (s Summary) kinds() []check.Measure {
	counts := map[string]float64{}
	for _, f := range s.Faults {
		if f.Bit {
			counts[f.Step.Fault]++
		}
	}
	var out []check.Measure
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, check.Measure{Name: kind + " faults", Value: counts[kind]})
	}
	return out
}

// problems lists, in sentences, what keeps the result from being valid.
func (s Summary) problems() []string {
	var out []string
	if s.Baseline != nil && !s.Baseline.Bit {
		out = append(out, "the cluster was not sound before the first fault: "+s.Baseline.Why)
	}
	bit := slices.ContainsFunc(s.Faults, func(f FaultRecord) bool { return f.Bit })
	var tried []string
	for _, f := range s.Faults {
		switch {
		case f.Skipped == "" && f.Start == 0 && f.Error == "" && f.What == "":
			out = append(out, f.name()+" has no record: the controller ended before it")
			continue
		case f.Skipped == "" && !f.idle():
			tried = append(tried, f.Step.Fault)
		}
		out = append(out, f.problems(bit)...)
	}
	idle := slices.IndexFunc(s.Faults, FaultRecord.idle)
	switch {
	case s.Planned > 0 && len(tried) == 0 && idle >= 0:
		f := s.Faults[idle]
		out = append(out, "no fault met anything that it could act upon; "+f.name()+": "+
			f.Evidence.Why)
	case s.Planned > 0 && len(tried) == 0:
		out = append(out, "faults were asked for but none was applied")
	default:
		out = append(out, s.neverApplied(tried)...)
		out = append(out, s.alwaysIdle(tried)...)
	}
	if s.Final != nil && !s.Final.Bit {
		out = append(out, "the cluster was not sound after the last fault: "+s.Final.Why)
	}
	return out
}

// neverApplied lists the faults of which every step was skipped, unless only
// because the test ended or because another fault already had all its targets.
func (s Summary) neverApplied(tried []string) []string {
	var out []string
	for _, f := range s.Faults {
		if f.Skipped != "" && !f.Interrupted && f.What == "" && !slices.Contains(tried, f.Step.Fault) {
			out = append(out, fmt.Sprintf("no %s was applied: %s", f.Step.Fault, f.Skipped))
			tried = append(tried, f.Step.Fault)
		}
	}
	return out
}

// idle reports whether the fault was in force and met nothing that it could act upon.
func (f FaultRecord) idle() bool { return f.Injected && f.Error == "" && f.Evidence.Idle }

// manyIdle faults of one kind that all met nothing are no chance.
const manyIdle = 3

// alwaysIdle lists the faults that met nothing again and again and never anything.
func (s Summary) alwaysIdle(tried []string) []string {
	idle := map[string]int{}
	for _, f := range s.Faults {
		if f.idle() {
			idle[f.Step.Fault]++
		}
	}
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(idle)) {
		if idle[kind] >= manyIdle && !slices.Contains(tried, kind) {
			out = append(out, fmt.Sprintf("none of %d %s met anything that it could act upon",
				idle[kind], kind))
		}
	}
	return out
}

// problems lists what is wrong with a fault; bit says whether any fault of the
// test left evidence.
func (f FaultRecord) problems(bit bool) []string {
	var out []string
	begun := f.What != ""
	excused := f.Skipped != "" || f.idle() || f.Interrupted && bit
	switch {
	case f.Skipped != "" && len(f.Step.When) > 0 && !f.Interrupted:
		out = append(out, f.name()+" was not done: "+f.Skipped)
	case excused:
	case !f.Injected && f.Error == "":
		out = append(out, f.name()+" was not injected: the controller ended in the middle")
	case !f.Injected:
		out = append(out, f.name()+" was not injected: "+f.Error)
	case !f.Bit:
		out = append(out, f.name()+" left no evidence: "+f.Evidence.Why)
	case f.Error != "":
		out = append(out, f.name()+" did not go as planned: "+f.Error)
	}
	if begun && !f.Healed {
		out = append(out, f.name()+" was not healed: "+cmp.Or(f.HealError, "nobody tried"))
	}
	return out
}
