package check

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// SetFullOptions refine SetFull.
type SetFullOptions struct {
	// Linearizable demands that an element is in every read that was called
	// after its add was acknowledged or it was first read. Without it, an
	// element may be missing for a while.
	Linearizable bool
	// Grace is how long after it was known, and after the last fault, an element may be
	// missing without being lost, if Linearizable is not demanded. With 0 the last read
	// that was called after it was known decides, whenever it comes.
	Grace time.Duration

	_ struct{} // keyed literals only
}

// SetFullDetails are the Details of SetFull. The lists hold at most 100 elements.
type SetFullDetails struct {
	Attempts     int `json:"attempts"`
	Acknowledged int `json:"acknowledged"`
	Reads        int `json:"reads"`
	// Stable elements were in the last read that could have them, Lost ones
	// were known and are not, NeverRead are in no read and none that missed
	// them was called after they were known.
	Stable    int `json:"stable"`
	Lost      int `json:"lost"`
	NeverRead int `json:"neverRead"`
	// Stale elements are stable, but were missing after they were known.
	Stale int `json:"stale"`
	// Uncovered elements are never read ones that were acknowledged, of
	// AcknowledgedElements: no read of their set was called after that, so that
	// nobody could have seen that they are lost.
	AcknowledgedElements int `json:"acknowledgedElements"`
	Uncovered            int `json:"uncovered"`
	// Duplicated elements were more than once in one read, Unexpected ones
	// were read although no add of theirs was even called by then, or all had
	// definitely failed.
	Duplicated int `json:"duplicated"`
	Unexpected int `json:"unexpected"`

	LostElements       []string `json:"lostElements,omitempty"`
	StaleElements      []string `json:"staleElements,omitempty"`
	DuplicatedElements []string `json:"duplicatedElements,omitempty"`
	UnexpectedElements []string `json:"unexpectedElements,omitempty"`
	// StableLatency says how long after they were known elements could be
	// missing, LostLatency how long after it lost ones were still read, in
	// nanoseconds, at these shares of the elements.
	StableLatency Quantiles `json:"stableLatency"`
	LostLatency   Quantiles `json:"lostLatency"`
}

// Quantiles are the values that a share of the elements does not exceed.
type Quantiles struct {
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

func quantiles(list []int64) Quantiles {
	slices.Sort(list)
	return Quantiles{
		P50: quantile(list, 0.5), P95: quantile(list, 0.95),
		P99: quantile(list, 0.99), Max: quantile(list, 1),
	}
}

// SetFull follows every element of a grow-only set (add x, read -> list) from its
// add through all reads, as Jepsen's set-full does. An element is known from when
// its add was acknowledged or a read that has it returned. It is lost if the last
// read that was called after that misses it. Lost, duplicated and unexpected
// elements are violations, stale ones only if linearizability is demanded. When no
// element is stable nothing was shown, and the verdict is unknown.
//
// No read can show the loss of an element that was acknowledged after the last read
// was called. A few such elements are no harm, because clients are in the middle of
// something when a history ends. When they are more than a tenth of all that were
// acknowledged, the verdict is at most unknown: final reads are missing.
//
// The time is linear in the total length of what was read.
func SetFull(o SetFullOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return setFull(ctx, h, o)
	})
}

const setFullName = "set-full"

// uncoveredMost is the share of acknowledged elements that may be uncovered.
const uncoveredMost = 0.1

func setFull(ctx context.Context, h *history.History, o SetFullOptions) Result {
	s := &setCheck{o: o}
	if o.Grace > 0 && !o.Linearizable {
		s.grace, s.quiet = history.Time(o.Grace), quietFrom(h)
	}
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, setFullName); stop {
			return r
		}
		if err := s.key(key, ops); err != nil {
			return Result{Name: setFullName, Verdict: Unknown, Reason: err.Error()}
		}
	}
	return s.result()
}

// setCheck adds up the keys.
type setCheck struct {
	o SetFullOptions
	// grace is how long what is known may be missing, counted at the earliest from quiet.
	grace, quiet history.Time

	d      SetFullDetails
	stable []int64 // latencies
	lost   []int64
	cxs    []Counterexample
}

