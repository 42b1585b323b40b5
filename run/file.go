package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// named is a checker that can be asked for by name.
type named struct {
	name string
	make func(CheckLimits) check.Checker
}

func namedCheckers() []named {
	return []named{
		{"set-full", func(CheckLimits) check.Checker {
			return check.SetFull(check.SetFullOptions{Linearizable: true})
		}},
		{"counter", func(CheckLimits) check.Checker { return check.Counter() }},
		{"unique-ids", func(CheckLimits) check.Checker { return check.UniqueIDs() }},
		{"stats", func(CheckLimits) check.Checker { return check.Stats() }},
	}
}

// CheckerNames are the checkers that CheckFile can use beside models.
func CheckerNames() []string {
	var names []string
	for _, n := range namedCheckers() {
		names = append(names, n.name)
	}
	return names
}

// File says how a history file by itself is judged.
type File struct {
	// Model is what linearizability is checked against, Checker another judge by
	// name. One of the two must be given.
	Model, Checker string
	// Independent splits all values, which are [key, value].
	Independent bool
	Limits      CheckLimits
}

// judge returns the checker, and the model that it is of, if it is of one.
func (f File) judge() (check.Checker, *models.Spec, error) {
	switch {
	case f.Model != "" && f.Checker != "":
		return nil, nil, errors.New("a model and a checker exclude each other")
	case f.Model != "":
		spec, err := models.Lookup(f.Model)
		if err != nil {
			return nil, nil, err
		}
		return check.LinearizableSpec(spec, f.Limits.options()), &spec, nil
	}
	for _, n := range namedCheckers() {
		if n.name == f.Checker {
			return n.make(f.Limits), nil, nil
		}
	}
	return nil, nil, fmt.Errorf("checker %q: unknown; there is %s", f.Checker,
		strings.Join(CheckerNames(), ", "))
}

// CheckFile judges one history file. One that ends inside a line is not valid:
// nobody knows what came after it. An error means that the file was not judged,
// because it or what is asked of it makes no sense.
func CheckFile(ctx context.Context, path string, f File) (check.Result, error) {
	judge, spec, err := f.judge()
	if err != nil {
		return check.Result{}, err
	}
	o := history.LoadOptions{Independent: f.Independent}
	if !f.Independent {
		o.Accept = func(op history.Operation) error { return oneObject(op, spec) }
	}
	h, err := history.LoadWith(path, o)
	if err != nil {
		return check.Result{}, fmt.Errorf("check: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.Limits.Time)
	defer cancel()
	r := judge.Check(ctx, h)
	if h.Torn {
		r.Verdict = check.Merge(r.Verdict, check.Unknown)
		r.Reason += "; " + tornNote
	}
	return r, nil
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
		"without a tag: --independent splits such values", op.F, shown)
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
