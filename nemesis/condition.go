package nemesis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// Condition is something that a step waits for, as a person writes it:
//
//	100 acks         that many operations were acknowledged
//	primary          somebody says that it leads
//	no primary       nobody says so
//	new primary      somebody says so who did not before
//	step 2           step 2 is in force
//	step 2 over      step 2 is healed, or was skipped
//
// Before, and since when acknowledgments count, is the moment at which the waiting
// began; after "step 2" it is the one at which that was injected, after "step 2 over" the
// one at which it was healed.
type Condition string

// Conditions are awaited one after the other. In JSON one alone may stand without a list.
type Conditions []Condition

// UnmarshalJSON takes a text or a list of texts.
func (c *Conditions) UnmarshalJSON(b []byte) error {
	var one Condition
	if json.Unmarshal(b, &one) == nil {
		*c = Conditions{one}
		return nil
	}
	var all []Condition
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("want a condition, or a list: %w", err)
	}
	*c = all
	return nil
}

// String joins the conditions to half a sentence.
func (c Conditions) String() string {
	words := make([]string, len(c))
	for i, one := range c {
		words[i] = string(one)
	}
	return strings.Join(words, ", then ")
}

// parsed is a condition that was understood.
type parsed struct {
	acks    int64 // this many
	step    int64 // this one
	over    bool  // is over
	primary string
}

const (
	anyPrimary = "primary"
	noPrimary  = "no primary"
	newPrimary = "new primary"
)

func (c Condition) parse() (parsed, error) {
	words := strings.Fields(string(c))
	text := strings.Join(words, " ")
	number := func(i int) int64 {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	switch {
	case text == anyPrimary, text == noPrimary, text == newPrimary:
		return parsed{primary: text}, nil
	case len(words) == 2 && words[1] == "acks" && number(0) > 0:
		return parsed{acks: number(0)}, nil
	case len(words) == 2 && words[0] == "step" && number(1) > 0:
		return parsed{step: number(1)}, nil
	case len(words) == 3 && words[0] == "step" && words[2] == "over" && number(1) > 0:
		return parsed{step: number(1), over: true}, nil
	default:
		return parsed{}, fmt.Errorf(
			"condition %q: want N acks, primary, no primary, new primary, step N, or step N over", c)
	}
}

// validate lists what is wrong with the conditions of a step.
func (c Conditions) validate(id int64) error {
	var errs []error
	for _, one := range c {
		p, err := one.parse()
		if err == nil && p.step >= id {
			err = fmt.Errorf("condition %q: step %d can only wait for earlier ones", one, id)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// needs lists what the conditions need of an environment that does not have it.
func (c Conditions) needs(env *Env, ids map[int64]bool) error {
	var errs []error
	for _, one := range c {
		p, err := one.parse()
		switch {
		case err != nil: // Validate has said so
		case p.acks > 0 && env.Acks == nil:
			errs = append(errs, fmt.Errorf("condition %q: nobody counts acknowledgments", one))
		case p.primary != "" && env.Primaries == nil:
			errs = append(errs, fmt.Errorf("condition %q: nobody ever leads", one))
		case p.step > 0 && !ids[p.step]:
			errs = append(errs, fmt.Errorf("condition %q: there is no such step", one))
		}
	}
	return errors.Join(errs...)
}

const (
	// conditionPoll is the time between two looks at a condition.
	conditionPoll = 50 * time.Millisecond
	// conditionFor is how long a step waits for its conditions, if it does not say.
	conditionFor = 30 * time.Second
)

// moment is what conditions are measured against.
type moment struct {
	acks      int64
	primaries []Node
}

// progress is how far a step has come.
type progress struct {
	begun, over moment
	is          int // 0: not begun, 1: in force, 2: over
}

// now notes the present moment. Who leads is asked only if somebody waits for it.
func (r *Runner) now(ctx context.Context) moment {
	var m moment
	if r.env.Acks != nil {
		m.acks = r.env.Acks()
	}
	if r.watchesPrimaries {
		m.primaries = r.primariesNow(ctx)
	}
	return m
}

// primariesNow asks who leads; who does not answer does not.
func (r *Runner) primariesNow(ctx context.Context) []Node {
	ctx, cancel := vtime.WithTimeout(ctx, primariesFor)
	defer cancel()
	known, err := r.env.Primaries(ctx)
	if err != nil {
		return nil
	}
	return known
}

// reach notes that a step has come so far.
func (r *Runner) reach(id int64, is int, m moment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.progress[id]
	p.is = is
	if is == 1 {
		p.begun = m
	} else {
		p.over = m
	}
	r.progress[id] = p
}

// await waits for all conditions, one after the other, and says in words which one has
// not come before ctx ended; "" if all have.
func (r *Runner) await(ctx context.Context, all Conditions, since moment) string {
	for _, c := range all {
		p, err := c.parse()
		if err != nil {
			return err.Error()
		}
		for {
			met, next := r.met(ctx, p, since)
			if met {
				since = next
				break
			}
			if !vtime.Sleep(ctx, conditionPoll) {
				return fmt.Sprintf("%q did not come", c)
			}
		}
	}
	return ""
}

// watchesPrimaries reports whether the step waits for somebody to lead.
func (s Step) watchesPrimaries() bool {
	return slices.ContainsFunc(slices.Concat(s.When, s.Until), func(c Condition) bool {
		p, err := c.parse()
		return err == nil && p.primary != ""
	})
}

// awaitWhen waits for what the step wants to have happened before. The text says what did
// not.
func (r *Runner) awaitWhen(ctx context.Context, s Step) string {
	if len(s.When) == 0 {
		return ""
	}
	limit := cmp.Or(s.Within, conditionFor)
	limited, cancel := vtime.WithTimeout(ctx, limit)
	defer cancel()
	missing := r.await(limited, s.When, r.now(ctx))
	if missing != "" && ctx.Err() == nil {
		missing += fmt.Sprintf(" within %v", limit)
	}
	return missing
}

// lasts waits until a fault's time is over, or what it lasts until has come. It reports
// whether ctx was still alive at the end.
func (r *Runner) lasts(ctx context.Context, f *running) bool {
	if len(f.until) == 0 {
		return vtime.Sleep(ctx, f.hold)
	}
	limited, cancel := vtime.WithTimeout(ctx, f.hold)
	defer cancel()
	if missing := r.await(limited, f.until, f.since); missing != "" {
		r.env.Logger.Info("fault ends with its time", "id", f.step.ID, "missing", missing)
	}
	return ctx.Err() == nil
}

// met reports whether a condition holds, and the moment that the next one counts from.
func (r *Runner) met(ctx context.Context, c parsed, since moment) (bool, moment) {
	switch {
	case c.step > 0:
		r.mu.Lock()
		defer r.mu.Unlock()
		p := r.progress[c.step]
		if c.over {
			return p.is == 2, p.over
		}
		return p.is >= 1, p.begun
	case c.acks > 0:
		return r.env.Acks() >= since.acks+c.acks, r.now(ctx)
	}
	known := r.primariesNow(ctx)
	fresh := slices.ContainsFunc(known, func(n Node) bool {
		return !slices.Contains(since.primaries, n)
	})
	met := c.primary == anyPrimary && len(known) > 0 || c.primary == noPrimary && len(known) == 0 ||
		c.primary == newPrimary && fresh
	return met, moment{acks: since.acks, primaries: known}
}