// element is the timeline of one element. Reads are numbered by their calls.
type element struct {
	value models.Scalar
	// add is the first attempt that did not fail, refused one that did.
	add, refused *history.Operation
	// known is the earliest time at which somebody knew of it.
	known history.Time
	// acknowledged is true when an add of it was.
	acknowledged bool
	// present is the last read that has it, -1 without one, and tail the
	// first of the unbroken run of reads with it that ends with the last read.
	present, tail int
	last          int // the read that was looked at last, to find duplicates
	firstSeen     int // the read that has it and returned first
	duplicate     int // a read that has it twice, or -1
}

// elements finds timelines by value, integers without the detour of a Scalar.
type elements struct {
	list   []element
	ints   map[int64]int32
	others map[models.Scalar]int32
}

func (es *elements) find(v history.Value, reads int) (*element, error) {
	n, isInt := v.AsInt()
	if isInt {
		if i, ok := es.ints[n]; ok {
			return &es.list[i], nil
		}
	}
	s, err := models.NewScalar(v)
	if err != nil {
		return nil, err
	}
	i := int32(len(es.list))
	if isInt {
		es.ints[n] = i
	} else if at, ok := es.others[s]; ok {
		return &es.list[at], nil
	} else {
		es.others[s] = i
	}
	es.list = append(es.list, element{
		value: s, known: history.Never,
		present: -1, tail: reads, last: -1, firstSeen: -1, duplicate: -1,
	})
	return &es.list[i], nil
}

// key follows the elements of one set.
func (s *setCheck) key(key history.Key, ops []*history.Operation) error {
	var reads []*history.Operation
	for _, op := range ops {
		if op.F == "read" && op.Type == history.OK {
			reads = append(reads, op)
		}
	}
	sort.SliceStable(reads, func(i, j int) bool { return reads[i].Call < reads[j].Call })
	es := &elements{ints: make(map[int64]int32), others: make(map[models.Scalar]int32)}
	for _, op := range ops {
		if err := s.attempt(es, op, len(reads)); err != nil {
			return err
		}
	}
	// From the last read to the first: the first time an element is met is its
	// last presence, and its tail grows while no read is left out.
	for i, read := range slices.Backward(reads) {
		if err := es.scan(i, reads); err != nil {
			return misfit(read, "a set", err)
		}
	}
	s.d.Reads += len(reads)
	for i := range es.list {
		s.judge(key, &es.list[i], reads)
	}
	return nil
}

// misfit says which operation a checker cannot read.
func misfit(op *history.Operation, what string, err error) error {
	return fmt.Errorf("operation %d (process %d, f %q) does not fit %s: %w",
		op.Index, op.Process, op.F, what, err)
}

func (s *setCheck) attempt(es *elements, op *history.Operation, reads int) error {
	switch op.F {
	case "read":
		return nil
	case "add":
	default:
		return misfit(op, "a set", fmt.Errorf("it has only add and read"))
	}
	e, err := es.find(op.In, reads)
	if err != nil {
		return misfit(op, "a set", err)
	}
	if op.Type == history.Fail {
		e.refused = op
		return nil
	}
	s.d.Attempts++
	if e.add == nil || op.Call < e.add.Call {
		e.add = op
	}
	if op.Type == history.OK {
		s.d.Acknowledged++
		e.known = min(e.known, op.Return)
		e.acknowledged = true
	}
	return nil
}

// scan notes what read i has.
func (es *elements) scan(i int, reads []*history.Operation) error {
	read := reads[i]
	if k := read.Out.Kind(); k != history.KindList && k != history.KindNil {
		return fmt.Errorf("result: want a list, got %s", read.Out)
	}
	for at := range read.Out.Len() {
		e, err := es.find(read.Out.At(at), len(reads))
		if err != nil {
			return fmt.Errorf("result: element %d: %w", at, err)
		}
		if e.last == i {
			e.duplicate = i
			continue
		}
		e.last = i
		if e.present < 0 {
			e.present = i
		}
		if e.tail == i+1 {
			e.tail = i
		}
		if e.firstSeen < 0 || read.Return < reads[e.firstSeen].Return {
			e.firstSeen = i
		}
		e.known = min(e.known, read.Return)
	}
	return nil
}

