package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/ordeal-dev/ordeal/run"
)

// summaryVariable names the file whose Markdown GitHub shows on the page of a build's
// step.
const summaryVariable = "GITHUB_STEP_SUMMARY"

// tellStep adds the outcome to the page of the build's step, if there is one. That it
// cannot is told, and changes no verdict.
func tellStep(std streams, out run.Outcome) {
	path := os.Getenv(summaryVariable)
	if path == "" || out.Summary == "" {
		return
	}
	if err := appendFile(path, out.Summary); err != nil {
		fmt.Fprintf(std.err, "checker: %s: %v\n", summaryVariable, err)
	}
}

func appendFile(path, from string) (err error) {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(append(b, '\n'))
	return err
}
