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

// Suite is a file of JUnit XML.
type Suite struct {
	Name    string
	Started time.Time
	Took    time.Duration
	Facts   []Fact
	Cases   []Case
}

// Case is one test case. Invalid is a failure; unknown is an error, because a build server
// that knows only passed and failed must not take it for passed.
type Case struct {
	Class, Name string
	Verdict     check.Verdict
	// Reason is a sentence; Text is more, for what did not pass.
	Reason, Text string
}

// JUnit writes the outcome as JUnit XML: a test case for each checker.
func JUnit(w io.Writer, r Run) error {
	s := Suite{Name: r.Name, Started: r.Started, Took: length(r)}
	s.Facts = append(append(s.Facts, r.Facts...), Fact{Name: "repeat", Value: r.Repeat})
	s.Cases = cases(nil, r.Result, r.Name)
	return s.Write(w)
}

// Write writes the XML.
func (s Suite) Write(w io.Writer) error {
	out := suite{
		Name: clean(s.Name), Tests: len(s.Cases), Started: s.Started.UTC().Format(time.RFC3339),
		Seconds: fmt.Sprintf("%.3f", s.Took.Seconds()),
	}
	for _, f := range s.Facts {
		out.Facts = append(out.Facts, property{Name: clean(f.Name), Value: clean(f.Value)})
	}
	for _, c := range s.Cases {
		t := testCase{Class: clean(c.Class), Name: clean(c.Name), Out: clean(c.Reason)}
		f := &fault{Message: clean(c.Reason), Type: c.Verdict.String(), Text: clean(c.Text)}
		switch c.Verdict {
		case check.Invalid:
			t.Failure = f
			out.Failures++
		case check.Unknown:
			t.Error = f
			out.Errors++
		}
		out.Cases = append(out.Cases, t)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// cases adds the leaves of a result.
func cases(all []Case, r check.Result, class string) []Case {
	for _, p := range r.Parts {
		all = cases(all, p, class+"."+r.Name)
	}
	if len(r.Parts) > 0 {
		return all
	}
	return append(all, Case{
		Class: class, Name: r.Name, Verdict: r.Verdict, Reason: r.Reason, Text: explanations(r),
	})
}

func explanations(r check.Result) string {
	var lines []string
	for _, c := range r.Counterexamples {
		lines = append(lines, fmt.Sprintf("key %s: %s", c.Key, c.Why))
		for _, op := range c.Ops {
			lines = append(lines, fmt.Sprintf("  process %d: %s", op.Process, op.Describe))
		}
	}
	return strings.Join(lines, "\n")
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