// judge decides about one element.
func (s *setCheck) judge(key history.Key, e *element, reads []*history.Operation) {
	d := &s.d
	if e.duplicate >= 0 {
		d.Duplicated++
		d.DuplicatedElements = sample(d.DuplicatedElements, e.value)
		s.show(key, "one element twice",
			fmt.Sprintf("Process %d read %s more than once in one list, at %s.",
				reads[e.duplicate].Process, e.value, seconds(reads[e.duplicate].Return)),
			e.add, reads[e.duplicate])
	}
	if e.firstSeen >= 0 && (e.add == nil || e.add.Call > reads[e.firstSeen].Return) {
		d.Unexpected++
		d.UnexpectedElements = sample(d.UnexpectedElements, e.value)
		s.show(key, "nobody added it by then",
			unexpected(e, reads[e.firstSeen]), e.add, e.refused, reads[e.firstSeen])
		return
	}
	if e.add == nil {
		return // a failed add that nobody read
	}
	if e.acknowledged {
		d.AcknowledgedElements++
	}
	absent := e.tail - 1 // the last read without it
	missed := e.known != history.Never && absent >= 0 && reads[absent].Call > e.known
	switch {
	case missed && absent > e.present && s.late(e.known, reads[absent]):
		d.Lost++
		d.LostElements = sample(d.LostElements, e.value)
		s.lost = append(s.lost, e.lostLatency(reads))
		gone := e.gone(reads)
		lost := e.acknowledged && reads[len(reads)-1].Call >= e.known+soon
		cx := s.show(key, misses(e.value), e.whyLost(reads, gone, lost), e.add, e.presentRead(reads),
			reads[gone])
		cx.Lost = lost
	case e.present < 0 || absent > e.present:
		// All reads were called before it had to be there, if it ever had to.
		d.NeverRead++
		if e.acknowledged {
			d.Uncovered++
		}
	default:
		d.Stable++
		if !missed {
			s.stable = append(s.stable, 0)
			return
		}
		d.Stale++
		d.StaleElements = sample(d.StaleElements, e.value)
		s.stable = append(s.stable, int64(reads[absent].Call-e.known))
		if s.o.Linearizable {
			again := reads[e.tail]
			s.show(key, misses(e.value),
				fmt.Sprintf("Process %d called a read at %s that misses %s, although %s. It was stale: "+
					"process %d read %s at %s.", reads[absent].Process, seconds(reads[absent].Call), e.value,
					e.whyKnown(reads), again.Process, e.value, seconds(again.Return)),
				e.add, e.seenBy(reads), reads[absent])
		}
	}
}

// late reports whether a read comes so late that it had to have what was known.
func (s *setCheck) late(known history.Time, read *history.Operation) bool {
	return s.quiet != history.Never && read.Call > max(known, s.quiet)+s.grace
}

// unexpected says why an element cannot be in a read.
func unexpected(e *element, read *history.Operation) string {
	got := fmt.Sprintf("Process %d read %s at %s, ", read.Process, e.value, seconds(read.Return))
	switch {
	case e.add != nil:
		return got + fmt.Sprintf("before its add was called at %s.", seconds(e.add.Call))
	case e.refused != nil:
		return got + fmt.Sprintf("although its add by process %d definitely failed at %s.",
			e.refused.Process, seconds(e.refused.Return))
	}
	return got + "which nobody ever tried to add."
}

// whyKnown says since when the element had to be there.
func (e *element) whyKnown(reads []*history.Operation) string {
	if e.add.Type == history.OK && e.add.Return == e.known {
		return fmt.Sprintf("process %d's add of it was acknowledged at %s",
			e.add.Process, seconds(e.known))
	}
	if e.firstSeen >= 0 && reads[e.firstSeen].Return == e.known {
		return fmt.Sprintf("process %d had read it by %s",
			reads[e.firstSeen].Process, seconds(e.known))
	}
	return "an add of it was acknowledged at " + seconds(e.known)
}

func (e *element) presentRead(reads []*history.Operation) *history.Operation {
	if e.present < 0 {
		return nil
	}
	return reads[e.present]
}

// seenBy is the read by which it was known, nil if that was an acknowledgement.
func (e *element) seenBy(reads []*history.Operation) *history.Operation {
	if e.firstSeen >= 0 && reads[e.firstSeen].Return == e.known &&
		(e.add.Type != history.OK || e.add.Return != e.known) {
		return reads[e.firstSeen]
	}
	return nil
}

// soon is for how long a read may have been stale only.
const soon = history.Time(1e9)

