package check

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/models"
)

// Options bound and refine a check for linearizability. The zero value is ready to
// use.
type Options struct {
	// Timeout bounds the search over all keys. Default: one minute.
	Timeout time.Duration
	// Memory bounds by how many bytes the searches may make the heap grow.
	// Default: 1 GiB.
	Memory uint64
	// Workers is the number of keys searched at a time. Default: GOMAXPROCS.
	Workers int
	// Refusals makes a failure that is an answer about the state, such as a
	// compare that did not match, an observation. By default every failure is
	// dropped: a system may refuse for reasons of its own.
	Refusals bool
	// KeepUnknown switches off the pruning of operations of unknown outcome.
	KeepUnknown bool
	// Explain bounds the time for reducing the counterexamples, all together.
	// Default: 10 seconds.
	Explain time.Duration
	// Counterexamples is how many keys are explained. Default: 3.
	Counterexamples int
	// PageSize is the largest size of an interactive page in bytes. Default:
	// 1 MB.
	PageSize int

	_ struct{} // keyed literals only
}

func (o Options) withDefaults() Options {
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.Memory = cmp.Or(o.Memory, 1<<30)
	o.Workers = cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	o.Explain = cmp.Or(o.Explain, 10*time.Second)
	o.Counterexamples = cmp.Or(o.Counterexamples, 3)
	o.PageSize = cmp.Or(o.PageSize, 1_000_000)
	return o
}

// Linearizable checks that every object in the history behaves as if each
// operation happened at one instant between its call and its return (Herlihy and
// Wing, "Linearizability: a correctness condition for concurrent objects", 1990).
// The model is one of models.All; with an unknown name every check is unknown.
//
// Keys are independent objects and are searched one by one, easy ones first.
// What is not decided within the bounds of o is unknown; so is a history that
// could not have shown a violation, because nothing was written or nothing read.
func Linearizable(model string, o Options) Checker {
	spec, err := models.Lookup(model)
	if err != nil {
		return CheckerFunc(func(context.Context, *history.History) Result {
			return Result{Name: linearizableName, Verdict: Unknown, Reason: err.Error()}
		})
	}
	return LinearizableSpec(spec, o)
}

// LinearizableSpec is Linearizable for a model of the caller's own.
func LinearizableSpec(spec models.Spec, o Options) Checker {
	return &linearizable{spec: spec, o: o.withDefaults()}
}

const linearizableName = "linearizable"

type linearizable struct {
	spec models.Spec
	o    Options
}

// LinearizableDetails are the Details of a linearizability check.
type LinearizableDetails struct {
	Model string `json:"model"`
	// Keys is the number of objects, Decided how many of them have a verdict.
	Keys    int `json:"keys"`
	Decided int `json:"decided"`
	// Invalid are the keys that are not linearizable, by name.
	Invalid []history.Key `json:"invalid,omitempty"`
	// Undecided are the keys without a verdict, the largest first.
	Undecided []UndecidedKey `json:"undecided,omitempty"`
	// Stack is the stack of a model that panicked.
	Stack string `json:"stack,omitempty"`
}

// UndecidedKey says how far the search came with a key.
type UndecidedKey struct {
	Key        history.Key `json:"key"`
	Operations int         `json:"operations"`
	// Unknown counts operations of unknown outcome that could not be pruned.
	Unknown     int `json:"unknown"`
	Concurrency int `json:"concurrency"`
	// Placed is the length of the longest legal order that was found, 0 when
	// that is not known.
	Placed int `json:"placed"`
	// Cause is "time", "memory" or "panic in the model".
	Cause string `json:"cause"`
}

// object is one key during a check.
type object struct {
	key history.Key
	// all are the operations that count, pruned what a search works on, and
	// failed those that would have changed something but certainly did not.
	all    []item
	pruned []item
	failed []item
	stats  pruned
	// observations are answers that restricted the state, written those of them
	// that returned something which an operation of the history wrote, changes
	// the operations that changed the state or may have.
	observations, written, changes int
	concurrency                    int
	finding                        finding
	placed                         int
}

// Check implements Checker.
func (l *linearizable) Check(ctx context.Context, h *history.History) Result {
	r := Result{Name: linearizableName}
	objects, err := l.objects(h)
	if err != nil {
		r.Verdict, r.Reason = Unknown, err.Error()
		return r
	}
	g := newGuard(l.o.Memory)
	defer g.close()
	searching, cancel := context.WithTimeout(ctx, l.o.Timeout)
	l.searchAll(searching, g, objects)
	cancel()
	l.measureUndecided(ctx, g, objects)
	l.judge(&r, objects, ctx.Err() != nil)
	if r.Verdict == Invalid {
		l.explained(ctx, g, objects, &r)
		if len(r.Counterexamples) > 0 {
			r.Reason += ". " + r.Counterexamples[0].Why
		}
	}
	return r
}

// explained adds the counterexamples. A defect in making them must not take the
// verdict away.
func (l *linearizable) explained(ctx context.Context, g *guard, objects []*object, r *Result) {
	defer func() {
		if p := recover(); p != nil {
			r.Reason += fmt.Sprintf(" (explaining it panicked: %v)", p)
		}
	}()
	r.Counterexamples = l.explainAll(ctx, g, objects)
}

