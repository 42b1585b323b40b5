package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// File says how a history file by itself is judged.
type File struct {
	// Model is what linearizability is checked against, Checker another judge by
	// name. One of the two must be given.
	Model, Checker string
	// Isolation is the level that is claimed of transactions, for the checkers that
	// judge it. Default: the strongest.
	Isolation string
	// KeyOrder is what is claimed of single registers beside that: "linearizable",
	// "sequential" or nothing.
	KeyOrder string
	// StaleVersions and StaleTime are how stale reads may be, for the checker that judges
	// that. 0 means that nothing is claimed.
	StaleVersions int
	StaleTime     time.Duration
	// Refusals makes failures that are answers about the state, such as a compare
	// that did not match, observations; for models only.
	Refusals bool
	// NilUnknown says that a read that returned nil tells nothing, as in histories of
	// Knossos, instead of that there was nothing.
	NilUnknown bool
	// Form is the format of the file, if it is not to be seen from what is in it.
	Form history.Form
	// Independent splits all values, which are [key, value]. Plain says that values
	// that look like that are none. One at the most.
	Independent, Plain bool
	Limits             CheckLimits
	// Out, if not nil, is told how far the reading of a long file is; Terminal says
	// that a line of it can be rewritten.
	Out      io.Writer
	Terminal bool
}

// verdict is what judges a file.
type verdict struct {
	checker  check.Checker
	spec     *models.Spec // of a model
	timeless bool
	reshape  func(*history.History)
}

// stale reports whether anything is claimed of how stale reads are.
func (f File) stale() bool { return f.StaleVersions != 0 || f.StaleTime != 0 }

// judge returns what judges the file.
func (f File) judge() (verdict, error) {
	switch {
	case f.Model != "" && f.Checker != "":
		return verdict{}, errors.New("a model and a checker exclude each other")
	case f.Independent && f.Plain:
		return verdict{}, errors.New("values either are keys and values or they are not")
	case f.Model != "" && f.Isolation != "":
		return verdict{}, errors.New("an isolation level is judged by a checker, not by a model")
	case f.Model != "" && f.stale():
		return verdict{}, errors.New("staleness is judged by a checker, not by a model")
	case f.Model != "":
		spec, err := models.Lookup(f.Model)
		if err != nil {
			return verdict{}, err
		}
		o := f.Limits.options()
		o.Refusals = f.Refusals
		return verdict{checker: check.LinearizableSpec(spec, o), spec: &spec}, nil
	case f.Refusals:
		return verdict{}, errors.New("refusals are answers of models")
	}
	j, err := lookupJudge(f.Checker)
	if err != nil {
		return verdict{}, err
	}
	return j.verdict(f)
}

// CheckFile judges one history file, or standard input if the path is "-". One that
// ends inside a line is not valid: nobody knows what came after it. An error means
// that the file was not judged, because it or what is asked of it makes no sense.
func CheckFile(ctx context.Context, path string, f File) (check.Result, error) {
	return f.check(ctx, func(o history.LoadOptions) (*history.History, error) {
		return history.LoadWith(path, o)
	})
}

// CheckReader is CheckFile for what r holds; the source names it in messages.
func CheckReader(ctx context.Context, r io.Reader, source string, f File) (check.Result, error) {
	return f.check(ctx, func(o history.LoadOptions) (*history.History, error) {
		return history.ReadWith(r, source, o)
	})
}

// loader loads a history with options.
type loader func(history.LoadOptions) (*history.History, error)

