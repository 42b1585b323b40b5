package soak

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/reports"
)

// sign is an outcome as one character, which is never said by color alone.
func sign(o Outcome) string {
	return map[Outcome]string{Valid: "✅", Unknown: "❓", Crashed: "💥", Violated: "❌", "": "·"}[o]
}

// Markdown writes the summary for a person: GitHub shows it as the summary of a step.
func (sum Summary) Markdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "## %s %s: soak %s\n\n%s.\n\n", sign(sum.Outcome),
		strings.ToUpper(string(sum.Outcome)), reports.Inline(sum.Name), reports.Inline(sum.Reason))
	sum.markdownNumbers(b)
	sum.markdownCanaries(b)
	sum.markdownFindings(b)
	sum.markdownMap(b)
	sum.markdownDoubts(b)
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

func (sum Summary) markdownNumbers(b io.Writer) {
	n := sum.Outcomes
	fmt.Fprintf(b, "| runs | valid | unknown | crashed | violated | canary found | operations |\n")
	fmt.Fprintf(b, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	fmt.Fprintf(b, "| %d | %d | %d | %d | %d | %d | %d |\n\n", sum.Runs, n[Valid], n[Unknown],
		n[Crashed], n[Violated], sum.CanaryRuns, sum.Operations)
	what := "master seed"
	if len(sum.Seeds) > 1 {
		what = "master seeds"
	}
	seeds := make([]string, len(sum.Seeds))
	for i, s := range sum.Seeds {
		seeds[i] = fmt.Sprint(s)
	}
	fmt.Fprintf(b, "- %s %s", what, strings.Join(seeds, ", "))
	if len(sum.Shards) > 0 {
		fmt.Fprintf(b, "; shards %s", strings.Join(sum.Shards, ", "))
	}
	fmt.Fprintf(b, "\n- from %s to %s, %s at work; %s of runs, %s of CPU\n", when(sum.Started),
		when(sum.Last), round(sum.Active), round(sum.Took), round(sum.CPU))
	fmt.Fprintf(b, "- %s of files; %d runs were pruned, %s are kept\n", formatSize(sum.Bytes),
		sum.Pruned, formatSize(sum.Kept))
	if sum.Repetitions > 0 {
		fmt.Fprintf(b, "- %s of what was found\n", count(sum.Repetitions, "repetition", "repetitions"))
	}
	if sum.Interrupted > 0 {
		fmt.Fprintf(b, "- %d times a run was cut off, cleaned up, and is done again under its number\n",
			sum.Interrupted)
	}
	for _, why := range sum.Stopped {
		fmt.Fprintf(b, "- stopped: %s\n", reports.Inline(why))
	}
	fmt.Fprintln(b)
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (sum Summary) markdownCanaries(b io.Writer) {
	if len(sum.Canaries) == 0 {
		return
	}
	fmt.Fprint(b, "### Canaries\n\nPlanted bugs that have to be found; if one is not, nothing else "+
		"that was not found means anything.\n\n| canary | found | runs |\n| --- | --- | ---: |\n")
	for _, c := range sum.Canaries {
		found := fmt.Sprintf("✅ in %d", c.Found)
		switch {
		case c.Elsewhere:
			found = "· left to other shards"
		case c.missed():
			found = "❌ NOT FOUND"
		}
		fmt.Fprintf(b, "| %s | %s | %d |\n", reports.Inline(c.Cell), found, c.Runs)
	}
	fmt.Fprintln(b)
}

func (sum Summary) markdownFindings(b io.Writer) {
	if len(sum.Findings) == 0 {
		return
	}
	fmt.Fprintf(b, "### Findings\n\n")
	for _, f := range sum.Findings {
		fmt.Fprintf(b, "**%s** (%s, %s)\n\n> %s\n\n", reports.Inline(f.ID), reports.Inline(f.System),
			reports.Inline(f.Checker), reports.Inline(f.Why))
		fmt.Fprintf(b, "- in %s of %s\n", count(f.Runs, "run", "runs"),
			count(len(f.Cells), "cell", "cells"))
		fmt.Fprintf(b, "- %s\n", f.reproduction())
		if len(f.ByFaults) > 0 {
			fmt.Fprintf(b, "- faults at that moment: %s\n", f.faults())
		}
		fmt.Fprintf(b, "- first seen %s in run %d, last %s in run %d\n", when(f.First.At), f.First.Run,
			when(f.Last.At), f.Last.Run)
		fmt.Fprintf(b, "- report: %s\n\n%s\n", reports.Inline(f.First.Files+"/report.html"),
			reports.Fenced(f.First.Command))
	}
}

// reproduction says how often it came again with its seed.
func (f Finding) reproduction() string {
	if f.Tries == 0 {
		return "not repeated"
	}
	s := fmt.Sprintf("reproduced %d of %d", f.Reproduced, f.Tries)
	if f.Exact != f.Reproduced {
		s += fmt.Sprintf(" (%d with the same signature)", f.Exact)
	}
	return s
}

// faults are the families of faults that were in force, the most frequent first.
func (f Finding) faults() string {
	var names []string
	for name := range f.ByFaults {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := f.ByFaults[b] - f.ByFaults[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s in %d", name, f.ByFaults[name])
	}
	return strings.Join(names, ", ")
}

// markdownMap draws the heat map: a row for each test, a column for each set of faults and
// time; in each field the gravest outcome, and how many of its runs had it.
func (sum Summary) markdownMap(b io.Writer) {
	row := func(c CellSummary) string {
		name := strings.Join([]string{c.Cluster, c.System, c.Workload}, " ")
		if c.Bug != "" {
			name += " " + c.Bug
		}
		if c.Canary {
			name += " (canary)"
		}
		return name
	}
	column := func(c CellSummary) string { return c.Faults + " " + shortTime(c.Time) }
	var rows, columns []string
	fields := map[[2]string][]string{}
	for _, c := range sum.Cells {
		r, k := row(c), column(c)
		if !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
		if !slices.Contains(columns, k) {
			columns = append(columns, k)
		}
		text := sign(c.Worst)
		switch n := c.Outcomes[c.Worst]; {
		case c.Canary && c.Runs > 0:
			text = fmt.Sprintf("found %d of %d", c.Outcomes[Violated], c.Runs)
		case c.Runs > 0 && n < c.Runs:
			text += fmt.Sprintf(" %d of %d", n, c.Runs)
		case c.Runs > 0:
			text += fmt.Sprintf(" %d", c.Runs)
		}
		fields[[2]string{r, k}] = append(fields[[2]string{r, k}], text)
	}
	fmt.Fprintf(b, "### Heat map\n\n| test |")
	for _, k := range columns {
		fmt.Fprintf(b, " %s |", reports.Inline(k))
	}
	fmt.Fprintf(b, "\n| --- |%s\n", strings.Repeat(" --- |", len(columns)))
	for _, r := range rows {
		fmt.Fprintf(b, "| %s |", reports.Inline(r))
		for _, k := range columns {
			fmt.Fprintf(b, " %s |", strings.Join(fields[[2]string{r, k}], ", "))
		}
		fmt.Fprintln(b)
	}
	fmt.Fprint(b, "\n✅ valid, ❓ unknown, 💥 crashed, ❌ violated, · not run\n\n")
}

func (sum Summary) markdownDoubts(b io.Writer) {
	if len(sum.Doubts) == 0 {
		return
	}
	fmt.Fprintf(b, "### Without a verdict\n\n| runs | what | for example |\n| ---: | --- | --- |\n")
	for _, d := range sum.Doubts {
		fmt.Fprintf(b, "| %d | %s | run %d, %s: %s |\n", d.Runs, d.Outcome, d.Run,
			reports.Inline(d.Cell), reports.Inline(oneLine(d.Example, 300)))
	}
	fmt.Fprintln(b)
}

// JUnit writes a test case for each cell and one more for each canary. Crashed and unknown
// are errors, a violation is a failure.
func (sum Summary) JUnit(w io.Writer) error {
	s := reports.Suite{Name: "soak " + sum.Name, Started: sum.Started, Took: sum.Active}
	for _, seed := range sum.Seeds {
		s.Facts = append(s.Facts, reports.Fact{Name: "seed", Value: fmt.Sprint(seed)})
	}
	for _, c := range sum.Cells {
		k := reports.Case{Class: "soak." + sum.Name, Name: c.ID}
		for _, o := range Outcomes() {
			if n := c.Outcomes[o]; n > 0 {
				k.Reason += fmt.Sprintf("%d %s ", n, o)
			}
		}
		k.Reason = strings.TrimSpace(k.Reason)
		switch {
		case c.Canary:
			k.Name = "canary " + c.ID
			i := slices.IndexFunc(sum.Canaries, func(x CanarySummary) bool { return x.Cell == c.ID })
			if sum.Canaries[i].missed() {
				k.Verdict, k.Reason = check.Invalid, "the planted bug was not found: "+k.Reason
			}
		case c.Worst == Violated:
			k.Verdict, k.Text = check.Invalid, sum.textOf(c.ID)
		case c.Worst == Crashed, c.Worst == Unknown:
			k.Verdict = check.Unknown
		case c.Runs == 0:
			k.Reason = "not run"
		}
		s.Cases = append(s.Cases, k)
	}
	return s.Write(w)
}

// textOf tells the findings of a cell.
func (sum Summary) textOf(cell string) string {
	var lines []string
	for _, f := range sum.Findings {
		if slices.Contains(f.Cells, cell) {
			lines = append(lines, f.ID+": "+f.Why, "  "+f.reproduction(), "  "+f.First.Command)
		}
	}
	return strings.Join(lines, "\n")
}
