package nemesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Step is one fault of a schedule: what, when, for how long and whom.
type Step struct {
	// ID identifies the step in its schedule, from 1.
	ID int64
	// At is when it begins, counted from the start of the main phase, and For
	// how long it lasts.
	At, For time.Duration
	// When, if it is not empty, is waited for after At, for at most Within (0: 30 s);
	// For is counted from then on. What does not come keeps the step from being done.
	When   Conditions
	Within time.Duration
	// Until ends the step before For is over, when it comes.
	Until Conditions
	// Fault is the name of a kind of the catalog: "partition", "kill".
	Fault string
	// Shape is the form of a partition or of a client cut; empty otherwise.
	Shape Shape
	// Target is the rule by which Nodes were, or will be, chosen.
	Target Target
	// Nodes are the nodes to hit. Empty for a target of primaries, which are
	// asked for when the step begins, and for faults of all links.
	Nodes []Node
	// Else are the nodes to hit when the target is primaries and none is known
	// when the step begins. Empty: the step is skipped then.
	Else []Node
	// Params are the parameters of the kind that differ from its defaults.
	Params Params
	// Seed decides what has to be chosen while the step runs.
	Seed uint64
}

// stepLine is a Step as a line of a schedule file writes it.
type stepLine struct {
	ID     int64      `json:"id,omitempty"`
	At     string     `json:"at,omitempty"`
	For    string     `json:"for"`
	When   Conditions `json:"when,omitempty"`
	Within string     `json:"within,omitempty"`
	Until  Conditions `json:"until,omitempty"`
	Fault  string     `json:"fault"`
	Shape  Shape      `json:"shape,omitempty"`
	Target Target     `json:"target,omitempty"`
	Nodes  []Node     `json:"nodes,omitempty"`
	Else   []Node     `json:"else,omitempty"`
	Params Params     `json:"params,omitempty"`
	Seed   uint64     `json:"seed,omitempty"`
}

// MarshalJSON writes the step with durations as in "2.5s".
func (s Step) MarshalJSON() ([]byte, error) {
	l := stepLine{
		ID: s.ID, At: s.At.String(), For: s.For.String(), When: s.When, Until: s.Until,
		Fault: s.Fault, Shape: s.Shape,
		Target: s.Target, Nodes: s.Nodes, Else: s.Else, Params: s.Params, Seed: s.Seed,
	}
	if s.Within > 0 {
		l.Within = s.Within.String()
	}
	return json.Marshal(l)
}

// UnmarshalJSON reads a step; a field that does not exist is an error, because a
// misspelled one would silently change the test.
func (s *Step) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var l stepLine
	if err := d.Decode(&l); err != nil {
		return err
	}
	var at, within time.Duration
	var err error
	if l.At != "" || len(l.When) == 0 {
		if at, err = time.ParseDuration(l.At); err != nil {
			return fmt.Errorf("at: %w", err)
		}
	}
	if l.Within != "" {
		if within, err = time.ParseDuration(l.Within); err != nil {
			return fmt.Errorf("within: %w", err)
		}
	}
	dur, err := time.ParseDuration(l.For)
	if err != nil {
		return fmt.Errorf("for: %w", err)
	}
	*s = Step{
		ID: l.ID, At: at, For: dur, When: l.When, Within: within, Until: l.Until,
		Fault: l.Fault, Shape: l.Shape, Target: l.Target,
		Nodes: l.Nodes, Else: l.Else, Params: l.Params, Seed: l.Seed,
	}
	return nil
}

// Params are the parameters of a fault by name, in text: "0.2", "50ms".
type Params map[string]string

// MarshalJSON writes numbers as numbers and everything else as text.
func (p Params) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(p))
	for name, text := range p {
		if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
			out[name] = json.Number(text)
			continue
		}
		out[name] = text
	}
	return json.Marshal(out)
}

// UnmarshalJSON takes numbers, text and booleans.
func (p *Params) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var in map[string]any
	if err := d.Decode(&in); err != nil {
		return fmt.Errorf("params: %w", err)
	}
	*p = make(Params, len(in))
	for name, v := range in {
		switch v := v.(type) {
		case string:
			(*p)[name] = v
		case json.Number:
			(*p)[name] = v.String()
		case bool:
			(*p)[name] = strconv.FormatBool(v)
		default:
			return fmt.Errorf("params: %s: want a number or text", name)
		}
	}
	return nil
}

// String lists the parameters by name: "delay=50ms loss=0.2".
func (p Params) String() string {
	parts := make([]string, 0, len(p))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, name+"="+p[name])
	}
	return strings.Join(parts, " ")
}

// WriteSchedule writes steps as a schedule file: a line of JSON each, readable by
// ReadSchedule.
func WriteSchedule(w io.Writer, steps []Step) error {
	var b bytes.Buffer
	b.WriteString("# Faults of one test, a step a line. \"at\" counts from the start of the\n" +
		"# main phase. Give this file back with --schedule to repeat it.\n")
	for _, s := range steps {
		line, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("write schedule: step %d: %w", s.ID, err)
		}
		b.Write(append(line, '\n'))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write schedule: %w", err)
	}
	return nil
}

// ReadSchedule reads a schedule: a step a line, as JSON. Empty lines and lines
// that begin with # or // are comments. Steps without an id get the next free
// one. Every mistake is reported, with name and line: "faults.jsonl:3: ...".
func ReadSchedule(name string, r io.Reader) ([]Step, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read schedule %s: %w", name, err)
	}
	var steps []Step
	var errs []error
	seen := map[int64]int{}
	last := int64(0)
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
			continue
		}
		var s Step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, i+1, err))
			continue
		}
		if s.ID == 0 {
			s.ID = last + 1
		}
		last = max(last, s.ID)
		if before, twice := seen[s.ID]; twice {
			errs = append(errs, fmt.Errorf("%s:%d: id %d is that of line %d, too",
				name, i+1, s.ID, before))
		}
		seen[s.ID] = i + 1
		if err := s.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, i+1, err))
		}
		steps = append(steps, s)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return steps, nil
}

// ReadScheduleFile reads the schedule in the file at path.
func ReadScheduleFile(path string) ([]Step, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read schedule: %w", err)
	}
	steps, err := ReadSchedule(path, f)
	return steps, errors.Join(err, f.Close())
}
