package recall

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/run"
)

const intro = `How often a generic test finds each planted bug of the reference cluster, and how
soon. The test knows nothing of the bug: the workloads of the protocol's claim in turn, all
families of faults that the claim covers, decided by the seed alone. Each bug and each correct
protocol gets the same budget, %v of %s; a campaign ends at the first violation.
*Time* and *operations to the first witness* are the medians of the campaigns that found
something, until the last operation of the counter-example had ended.

Measured with %d campaigns of each of %d rows on %s nodes, %g operations a second, %d at the same
time, on %s with %d CPUs. Repeat it with

    %s

`

const matrixIntro = `Every correct protocol with each workload of its claim, for %v of %s, under the
families of faults that the claim covers: %d runs of each of %d rows on %s nodes, %g operations a
second, %d at the same time, on %s with %d CPUs. None may be invalid. Repeat it with

    %s

`

// WriteMarkdown writes the report as tables.
func (r Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	text := intro
	if r.Matrix {
		text = matrixIntro
	}
	clock := "workload time"
	if r.Cluster == "sim" {
		clock = "virtual time"
	}
	nodes := "3, 4 and 5"
	if r.Nodes > 0 {
		nodes = fmt.Sprint(r.Nodes)
	} else if r.Matrix {
		nodes = fmt.Sprint(run.Default().Nodes)
	}
	fmt.Fprintf(&b, text, r.budget(), clock, r.Seeds, len(r.Bugs)+len(r.Correct), nodes, r.Rate,
		r.Parallel, r.Platform, r.CPUs, r.command())
	if len(r.Bugs) > 0 {
		writeGroups(&b, r.Classes, "class")
		writeGroups(&b, r.Sets, "set")
		writeBugs(&b, r.Bugs)
	}
	if len(r.Correct) > 0 {
		r.writeCorrect(&b)
	}
	writeOtherwise(&b, r.Otherwise)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) budget() time.Duration { return time.Duration(r.Budget * float64(time.Second)) }

// command is what measures it again.
func (r Report) command() string {
	words := []string{"checker recall --cluster " + r.Cluster}
	if r.Matrix {
		words = append(words, "--matrix")
	}
	if r.Chosen != "" {
		words = append(words, r.Chosen)
	}
	words = append(words, fmt.Sprintf("--seeds %d --parallel %d --for %v --rate %g",
		r.Seeds, r.Parallel, r.budget(), r.Rate))
	if r.Nodes > 0 {
		words = append(words, fmt.Sprintf("--nodes %d", r.Nodes))
	}
	return strings.Join(words, " ")
}

func writeGroups(b *strings.Builder, groups []Group, what string) {
	fmt.Fprintf(b, "| %s | found | recall | 95 %% confidence | time to the first witness: median "+
		"| greatest | operations: median |\n|---|---|---|---|---|---|---|\n", what)
	for _, g := range groups {
		fmt.Fprintf(b, "| %s | %d of %d | %s | %s to %s | %s |\n", g.Name, g.Found, g.Campaigns,
			percent(float64(g.Found)/float64(g.Campaigns)), percent(g.Interval.From),
			percent(g.Interval.To), g.soon())
	}
	b.WriteString("\n")
}

func writeBugs(b *strings.Builder, bugs []Bug) {
	b.WriteString("| protocol | planted bug | class | set | found | time to the first witness: " +
		"median | greatest | operations: median |\n|---|---|---|---|---|---|---|---|\n")
	for _, bug := range bugs {
		fmt.Fprintf(b, "| %s | `%s` | %s | %s | %d of %d | %s |\n", bug.Protocol, bug.Bug, bug.Class,
			bug.Set, bug.Found, bug.Campaigns, bug.soon())
	}
	b.WriteString("\n")
}

// soon are the cells that say how soon something was found.
func (f Finds) soon() string {
	if f.Found == 0 {
		return "– | – | –"
	}
	operations := "–"
	if f.Operations > 0 {
		operations = fmt.Sprint(f.Operations)
	}
	return fmt.Sprintf("%.1f s | %.1f s | %s", f.Median, f.Greatest, operations)
}

func (r Report) writeCorrect(b *strings.Builder) {
	b.WriteString("| correct protocol | workloads | valid | unknown | invalid |\n" +
		"|---|---|---|---|---|\n")
	for _, c := range r.Correct {
		fmt.Fprintf(b, "| %s | %s | %d of %d | %d | %d |\n", c.Protocol,
			strings.Join(c.Workloads, ", "), c.Valid, c.Campaigns, c.Unknown, c.Invalid)
	}
	f := r.FalseAlarms
	fmt.Fprintf(b, "\nFalse alarms: %d of %d campaigns, in %.1f hours of workload; with 95 %% "+
		"certainty at most %s of campaigns", f.Invalid, f.Campaigns, f.Hours, percent(f.Share))
	if f.Hours > 0 {
		fmt.Fprintf(b, ", and %.2g an hour", f.PerHour)
	}
	b.WriteString(".\n\n")
}

// writeOtherwise lists the campaigns that did not come out as they should have.
func writeOtherwise(b *strings.Builder, all []Otherwise) {
	if len(all) == 0 {
		b.WriteString("No campaign came out otherwise.\n")
		return
	}
	b.WriteString("Campaigns that came out otherwise:\n\n")
	for _, o := range all {
		line := fmt.Sprintf("- %s %s, seed %d: %s", o.Protocol, bugName(o.Bug), o.Seed, o.Verdict)
		if o.Reason != "" && o.Verdict != "valid" {
			line += ". " + oneLine(o.Reason)
		}
		if o.Error != "" {
			line += ". " + oneLine(o.Error)
		}
		b.WriteString(line + "\n")
	}
}

// oneLine cuts a text that comes from elsewhere to a line.
func oneLine(text string) string {
	const most = 240
	r := []rune(strings.Join(strings.Fields(text), " "))
	if len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return string(r)
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