// objects splits the history by key. The error names the first operation that
// does not fit the model.
func (l *linearizable) objects(h *history.History) ([]*object, error) {
	byKey := make(map[history.Key]*object)
	var objects []*object
	for i := range h.Ops {
		op := &h.Ops[i]
		p, err := l.spec.Parse(*op)
		if err == nil && op.Return < op.Call {
			err = fmt.Errorf("it returned at %s but was called at %s",
				seconds(op.Return), seconds(op.Call))
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d (process %d, f %q) does not fit model %s: %w",
				op.Index, op.Process, op.F, l.spec.Name, err)
		}
		f := &p.Facts
		failed := f.Ignored && len(f.Makes) > 0
		if !failed &&
			(f.Ignored || f.Refusal && !l.o.Refusals || f.Pure && op.Type == history.Info) {
			continue
		}
		key := l.spec.Key(*op)
		o := byKey[key]
		if o == nil {
			o = &object{key: key}
			byKey[key] = o
			objects = append(objects, o)
		}
		it := item{op: op, p: p, call: op.Call, ret: op.Return}
		if failed {
			o.failed = append(o.failed, it)
			continue
		}
		if op.Type == history.Info {
			it.ret = history.Never
		}
		o.all = append(o.all, it)
	}
	objects = slices.DeleteFunc(objects, func(o *object) bool { return len(o.all) == 0 })
	for _, o := range objects {
		o.prepare(l.o.KeepUnknown)
	}
	// Easy keys first: what makes a key hard is, in this order, operations that
	// never ended, concurrency and length.
	slices.SortStableFunc(objects, func(a, b *object) int {
		return cmp.Or(
			cmp.Compare(a.open(), b.open()),
			cmp.Compare(a.concurrency, b.concurrency),
			cmp.Compare(len(a.pruned), len(b.pruned)))
	})
	return objects, nil
}

// open counts the operations that have no end after pruning.
func (o *object) open() int { return o.stats.kept - o.stats.closed }

func (o *object) prepare(keepUnknown bool) {
	if keepUnknown {
		o.pruned = o.all
		for i := range o.all {
			if o.all[i].crashed() {
				o.stats.kept++
			}
		}
	} else {
		o.pruned, o.stats = prune(o.all)
	}
	o.concurrency = concurrency(o.pruned)
	makes := make(map[models.Token]bool)
	for i := range o.all {
		if f := &o.all[i].p.Facts; !f.Pure {
			o.changes++
			for _, t := range f.Makes {
				makes[t] = true
			}
		}
	}
	for i := range o.all {
		f := &o.all[i].p.Facts
		if !f.Observes {
			continue
		}
		o.observations++
		if slices.ContainsFunc(f.Sees, func(t models.Token) bool { return makes[t] }) {
			o.written++
		}
	}
}

