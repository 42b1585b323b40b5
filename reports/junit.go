package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

type suite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Started  string     `xml:"timestamp,attr"`
	Seconds  string     `xml:"time,attr"`
	Facts    []property `xml:"properties>property"`
	Cases    []testCase `xml:"testcase"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type testCase struct {
	Class   string `xml:"classname,attr"`
	Name    string `xml:"name,attr"`
	Failure *fault `xml:"failure,omitempty"`
	Error   *fault `xml:"error,omitempty"`
	Out     string `xml:"system-out,omitempty"`
}

type fault struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the outcome as JUnit XML: a test case for each checker. Invalid is
// a failure; unknown is an error, because a build server that knows only passed
// and failed must not take it for passed.
func JUnit(w io.Writer, r Run) error {
	s := suite{
		Name: clean(r.Name), Started: r.Started.UTC().Format(time.RFC3339),
		Seconds: fmt.Sprintf("%.3f", length(r).Seconds()),
	}
	for _, f := range r.Facts {
		s.Facts = append(s.Facts, property{Name: clean(f.Name), Value: clean(f.Value)})
	}
	s.Facts = append(s.Facts, property{Name: "repeat", Value: clean(r.Repeat)})
	addCases(&s, r.Result, r.Name)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// addCases adds the leaves of a result.
func addCases(s *suite, r check.Result, class string) {
	if len(r.Parts) > 0 {
		for _, p := range r.Parts {
			addCases(s, p, class+"."+r.Name)
		}
		return
	}
	c := testCase{Class: clean(class), Name: clean(r.Name), Out: clean(r.Reason)}
	f := &fault{Message: clean(r.Reason), Type: r.Verdict.String(), Text: explanations(r)}
	switch r.Verdict {
	case check.Invalid:
		c.Failure = f
		s.Failures++
	case check.Unknown:
		c.Error = f
		s.Errors++
	}
	s.Tests++
	s.Cases = append(s.Cases, c)
}

func explanations(r check.Result) string {
	var lines []string
	for _, c := range r.Counterexamples {
		lines = append(lines, fmt.Sprintf("key %s: %s", c.Key, c.Why))
		for _, op := range c.Ops {
			lines = append(lines, fmt.Sprintf("  process %d: %s", op.Process, op.Describe))
		}
	}
	return clean(strings.Join(lines, "\n"))
}

func length(r Run) time.Duration {
	if n := len(r.Phases); n > 0 {
		return time.Duration(r.Phases[n-1].End)
	}
	return 0
}

// clean drops the characters that XML cannot carry, even escaped; the system under
// test may have sent any.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF {
			return r
		}
		return '�'
	}, strings.ToValidUTF8(text, "�"))
}
