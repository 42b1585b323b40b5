package recall

import (
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// Report is what was measured.
type Report struct {
	Cluster  string  `json:"cluster"`
	Nodes    int     `json:"nodes,omitempty"` // 0: runs differ in it
	Rate     float64 `json:"rate"`
	Seeds    int     `json:"seeds"`
	Parallel int     `json:"parallel"`
	// Budget is the workload time of a campaign, in seconds.
	Budget   float64 `json:"budget_s"`
	Matrix   bool    `json:"matrix,omitempty"`
	Platform string  `json:"platform"`
	CPUs     int     `json:"cpus"`
	// Chosen are the options that choose rows, empty when all were measured.
	Chosen string `json:"chosen,omitempty"`

	// Classes and Sets sum up the planted bugs, each bug once in either.
	Classes []Group `json:"classes,omitempty"`
	Sets    []Group `json:"sets,omitempty"`
	Bugs    []Bug   `json:"bugs,omitempty"`

	Correct     []Correct   `json:"correct,omitempty"`
	FalseAlarms FalseAlarms `json:"false_alarms"`
	// Otherwise are the campaigns that did not come out as they should have.
	Otherwise []Otherwise `json:"otherwise,omitempty"`
}

// Finds says how often something was found in so many campaigns, and how soon.
type Finds struct {
	Campaigns int `json:"campaigns"`
	Found     int `json:"found"`
	// Median and Greatest are the workload time in seconds until the first witness,
	// Operations the median of what had been called by then, all of those campaigns that
	// found something; 0: none did.
	Median     float64 `json:"median_s"`
	Greatest   float64 `json:"greatest_s"`
	Operations int64   `json:"median_operations"`
}

// Group sums up planted bugs.
type Group struct {
	Name string `json:"name"`
	Finds
	// Interval is the 95 % confidence interval of the share that was found. It takes
	// campaigns as independent, which those of one bug are not: with several seeds it is
	// narrower than what is known of bugs that nobody planted.
	Interval Interval `json:"interval"`
}

// Bug is a planted bug.
type Bug struct {
	Protocol  string   `json:"protocol"`
	Bug       string   `json:"bug"`
	Class     string   `json:"class"`
	Set       Set      `json:"set"`
	Workloads []string `json:"workloads"`
	Finds
}

// Correct is a protocol without a bug.
type Correct struct {
	Protocol  string   `json:"protocol"`
	Workloads []string `json:"workloads"`
	Campaigns int      `json:"campaigns"`
	Valid     int      `json:"valid"`
	Unknown   int      `json:"unknown"`
	Invalid   int      `json:"invalid"`
	None      int      `json:"none"` // no verdict: the harness failed
}

// FalseAlarms are the campaigns in which a correct protocol came out invalid.
type FalseAlarms struct {
	Campaigns int `json:"campaigns"`
	Invalid   int `json:"invalid"`
	// Share is the share of such campaigns at most, with 95 % certainty.
	Share float64 `json:"share_at_most"`
	// Hours are those of workload time, PerHour how many false alarms one of them has at
	// most, with 95 % certainty; 0: there was no time.
	Hours   float64 `json:"hours"`
	PerHour float64 `json:"per_hour_at_most"`
}

// Otherwise is a campaign that did not come out as it should have.
type Otherwise struct {
	Protocol  string   `json:"protocol"`
	Bug       string   `json:"bug,omitempty"`
	Workloads []string `json:"workloads"`
	Seed      uint64   `json:"seed"`
	Verdict   string   `json:"verdict"`
	Reason    string   `json:"reason,omitempty"`
	Dir       string   `json:"dir,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// newReport computes what was measured.
func newReport(c Config, rows []row, done []outcome) Report {
	r := Report{
		Cluster: c.Cluster, Nodes: c.Nodes, Rate: c.Rate, Seeds: c.Seeds, Parallel: c.Parallel,
		Budget: c.Budget.Seconds(), Matrix: c.Matrix, Chosen: c.chosen(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
	}
	of := map[subject][]outcome{}
	for _, o := range done {
		of[o.subject] = append(of[o.subject], o)
	}
	group := func(name string, in func(row) bool) (Group, bool) {
		var all []outcome
		for _, row := range rows {
			if row.bug != "" && in(row) {
				all = append(all, of[row.subject]...)
			}
		}
		f := finds(all)
		return Group{name, f, wilson(f.Found, f.Campaigns)}, len(all) > 0
	}
	for _, class := range classes() {
		if g, any := group(class, func(r row) bool { return r.class == class }); any {
			r.Classes = append(r.Classes, g)
		}
	}
	for _, set := range sets() {
		if g, any := group(string(set), func(r row) bool { return r.set == set }); any {
			r.Sets = append(r.Sets, g)
		}
	}
	if g, any := group("all", func(row) bool { return true }); any {
		r.Sets = append(r.Sets, g)
	}
	for _, row := range rows {
		all := of[row.subject]
		slices.SortFunc(all, func(a, b outcome) int { return int(a.seed) - int(b.seed) })
		if row.bug == "" {
			r.addCorrect(row, all)
		} else {
			r.Bugs = append(r.Bugs, Bug{
				row.protocol, row.bug, row.class, row.set, row.workloads(), finds(all),
			})
		}
		for _, o := range all {
			r.addOtherwise(o)
		}
	}
	f := &r.FalseAlarms
	f.Share = mostShare(f.Invalid, f.Campaigns)
	if f.Hours > 0 {
		f.PerHour = mostRate(f.Invalid, f.Hours)
	}
	return r
}

// finds sums up campaigns of planted bugs.
func finds(all []outcome) Finds {
	f := Finds{Campaigns: len(all)}
	var times []time.Duration
	var operations []int64
	for _, o := range all {
		if o.found() {
			f.Found++
			times = append(times, o.witness)
			if o.operations > 0 { // files of results that are older have none
				operations = append(operations, o.operations)
			}
		}
	}
	if m, ok := median(times); ok {
		f.Median, f.Greatest = m.Seconds(), slices.Max(times).Seconds()
	}
	f.Operations, _ = median(operations)
	return f
}

// addCorrect adds the campaigns of a correct protocol.
func (r *Report) addCorrect(row row, all []outcome) {
	c := Correct{Protocol: row.protocol, Workloads: row.workloads(), Campaigns: len(all)}
	for _, o := range all {
		switch {
		case o.none:
			c.None++
			continue
		case o.verdict == check.Valid:
			c.Valid++
		case o.verdict == check.Unknown:
			c.Unknown++
		default:
			c.Invalid++
		}
		r.FalseAlarms.Hours += o.witness.Hours()
	}
	r.FalseAlarms.Campaigns += len(all) - c.None
	r.FalseAlarms.Invalid += c.Invalid
	r.Correct = append(r.Correct, c)
}

// addOtherwise adds a campaign if it did not come out as it should have.
func (r *Report) addOtherwise(o outcome) {
	want := check.Invalid
	if o.bug == "" {
		want = check.Valid
	}
	if o.verdict == want && o.err == "" {
		return
	}
	r.Otherwise = append(r.Otherwise, Otherwise{
		Protocol: o.protocol, Bug: o.bug, Workloads: o.workloads(), Seed: o.seed,
		Verdict: verdictText(o), Reason: o.reason, Dir: o.dir, Error: o.err,
	})
}

// verdictText is the verdict, or that there was none.
func verdictText(o outcome) string {
	if o.none {
		return "no verdict"
	}
	return o.verdict.String()
}

// chosen are the options that choose rows, as they are typed.
func (c Config) chosen() string {
	var words []string
	if len(c.Sets) > 0 {
		var names []string
		for _, s := range c.Sets {
			names = append(names, string(s))
		}
		words = append(words, "--set "+strings.Join(names, ","))
	}
	if c.Only != "" {
		words = append(words, "--only "+quoted(c.Only))
	}
	if c.Skip != "" {
		words = append(words, "--skip "+quoted(c.Skip))
	}
	return strings.Join(words, " ")
}

// quoted writes a text as it is typed in a shell.
func quoted(text string) string {
	if strings.ContainsAny(text, " ()'\"") {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}
