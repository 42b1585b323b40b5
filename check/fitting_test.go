package check_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// TestFitting: an answer to something else is a violation; no answer, and a refusal, are none.
func TestFitting(t *testing.T) {
	op := func(kind history.Type, out int64) history.Operation {
		return history.Operation{
			Type: kind, F: "double", In: history.Int(2), Out: history.Int(out), Return: 1,
		}
	}
	c := check.Fitting(func(op *history.Operation) error {
		if !op.Out.Equal(history.Int(4)) {
			return errors.New("want 4")
		}
		return nil
	})
	for _, x := range []struct {
		ops  []history.Operation
		want check.Verdict
	}{
		{[]history.Operation{op(history.OK, 4), op(history.Fail, 0), op(history.Info, 0)}, check.Valid},
		{[]history.Operation{op(history.OK, 4), op(history.OK, 5)}, check.Invalid},
	} {
		r := c.Check(context.Background(), &history.History{Ops: x.ops})
		if r.Verdict != x.want || len(r.Counterexamples) > 0 != (x.want == check.Invalid) {
			t.Errorf("%v: %v, want %v: %s", x.ops, r.Verdict, x.want, r.Reason)
		}
	}
}
