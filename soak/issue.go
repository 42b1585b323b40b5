package soak

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ordeal-dev/ordeal/reports"
)

// What of a run's files goes into an issue, in bytes: GitHub takes 65,536 in all.
const (
	scheduleMost = 8 << 10
	reportMost   = 32 << 10
)

// Issue writes the text of an issue for a finding. Its first line is the title; the ID in it
// tells whether there is an issue already.
func (sum Summary) Issue(w io.Writer, f Finding) error {
	b := bufio.NewWriter(w)
	// A title is no Markdown.
	fmt.Fprintf(b, "# %s: %s breaks its promise\n\n", f.ID, oneLine(f.System, 60))
	fmt.Fprintf(b, "> %s\n\n", reports.Inline(f.Why))
	fmt.Fprintf(b, "Found by the soak %s in %s of %s, %s.\n\n", reports.Inline(sum.Name),
		count(f.Runs, "run", "runs"), count(len(f.Cells), "cell", "cells"), f.reproduction())
	for _, row := range [][2]string{
		{"seed", fmt.Sprint(f.First.Seed)}, {"cell", f.First.Cell},
		{"first seen", fmt.Sprintf("%s, run %d", when(f.First.At), f.First.Run)},
		{"last seen", fmt.Sprintf("%s, run %d", when(f.Last.At), f.Last.Run)},
		{"faults at that moment", f.faults()},
		{"checker", strings.Join(sum.Checkers, ", ")},
		{"report", f.First.Files + "/report.html"},
		{"anomaly", f.Anomaly}, {"shape", f.Shape},
	} {
		if row[1] != "" {
			fmt.Fprintf(b, "- %s: %s\n", row[0], reports.Inline(row[1]))
		}
	}
	fmt.Fprintf(b, "\n### Repeat it\n\n%s", reports.Fenced(f.First.Command))
	dir := filepath.Join(f.First.dir, filepath.FromSlash(f.First.Files))
	if text, ok := head(filepath.Join(dir, "schedule.jsonl"), scheduleMost); ok {
		fmt.Fprintf(b, "\n### Schedule of faults\n\nThe same faults by hand: the command, with "+
			"`--schedule` and a file of these lines.\n\n%s", reports.Fenced(text))
	}
	// The run's own summary is Markdown already, in which all foreign text is escaped.
	if text, ok := head(filepath.Join(dir, "summary.md"), reportMost); ok {
		fmt.Fprintf(b, "\n### Report\n\n%s\n", strings.ReplaceAll(text, "\n## ", "\n#### "))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write issue: %w", err)
	}
	return nil
}

// head is the beginning of a file in whole lines.
func head(path string, most int64) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || len(b) == 0 {
		return "", false
	}
	if int64(len(b)) <= most {
		return strings.TrimRight(string(b), "\n"), true
	}
	b = b[:bytes.LastIndexByte(b[:most], '\n')+1]
	return string(b) + "… and more", true
}
