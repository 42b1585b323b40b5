package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The files that a soak writes for others. They are written anew after a violation, and every
// few seconds; each is replaced in one step.
const (
	summaryJSON = "summary.json"
	summaryFile = "summary.md"
	junitFile   = "junit.xml"
	metricsFile = "metrics.prom"
	issuesDir   = "issues" // a file for each finding
)

// publish writes what the soak came to so far.
func (s *soak) publish() (Summary, error) {
	s.written = s.Now()
	sum := summarize([]*State{s.journal.State})
	return sum, sum.Write(s.Dir)
}

// Write writes the summary in all its forms into a directory.
func (sum Summary) Write(dir string) error {
	b, err := json.MarshalIndent(sum, "", "  ")
	if err != nil {
		return fmt.Errorf("soak summary: %w", err)
	}
	errs := []error{writeFile(filepath.Join(dir, summaryJSON), append(b, '\n'))}
	for name, render := range map[string]func(io.Writer) error{
		summaryFile: sum.Markdown, junitFile: sum.JUnit, metricsFile: sum.Metrics,
	} {
		var b bytes.Buffer
		if err := render(&b); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, writeFile(filepath.Join(dir, name), b.Bytes()))
	}
	if err := os.MkdirAll(filepath.Join(dir, issuesDir), 0o755); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, f := range sum.Findings {
		var b bytes.Buffer
		if err := sum.Issue(&b, f); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, writeFile(filepath.Join(dir, issuesDir, f.ID+".md"), b.Bytes()))
	}
	return errors.Join(errs...)
}

// writeFile writes a file in one step.
func writeFile(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
