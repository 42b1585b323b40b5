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
	// Engine is one of Engines: what decides. Default: auto, which for each key
	// takes an exact engine if one applies, and two searches otherwise. Porcupine is
	// there as the reference.
	Engine string
	// KeepUnknown switches off the pruning of operations of unknown outcome before
	// Porcupine sees them.
	KeepUnknown bool
	// Certify is for how many operations altogether, small keys first, a legal order
	// is replayed against the model by other code than that which found it. Default:
	// 50,000; negative: none.
	Certify int
	// Explain bounds the time for reducing the counterexamples, all together.
	// Default: 10 seconds.
	Explain time.Duration
	// Counterexamples is how many keys are explained. Default: 3; negative: none.
	Counterexamples int
	// PageSize is the largest size of an interactive page in bytes. Default:
	// 1 MB.
	PageSize int

	_ struct{} // keyed literals only
}

func (o Options) withDefaults() Options {
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.Memory = cmp.Or(o.Memory, 1<<30)
	o.Engine = cmp.Or(o.Engine, engineAuto)
	o.Certify = cmp.Or(o.Certify, 50_000)
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
// Keys are independent objects and are decided one by one, easy ones first: by an
// engine made for the model if the history says enough for it (package linear), and
// otherwise by two searches at the same time (package search), all of them exact.
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
	// desks are those of its planners.
	desks sync.Pool
}

// LinearizableDetails are the Details of a linearizability check.
type LinearizableDetails struct {
	Model string `json:"model"`
	// Keys is the number of objects, Decided how many of them have a verdict.
	Keys    int `json:"keys"`
	Decided int `json:"decided"`
	// Algorithms say who decided.
	Algorithms []Algorithm `json:"algorithms,omitempty"`
	// Invalid are the keys that are not linearizable, by name.
	Invalid []history.Key `json:"invalid,omitempty"`
	// Undecided are the keys without a verdict, the largest first.
	Undecided []UndecidedKey `json:"undecided,omitempty"`
	// Stack is the stack of a model that panicked.
	Stack string `json:"stack,omitempty"`
}

// Algorithm is what one engine did in a check.
type Algorithm struct {
	Name string `json:"name"`
	// Needs is what a history has to be like for the engine; it was tested. Empty
	// if any history will do.
	Needs string `json:"needs,omitempty"`
	// Keys and Operations are those that it decided, Certified the keys of which
	// another program replayed the order that was found.
	Keys       int `json:"keys"`
	Operations int `json:"operations"`
	Certified  int `json:"certified,omitempty"`
	// Passed counts the keys for which the engine could not be used, and Why is the
	// reason for the first of them.
	Passed int    `json:"passed,omitempty"`
	Why    string `json:"why,omitempty"`
}

// UndecidedKey says how far the search came with a key.
type UndecidedKey struct {
	Key        history.Key `json:"key"`
	Operations int         `json:"operations"`
	// Unknown counts operations of unknown outcome.
	Unknown     int `json:"unknown"`
	Concurrency int `json:"concurrency"`
	// Explored counts the operations, in the order of their returns, up to which
	// there certainly is a legal order.
	Explored int `json:"explored"`
	// Cause is "time", "memory", "engine" or "panic in the model".
	Cause string `json:"cause"`
}

// object is one key during a check.
type object struct {
	key history.Key
	// all are the operations that count, size how many there are. An object that was
	// decided without a look at items has none yet; see itemize.
	all  []item
	size int
	// failed are those of which it is certain that they changed nothing, and which
	// tell nothing.
	failed []*history.Operation
	// unknown counts operations of unknown outcome.
	unknown int
	// observations are answers that restricted the state, written those of them
	// that returned something which an operation of the history wrote, changes
	// the operations that changed the state or may have.
	observations, written, changes int
	concurrency                    int
	finding                        finding
	certified                      bool
}

// Check implements Checker.
func (l *linearizable) Check(ctx context.Context, h *history.History) Result {
	r := Result{Name: linearizableName}
	objects, err := l.begin(h)
	if err != nil {
		r.Verdict, r.Reason = Unknown, err.Error()
		return r
	}
	g := newGuard(l.o.Memory)
	defer g.close()
	p := l.planner(g)
	deciding, cancel := context.WithTimeout(ctx, l.o.Timeout)
	l.decideAll(deciding, p, objects)
	cancel()
	wrong := l.certify(ctx, p, h, objects)
	l.judge(&r, objects, ctx.Err() != nil)
	if wrong != nil && r.Verdict == Valid {
		r.Verdict = Unknown
		r.Reason = fmt.Sprintf("a defect of the checker itself: %v", wrong)
	}
	if r.Verdict == Invalid {
		l.explained(ctx, l.planner(g), h, objects, &r)
		if len(r.Counterexamples) > 0 {
			r.Reason += ". " + r.Counterexamples[0].Why
		}
	}
	return r
}