// whyLost says which reads miss it, and who had it: where there is only one such read, or none
// comes long after it, nobody knows whether it is lost or these are stale.
func (e *element) whyLost(reads []*history.Operation, gone int, lost bool) string {
	read := reads[gone]
	why := fmt.Sprintf("The read of process %d at %s misses %s, although %s.", read.Process,
		seconds(read.Return), e.value, e.whyKnown(reads))
	if e.present >= 0 && reads[e.present].Return > e.known {
		why += fmt.Sprintf(" Process %d still read it at %s.", reads[e.present].Process,
			seconds(reads[e.present].Return))
	}
	state := " It is late or lost: "
	if lost {
		state = " It is lost: "
	}
	switch later := len(reads) - 1 - gone; later {
	case 0:
		return why + " It is late or lost: no later read shows which."
	case 1:
		return why + state + "the only later read misses it, too."
	default:
		return why + state + fmt.Sprintf("all %d later reads miss it, too.", later)
	}
}

// gone is the first read that misses what was known, after the last that has it: nearer to
// what went wrong than the last read of all.
func (e *element) gone(reads []*history.Operation) int {
	later := e.known
	if e.present >= 0 {
		later = max(later, reads[e.present].Return)
	}
	for i, read := range reads {
		if i > e.present && read.Call > later {
			return i
		}
	}
	return len(reads) - 1
}

// lostLatency is the time from when it was known until it was last read.
func (e *element) lostLatency(reads []*history.Operation) int64 {
	if e.present < 0 {
		return 0
	}
	return max(0, int64(reads[e.present].Call-e.known))
}

// misses is the mark of a read without an element.
func misses(v models.Scalar) string { return "misses " + v.String() }

// show keeps the first few counterexamples, and returns the one that it made.
func (s *setCheck) show(
	key history.Key, mark, why string, ops ...*history.Operation,
) *Counterexample {
	const most = 5
	if len(s.cxs) >= most {
		return &Counterexample{}
	}
	s.cxs = append(s.cxs, counterexample(key, mark, why, ops...))
	return &s.cxs[len(s.cxs)-1]
}

// counterexample shows operations, of which the last one is the culprit, and mark says what
// is wrong with it; nil ones are left out.
func counterexample(
	key history.Key, mark, why string, ops ...*history.Operation,
) Counterexample {
	cx := Counterexample{Key: key, Mark: mark, Why: why, Minimal: true}
	for i, op := range ops {
		if op != nil {
			o := showOp(op)
			o.Culprit = i == len(ops)-1
			cx.Ops = append(cx.Ops, o)
		}
	}
	slices.SortStableFunc(cx.Ops, func(a, b Op) int { return int(a.Index - b.Index) })
	return cx
}

// sample keeps the first elements of a possibly long list.
func sample(list []string, v models.Scalar) []string {
	const most = 100
	if len(list) >= most {
		return list
	}
	return append(list, v.String())
}

func (s *setCheck) result() Result {
	d := &s.d
	d.StableLatency, d.LostLatency = quantiles(s.stable), quantiles(s.lost)
	r := Result{Name: setFullName, Details: *d, Counterexamples: s.cxs, Power: []Measure{
		measure("adds", d.Attempts), measure("acknowledged", d.Acknowledged),
		measure("reads", d.Reads), measure("stable elements", d.Stable),
		measure("never read elements", d.NeverRead),
		measure("acknowledged elements without a later read", d.Uncovered),
		measure("stale elements", d.Stale),
		millis("stable latency max", d.StableLatency.Max),
	}}
	var wrong []string
	for _, w := range []struct {
		n    int
		what string
	}{
		{d.Lost, "not seen again by the end"}, {d.Unexpected, "unexpected"}, {d.Duplicated, "duplicated"},
	} {
		if w.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if s.o.Linearizable && d.Stale > 0 {
		wrong = append(wrong, fmt.Sprintf("%d stale", d.Stale))
	}
	switch {
	case len(wrong) > 0:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("of %s, %s", count(d.Attempts, "added element",
			"added elements"), andList(wrong))
	case d.Stable == 0:
		r.Verdict, r.Untested = Unknown, true
		r.Reason = "nothing was shown: no element was read after it was added"
	case float64(d.Uncovered) > uncoveredMost*float64(d.AcknowledgedElements):
		r.Verdict = Unknown
		r.Reason = fmt.Sprintf("too little was read: of %s, %d may be lost, because no read "+
			"was called after them (at most %.0f%% may be like that; read every set at the end)",
			count(d.AcknowledgedElements, "acknowledged element", "acknowledged elements"),
			d.Uncovered, 100*uncoveredMost)
	default:
		r.Reason = fmt.Sprintf("no element was lost: %d stable (%d of them late), %d never read",
			d.Stable, d.Stale, d.NeverRead)
	}
	return r
}