// concurrency returns the greatest number of operations open at one time.
func concurrency(items []item) int {
	type edge struct {
		at    history.Time
		delta int
	}
	edges := make([]edge, 0, 2*len(items))
	for i := range items {
		edges = append(edges, edge{at: items[i].call, delta: 1}, edge{at: items[i].ret, delta: -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		// intervals are closed: a call comes before a return at the same time
		return cmp.Or(cmp.Compare(a.at, b.at), -cmp.Compare(a.delta, b.delta))
	})
	open, most := 0, 0
	for _, e := range edges {
		open += e.delta
		most = max(most, open)
	}
	return most
}

// searchAll decides objects until ctx ends. A key gets a short turn first and,
// when it needs more, longer ones after all the others had theirs: each key has a
// fair share of the time, and the easy ones are decided whatever the hard ones
// cost. Once a violation is found, the verdict stands and nobody gets a longer
// turn.
func (l *linearizable) searchAll(ctx context.Context, g *guard, objects []*object) {
	turn := min(time.Second, l.o.Timeout/8)
	for left := objects; len(left) > 0 && ctx.Err() == nil; turn *= 4 {
		l.round(ctx, g, left, turn)
		var again []*object
		for _, o := range left {
			switch {
			case o.finding.answer == illegal:
				return
			case o.finding.answer == undecided && o.finding.cause == causeTime:
				again = append(again, o)
			}
		}
		left = again
	}
}

func (l *linearizable) round(
	ctx context.Context, g *guard, left []*object, turn time.Duration,
) {
	next := make(chan *object)
	var wg sync.WaitGroup
	for range min(l.o.Workers, len(left)) {
		wg.Go(crash.Guard(func() {
			for o := range next {
				limited, cancel := context.WithTimeout(ctx, turn)
				o.finding = run(limited, g, l.spec.Porcupine, o.pruned, false)
				cancel()
			}
		}))
	}
	for _, o := range left {
		next <- o
	}
	close(next)
	wg.Wait()
}

// measureUndecided finds out how many operations of the hardest undecided keys a
// legal order could place, as far as a short search can tell.
func (l *linearizable) measureUndecided(
	ctx context.Context, g *guard, objects []*object,
) {
	const keys = 3
	measured := 0
	for _, o := range slices.Backward(objects) {
		if o.finding.answer != undecided || o.finding.cause == causePanic {
			continue
		}
		if measured++; measured > keys {
			return
		}
		limited, cancel := context.WithTimeout(ctx, min(300*time.Millisecond, l.o.Timeout/4))
		f := run(limited, g, l.spec.Porcupine, o.pruned, true)
		cancel()
		for _, order := range f.info.PartialLinearizations() {
			for _, ids := range order {
				o.placed = max(o.placed, len(ids))
			}
		}
	}
}

// judge fills in everything but the counterexamples. stopped is true when the
// caller did not want to wait any longer.
func (l *linearizable) judge(r *Result, objects []*object, stopped bool) {
	d := LinearizableDetails{Model: l.spec.Name, Keys: len(objects)}
	for _, o := range slices.Backward(objects) {
		switch o.finding.answer {
		case legal:
			d.Decided++
		case illegal:
			d.Decided++
			d.Invalid = append(d.Invalid, o.key)
		default:
			d.Undecided = append(d.Undecided, o.report())
			d.Stack = cmp.Or(d.Stack, o.finding.fault)
		}
	}
	slices.Sort(d.Invalid)
	r.Details = d
	r.Power = power(objects)
	switch {
	case len(d.Invalid) > 0:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("not linearizable as %s", l.spec.Name) + invalidKeys(&d)
	case len(d.Undecided) > 0:
		r.Verdict = Unknown
		r.Reason = l.undecidedReason(&d, stopped)
	default:
		r.Verdict, r.Reason = vacuous(objects, l.spec.Name)
	}
}

func invalidKeys(d *LinearizableDetails) string {
	if d.Keys == 1 {
		return onKey(d.Invalid[0])
	}
	return fmt.Sprintf(": %d of %d keys, %s", len(d.Invalid), d.Keys, names(d.Invalid))
}

func (o *object) report() UndecidedKey {
	u := UndecidedKey{
		Key: o.key, Operations: len(o.pruned), Unknown: o.stats.kept,
		Concurrency: o.concurrency, Placed: o.placed,
	}
	switch o.finding.cause {
	case causeMemory:
		u.Cause = "memory"
	case causePanic:
		u.Cause = "panic in the model"
	default:
		u.Cause = "time"
	}
	return u
}

func (l *linearizable) undecidedReason(d *LinearizableDetails, stopped bool) string {
	u := d.Undecided[0]
	limit := fmt.Sprintf("out of time (limit %v)", l.o.Timeout)
	switch {
	case u.Cause == "memory":
		limit = fmt.Sprintf("out of memory (limit %d MiB)", l.o.Memory>>20)
	case u.Cause == "panic in the model":
		limit = "the model panicked"
	case stopped:
		limit = "stopped from outside"
	}
	s := fmt.Sprintf("%s: %d of %s decided; %s has %d operations, %d of unknown outcome, "+
		"up to %d at a time", limit, d.Decided, count(d.Keys, "key", "keys"),
		keyName(u.Key), u.Operations, u.Unknown, u.Concurrency)
	if u.Placed > 0 {
		s += fmt.Sprintf("; the longest legal order found places %d of them", u.Placed)
	}
	return s
}

// vacuous returns unknown when the history could not have shown a violation.
func vacuous(objects []*object, model string) (Verdict, string) {
	changes, observations, operations := 0, 0, 0
	for _, o := range objects {
		operations += len(o.all)
		changes += o.changes
		observations += o.observations
	}
	switch {
	case operations == 0:
		return Unknown, "nothing to check: no operation succeeded or may have taken effect"
	case changes == 0:
		return Unknown, "nothing to check: no operation may have changed anything"
	case observations == 0:
		return Unknown, "nothing to check: no operation returned an observation"
	}
	return Valid, fmt.Sprintf("linearizable as %s: %s, %s", model,
		count(len(objects), "key", "keys"), count(operations, "operation", "operations"))
}

// power measures how much a verdict rests on.
func power(objects []*object) []Measure {
	var operations, constrained, observations, written, most int
	var stats pruned
	sizes := make([]int64, 0, len(objects))
	for _, o := range objects {
		operations += len(o.all)
		sizes = append(sizes, int64(len(o.all)))
		if o.observations > 0 {
			constrained++
		}
		observations += o.observations
		written += o.written
		most = max(most, o.concurrency)
		stats.kept += o.stats.kept
		stats.dropped += o.stats.dropped
		stats.closed += o.stats.closed
	}
	slices.Sort(sizes)
	return []Measure{
		measure("operations", operations), measure("keys", len(objects)),
		measure("keys with observations", constrained),
		measure("observations", observations),
		measure("observations of written values", written),
		measure("max concurrency", most),
		measure("unknown operations kept", stats.kept),
		measure("unknown operations closed", stats.closed),
		measure("unknown operations dropped", stats.dropped),
		measure("operations per key p50", int(quantile(sizes, 0.5))),
		measure("operations per key p95", int(quantile(sizes, 0.95))),
		measure("operations per key max", int(quantile(sizes, 1))),
	}
}