// begin splits the history by key. What is simple is decided at once, everything else
// gets its items.
func (l *linearizable) begin(h *history.History) ([]*object, error) {
	if err := ValidateEngine(l.o.Engine); err != nil {
		return nil, err
	}
	objects := l.direct(h)
	if objects == nil {
		return l.objects(h)
	}
	var left []*object
	for _, o := range objects {
		if o.finding.answer == undecided {
			left = append(left, o)
		}
	}
	if err := l.complete(h, left...); err != nil {
		return nil, err
	}
	for _, o := range left {
		o.prepare()
	}
	return byEase(objects), nil
}

// explained adds the counterexamples. A defect in making them must not take the
// verdict away.
func (l *linearizable) explained(
	ctx context.Context, p *planner, h *history.History, objects []*object, r *Result,
) {
	defer func() {
		if v := recover(); v != nil {
			r.Reason += fmt.Sprintf(" (explaining it panicked: %v)", v)
		}
	}()
	r.Counterexamples = l.explainAll(ctx, p, h, objects)
}

// objects splits the history by key. The error names the first operation that
// does not fit the model.
func (l *linearizable) objects(h *history.History) ([]*object, error) {
	var objects []*object
	byKey := make(map[history.Key]*object)
	sizes := make(map[history.Key]int) // at most
	for i := range h.Ops {
		sizes[l.spec.Key(h.Ops[i])]++
	}
	for i := range h.Ops {
		o, err := l.itemize(&h.Ops[i], byKey)
		if err != nil {
			return nil, err
		}
		if o != nil {
			o.all = slices.Grow(o.all, sizes[o.key]-len(o.all))
			objects = append(objects, o)
		}
	}
	for _, o := range objects {
		o.prepare()
	}
	return byEase(objects), nil
}

// byEase sorts the objects that have operations, easy ones first: what makes a key hard
// is, in this order, operations that never ended, concurrency and length.
func byEase(objects []*object) []*object {
	objects = slices.DeleteFunc(objects, func(o *object) bool { return o.size == 0 })
	slices.SortStableFunc(objects, func(a, b *object) int {
		return cmp.Or(
			cmp.Compare(a.unknown, b.unknown),
			cmp.Compare(a.concurrency, b.concurrency),
			cmp.Compare(a.size, b.size))
	})
	return objects
}

// itemize adds an operation to the object that it is of, and returns that if it is a
// new one.
func (l *linearizable) itemize(
	op *history.Operation, byKey map[history.Key]*object,
) (fresh *object, err error) {
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
	failed := op.Type == history.Fail && (f.Ignored || f.Refusal && !l.o.Refusals)
	if !failed && (f.Ignored || f.Pure && op.Type == history.Info) {
		return nil, nil
	}
	key := l.spec.Key(*op)
	o := byKey[key]
	if o == nil {
		o = &object{key: key}
		byKey[key], fresh = o, o
	}
	if failed {
		o.failed = append(o.failed, op)
		return fresh, nil
	}
	it := item{op: op, p: p, call: op.Call, ret: op.Return}
	if op.Type == history.Info {
		it.ret = history.Never
	}
	o.all = append(o.all, it)
	return fresh, nil
}

// complete gives an object of a history its items, if it has none yet.
func (l *linearizable) complete(h *history.History, objects ...*object) error {
	byKey := make(map[history.Key]*object)
	for _, o := range objects {
		if o.all == nil {
			byKey[o.key] = o
			o.all = make([]item, 0, o.size)
		}
	}
	for i := range h.Ops {
		if len(byKey) == 0 {
			return nil
		}
		if byKey[h.Ops[i].Key] == nil {
			continue
		}
		if _, err := l.itemize(&h.Ops[i], byKey); err != nil {
			return err
		}
	}
	return nil
}

