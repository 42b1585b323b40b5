package export

import (
	"bufio"
	"fmt"
	"math"

	"github.com/ordeal-dev/ordeal/history"
)

// noOps is part of the writers that have no rows of operations.
type noOps struct{}

func (noOps) op(*history.Operation) error { return nil }

// ednWriter writes Jepsen's EDN.
type ednWriter struct {
	noOps
	w    *bufio.Writer
	line []byte
}

func (x *ednWriter) event(e *history.Event) error {
	x.line = append(e.AppendEDN(x.line[:0]), '\n')
	_, err := x.w.Write(x.line)
	return err
}

func (x *ednWriter) close() error {
	if x.line != nil {
		return nil
	}
	_, err := x.w.WriteString("[]\n") // a file with nothing in it would be no history
	return err
}

// linesWriter writes this program's own format.
type linesWriter struct {
	noOps
	w      *bufio.Writer
	line   []byte
	header history.Header
	begun  bool
}

// begin writes the header, which every file of this format has.
func (x *linesWriter) begin() error {
	if x.begun {
		return nil
	}
	x.begun = true
	x.header.Format = history.Format
	line, err := x.header.AppendJSON(nil)
	if err != nil {
		return err
	}
	_, err = x.w.Write(append(line, '\n'))
	return err
}

func (x *linesWriter) event(e *history.Event) error {
	if err := inJSON(e); err != nil {
		return err
	}
	if err := x.begin(); err != nil {
		return err
	}
	x.line = append(e.AppendJSON(x.line[:0]), '\n')
	_, err := x.w.Write(x.line)
	return err
}

func (x *linesWriter) close() error { return x.begin() }

// elleWriter writes what elle-cli reads: a list of the events of clients.
type elleWriter struct {
	noOps
	w    *bufio.Writer
	line []byte
	// writes is the F of the first step that wrote, and at its event's index.
	writes history.F
	at     int64
}

func (x *elleWriter) event(e *history.Event) error {
	if e.Process == history.Nemesis {
		return nil
	}
	if err := x.accept(e); err != nil {
		return err
	}
	open := byte(',')
	if x.line == nil {
		open = '['
	}
	x.line = append(x.line[:0], open, '\n')
	x.line = e.AppendJSON(x.line)
	_, err := x.w.Write(x.line)
	return err
}

// accept refuses what Elle would not understand, or take for something else.
func (x *elleWriter) accept(e *history.Event) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("event %d %w: %s", e.Index, ErrContent, fmt.Sprintf(format, args...))
	}
	if e.Key != "" {
		return refuse("it has the key %q beside its value: want transactions", e.Key)
	}
	if err := inJSON(e); err != nil || e.Value.IsNil() {
		return err
	}
	steps, err := history.ViewSteps(e.Value)
	if err != nil {
		return refuse("its value is no transaction: %v", err)
	}
	for _, s := range steps {
		switch s.F {
		case history.StepRead:
			continue
		case history.StepAppend, history.StepWrite:
		default:
			return refuse("elle-cli has no step %q", s.F)
		}
		if x.writes == "" {
			x.writes, x.at = s.F, e.Index
		}
		if s.F != x.writes {
			return refuse("it has %q where event %d has %q: no model of elle-cli has both",
				s.F, x.at, x.writes)
		}
	}
	return nil
}

func (x *elleWriter) close() error {
	text := "\n]\n"
	if x.line == nil {
		text = "[]\n"
	}
	_, err := x.w.WriteString(text)
	return err
}

// inJSON refuses values that JSON cannot hold.
func inJSON(e *history.Event) error {
	if finite(e.Value) {
		return nil
	}
	return fmt.Errorf("event %d %w: its value has a NaN or an infinity", e.Index, ErrContent)
}

func finite(v history.Value) bool {
	switch v.Kind() {
	case history.KindFloat:
		f, _ := v.AsFloat()
		return !math.IsNaN(f) && !math.IsInf(f, 0)
	case history.KindList, history.KindMap:
		for i := range v.Len() {
			if !finite(v.At(i)) {
				return false
			}
		}
	}
	return true
}
