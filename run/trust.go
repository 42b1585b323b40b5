package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/driver"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/workload"
)

// watched is a client that is not ours: once it has answered what cannot be an answer,
// nothing that it has said proves anything, neither for the system nor against it.
type watched struct {
	workload.Client
	c *conductor
}

// Invoke passes on what the client says. When all is healed, transactions do not rest any
// longer: they would meet no fault, and everybody waits for the last reads.
func (w watched) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if w.c.healed.Load() {
		ctx = systems.WithoutRests(ctx)
	}
	result, err := w.Client.Invoke(ctx, op)
	w.c.mistrust(err)
	w.c.missAnswer(err)
	return result, err
}

// missAnswer counts the answers that a client program owes.
func (c *conductor) missAnswer(err error) {
	if !errors.Is(err, driver.ErrNoAnswer) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.test.Silences++; c.test.Silence == "" {
		c.test.Silence = err.Error()
	}
}

// silences tells how often the client program crashed or did not answer. Its operations are
// of unknown outcome, which is honest: it is no doubt, but whoever wrote the program wants to
// know.
func silences(test Test) check.Checker {
	return check.CheckerFunc(func(context.Context, *history.History) check.Result {
		times := "once"
		if test.Silences > 1 {
			times = fmt.Sprintf("%d times", test.Silences)
		}
		return check.Result{
			Name: "client", Verdict: check.Valid,
			Reason: fmt.Sprintf("it owed an answer %s, first: %s", times, test.Silence),
		}
	})
}

// mistrust keeps the first proof that the client is broken.
func (c *conductor) mistrust(err error) {
	if !operation.IsBroken(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.test.Broken == "" {
		c.test.Broken = err.Error()
		c.env.Logger.Error("the client is broken", "err", err)
	}
}

// trusted makes unknown what rests on the word of a broken client.
func trusted(r check.Result, test Test) check.Result {
	if test.Broken == "" {
		return r
	}
	r.Reason = fmt.Sprintf("the client cannot be trusted: it answered what was no answer (%s); "+
		"by its word, it would be %s: %s", test.Broken, r.Verdict, r.Reason)
	r.Verdict = check.Unknown
	r.Parts = append(r.Parts, check.Result{
		Name: "client", Verdict: check.Unknown, Reason: test.Broken,
	})
	return r
}