func (f File) check(ctx context.Context, load loader) (check.Result, error) {
	v, err := f.judge()
	if err != nil {
		return check.Result{}, err
	}
	h, err := f.load(load, v)
	if err != nil {
		return check.Result{}, fmt.Errorf("check: %w", err)
	}
	if h.Untimed && !v.timeless {
		return check.Result{}, fmt.Errorf("check: %s has sessions and no times: it takes a "+
			"checker that asks for no order in real time, such as session-levels, or "+
			"rw-register with an isolation like serializable", h.Source)
	}
	if v.reshape != nil {
		v.reshape(h)
	}
	if f.NilUnknown {
		forgetNil(h)
	}
	ctx, cancel := context.WithTimeout(ctx, f.Limits.Time)
	defer cancel()
	r := v.checker.Check(ctx, h)
	if h.Torn {
		r.Verdict, r.Untested = check.Merge(r.Verdict, check.Unknown), false
		r.Reason += "; " + tornNote
	}
	return r, nil
}

// forgetNil makes reads of nil reads of which nobody knows what they returned.
func forgetNil(h *history.History) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F == "read" && op.Type == history.OK && op.Out.IsNil() {
			op.Type, op.Return = history.Info, history.Never
		}
	}
}

// load reads the file and tells how far it is.
func (f File) load(load loader, v verdict) (*history.History, error) {
	o := history.LoadOptions{Independent: f.Independent, Form: f.Form}
	if !f.Independent && !f.Plain {
		o.Accept = func(op history.Operation) error { return oneObject(op, v.spec) }
	}
	if f.Out != nil {
		p := &progress{out: f.Out, terminal: f.Terminal}
		defer p.done()
		bar := reading{began: time.Now(), show: p.status}
		p.last = bar.began
		o.Progress = func(at history.Progress) { bar.at(time.Now(), at) }
	}
	return load(o)
}

// reading shows how far the reading of a file is.
type reading struct {
	began, last time.Time
	show        func(time.Time, string)
}

// at is told where the reading is. What takes no second is not worth a line.
func (r *reading) at(now time.Time, p history.Progress) {
	const patience, interval = time.Second, 200 * time.Millisecond
	if now.Sub(r.began) < patience || now.Sub(r.last) < interval {
		return
	}
	r.last = now
	r.show(now, readingLine(now.Sub(r.began), p))
}

// readingLine says how much was read, how fast that was, and how long the rest takes.
func readingLine(took time.Duration, p history.Progress) string {
	const mega = 1e6
	rate := float64(p.Bytes) / took.Seconds()
	if p.Total == 0 {
		return fmt.Sprintf("reading: %.0f MB, %.0f MB/s", float64(p.Bytes)/mega, rate/mega)
	}
	left := time.Duration(float64(p.Total-p.Bytes) / rate * float64(time.Second))
	return fmt.Sprintf("reading: %.0f of %.0f MB, %.0f MB/s, %s left", float64(p.Bytes)/mega,
		float64(p.Total)/mega, rate/mega, left.Round(time.Second))
}

// oneObject refuses an operation whose value looks like the [key, value] of
// independent objects: to judge them as one object would be a false verdict.
func oneObject(op history.Operation, spec *models.Spec) error {
	if op.Key != "" {
		return nil
	}
	untagged := models.Untagged(op)
	if !untagged && spec != nil {
		if split, has := splitValues(op); has {
			_, misfit := spec.Parse(op)
			_, still := spec.Parse(split)
			untagged = misfit != nil && still == nil
		}
	}
	if !untagged {
		return nil
	}
	shown := op.In
	if _, pair := second(shown); !pair {
		shown = op.Out
	}
	return fmt.Errorf("value of %s is %s, which looks like [key, value] of independent keys "+
		"without a tag: --independent splits such values, --independent=false leaves them as "+
		"they are", op.F, shown)
}

// splitValues leaves out the keys of values that are pairs, if any is.
func splitValues(op history.Operation) (history.Operation, bool) {
	in, a := second(op.In)
	out, b := second(op.Out)
	op.In, op.Out = in, out
	return op, a || b
}

// second returns the second of a pair, or the value itself.
func second(v history.Value) (history.Value, bool) {
	if v.Kind() == history.KindList && v.Len() == 2 {
		return v.At(1), true
	}
	return v, false
}
