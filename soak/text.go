package soak

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes the summary for a terminal.
func (sum Summary) Text(w io.Writer) error {
	b := bufio.NewWriter(w)
	n := sum.Outcomes
	fmt.Fprintf(b, "soak %s: %s: %s\n", sum.Name, strings.ToUpper(string(sum.Outcome)), sum.Reason)
	fmt.Fprintf(b, "%d runs: %d valid, %d unknown, %d crashed, %d violated, %d found a canary; %d "+
		"operations; %s at work, %s of CPU, %s of files\n", sum.Runs, n[Valid], n[Unknown], n[Crashed],
		n[Violated], sum.CanaryRuns, sum.Operations, round(sum.Active), round(sum.CPU),
		formatSize(sum.Kept))
	if sum.Open > 0 {
		fmt.Fprintf(b, "%d go on, or were cut off\n", sum.Open)
	}
	for _, why := range sum.Stopped {
		fmt.Fprintf(b, "stopped: %s\n", why)
	}
	fmt.Fprintln(b)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\truns\tvalid\tunknown\tcrashed\tviolated\tcell")
	for _, c := range sum.Cells {
		name, mark := c.ID, sign(c.Worst)
		if c.Canary {
			name += " (canary)"
			mark = map[bool]string{true: "✅", false: "❌"}[c.Outcomes[Violated] > 0]
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", mark, c.Runs, c.Outcomes[Valid],
			c.Outcomes[Unknown], c.Outcomes[Crashed], c.Outcomes[Violated], name)
	}
	_ = t.Flush() // b tells of its errors
	for _, f := range sum.Findings {
		fmt.Fprintf(b, "\n%s\n  %s\n  in %s, %s\n  %s\n", f.ID, oneLine(f.Why, 300),
			count(f.Runs, "run", "runs"), f.reproduction(), f.First.Command)
	}
	for _, d := range sum.Doubts {
		fmt.Fprintf(b, "\n%s in %s, such as run %d of %s:\n  %s\n", d.Outcome,
			count(d.Runs, "run", "runs"), d.Run, d.Cell, oneLine(d.Example, 300))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}