func (o *object) prepare() {
	o.size = len(o.all)
	o.unknown, o.changes, o.observations, o.written = 0, 0, 0, 0
	o.concurrency = concurrency(o.all)
	makes := make(map[models.Token]bool)
	for i := range o.all {
		if o.all[i].crashed() {
			o.unknown++
		}
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
	calls := make([]history.Time, len(items))
	returns := make([]history.Time, len(items))
	for i := range items {
		calls[i], returns[i] = items[i].call, items[i].ret
	}
	slices.Sort(calls)
	slices.Sort(returns)
	ended, most := 0, 0
	for i, at := range calls {
		for returns[ended] < at { // one at the same time is open still
			ended++
		}
		most = max(most, i+1-ended)
	}
	return most
}

func (l *linearizable) planner(g *guard) *planner {
	return &planner{
		spec: l.spec, engine: l.o.Engine, raw: l.o.KeepUnknown, guard: g, memory: l.o.Memory,
		desks: &l.desks,
	}
}

// decideAll decides objects until ctx ends. A key gets a short turn first and,
// when it needs more, longer ones after all the others had theirs: each key has a
// fair share of the time, and the easy ones are decided whatever the hard ones
// cost. Once a violation is found, the verdict stands and nobody gets a longer
// turn.
func (l *linearizable) decideAll(ctx context.Context, p *planner, objects []*object) {
	turn := min(time.Second, l.o.Timeout/8)
	left := slices.DeleteFunc(slices.Clone(objects), func(o *object) bool {
		return o.finding.answer != undecided
	})
	for ; len(left) > 0 && ctx.Err() == nil; turn *= 4 {
		if len(left) <= l.o.Workers {
			turn = l.o.Timeout // nobody waits
		}
		l.round(ctx, p, left, turn)
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
	ctx context.Context, p *planner, left []*object, turn time.Duration,
) {
	next := make(chan *object)
	var wg sync.WaitGroup
	for range min(l.o.Workers, len(left)) {
		wg.Go(crash.Guard(func() {
			for o := range next {
				limited, cancel := context.WithTimeout(ctx, turn)
				o.finding = p.decide(limited, o.all, o.size <= l.o.Certify)
				cancel()
				if o.finding.answer == illegal {
					p.settled.Store(true)
				}
			}
		}))
	}
	for _, o := range left {
		next <- o
	}
	close(next)
	wg.Wait()
}

// certify replays the orders of the smallest legal keys. The error is that of a key
// whose order is none.
func (l *linearizable) certify(
	ctx context.Context, p *planner, h *history.History, objects []*object,
) error {
	if l.o.Engine == enginePorcupine {
		return nil // it tells no order
	}
	bySize := slices.Clone(objects)
	slices.SortStableFunc(bySize, func(a, b *object) int {
		return cmp.Compare(a.size, b.size)
	})
	var chosen []*object
	left := l.o.Certify
	for _, o := range bySize {
		if o.finding.answer != legal {
			continue
		}
		if left -= o.size; left < 0 {
			break
		}
		chosen = append(chosen, o)
	}
	if err := l.complete(h, chosen...); err != nil {
		return err
	}
	for _, o := range chosen {
		if ctx.Err() != nil {
			break
		}
		var err error
		if o.certified, err = p.certified(ctx, o.finding, o.all); err != nil {
			return fmt.Errorf("%s: %w", keyName(o.key), err)
		}
		o.finding.order = nil
	}
	return nil
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
	d.Algorithms = l.algorithms(objects)
	r.Details = d
	r.Power = power(objects, d.Algorithms)
	switch {
	case len(d.Invalid) > 0:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("not linearizable as %s", l.spec.Name) + invalidKeys(&d)
	case len(d.Undecided) > 0:
		r.Verdict = Unknown
		r.Reason = l.undecidedReason(&d, stopped)
	default:
		r.Verdict, r.Reason = vacuous(objects, l.spec.Name)
		r.Untested = r.Verdict == Unknown
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
		Key: o.key, Operations: o.size, Unknown: o.unknown,
		Concurrency: o.concurrency, Explored: o.finding.explored,
	}
	switch o.finding.cause {
	case causeMemory:
		u.Cause = "memory"
	case causePanic:
		u.Cause = "panic in the model"
	case causeEngine:
		u.Cause = "engine"
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
		limit = "the model panicked or broke its word"
	case u.Cause == "engine":
		limit = fmt.Sprintf("engine %s cannot decide it", l.o.Engine)
	case stopped:
		limit = "stopped from outside"
	}
	s := fmt.Sprintf("%s: %d of %s decided; %s has %d operations, %d of unknown outcome, "+
		"up to %d at a time", limit, d.Decided, count(d.Keys, "key", "keys"),
		keyName(u.Key), u.Operations, u.Unknown, u.Concurrency)
	if u.Explored > 0 {
		s += fmt.Sprintf("; up to the return of %d of them there is a legal order", u.Explored)
	}
	return s
}

// vacuous returns unknown when the history could not have shown a violation.
func vacuous(objects []*object, model string) (Verdict, string) {
	changes, observations, operations := 0, 0, 0
	for _, o := range objects {
		operations += o.size
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
