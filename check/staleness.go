package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// StalenessOptions say how stale a read may be. Zero means that nothing is claimed.
type StalenessOptions struct {
	// Versions is how many writes may come between a read and the write that it saw.
	Versions int
	// Time is for how long the value that a read returned may have been replaced.
	Time time.Duration

	_ struct{} // keyed literals only
}

// StalenessDetails are the Details of Staleness.
type StalenessDetails struct {
	Keys   int `json:"keys"`
	Writes int `json:"writes"`
	Reads  int `json:"reads"`
	// Exposed reads could have been stale: something had been written for certain.
	Exposed int `json:"exposed"`
	// Stale reads were stale for certain.
	Stale int `json:"stale"`
	// Versions and Time, in nanoseconds, are by how much each read was stale at least.
	Versions Quantiles `json:"versions"`
	Time     Quantiles `json:"time"`
	// ByVersions and ByMillis count the reads by how stale they were.
	ByVersions []StaleBucket `json:"byVersions"`
	ByMillis   []StaleBucket `json:"byMillis"`
	// TogetherLow and TogetherHigh bound by how many versions reads are stale in the
	// best order of a key, for the worst key, and Together is for how long, exactly.
	TogetherLow  int   `json:"togetherLow"`
	TogetherHigh int   `json:"togetherHigh"`
	Together     int64 `json:"together"`
	// Worst are the stalest reads, by versions and then by time, the first 20.
	Worst []StaleRead `json:"worst,omitempty"`
	// Undecided are keys of which a claim was neither proved nor refuted, Violated
	// those that break it.
	Undecided []history.Key `json:"undecided,omitempty"`
	Violated  []history.Key `json:"violated,omitempty"`
}

// StaleBucket counts the reads that were stale by at most UpTo, and by more than the
// bucket before has.
type StaleBucket struct {
	UpTo  int64 `json:"upTo"`
	Reads int   `json:"reads"`
}

// StaleRead is how stale a read was at least.
type StaleRead struct {
	Key      history.Key `json:"key,omitempty"`
	Index    int64       `json:"index"`
	Versions int         `json:"versions"`
	Time     int64       `json:"time"`
}

// Staleness measures by how much reads of registers were stale (write v, read -> v, nil
// at first, every value written once): by how many versions, and for how long. For each
// read that is the least that any order has to admit in which nothing stands behind what
// was called after it had returned, and no read before its write. See linear.Staleness,
// which has the proofs.
//
// What is claimed has to hold in one order for all reads of a key, for versions and time
// each by itself. Of time that is decided exactly. Of versions it is refuted by a read
// that by itself needs more, and proved by an order that keeps it; where an order was not
// found although no read needs more, the verdict is unknown. If nothing is claimed, the
// verdict is valid unless a read returned what nobody had written by then.
func Staleness(o StalenessOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		c := staleCheck{o: o, counted: h.End() < 100_000}
		return c.check(ctx, h)
	})
}

const stalenessName = "staleness"

// staleCheck is one check.
type staleCheck struct {
	o StalenessOptions
	// counted: the history has no times, its events are numbered. See seconds.
	counted bool
	d       StalenessDetails
	cxs     []Counterexample
	unsure  string // why something was not decided
	// versions and times are of all reads.
	versions, times []int64
}

// staleKey is one key, as numbers.
type staleKey struct {
	key history.Key
	// ops and from run in parallel.
	ops    []linear.RegisterOp
	from   []*history.Operation
	number map[models.Scalar]linear.Value
	failed map[linear.Value]*history.Operation
}

func (c *staleCheck) check(ctx context.Context, h *history.History) Result {
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, stalenessName); stop {
			return r
		}
		k := staleKey{key: key, number: map[models.Scalar]linear.Value{{}: linear.Nil},
			failed: make(map[linear.Value]*history.Operation)}
		for _, op := range ops {
			if err := k.add(op); err != nil {
				return Result{Name: stalenessName, Verdict: Unknown, Reason: err.Error()}
			}
		}
		c.key(&k)
	}
	d := &c.d
	d.ByVersions = buckets(c.versions, 1)
	d.ByMillis = buckets(c.times, int64(time.Millisecond))
	d.Versions, d.Time = quantiles(c.versions), quantiles(c.times)
	slices.SortStableFunc(d.Worst, worse)
	r := Result{Name: stalenessName, Counterexamples: c.cxs}
	r.Verdict, r.Reason = c.verdict()
	r.Details = *d
	r.Power = []Measure{measure("keys", d.Keys), measure("writes", d.Writes),
		measure("reads", d.Reads), measure("reads that could be stale", d.Exposed),
		measure("stale reads", d.Stale), measure("stale versions max", int(d.Versions.Max)),
		millis("stale time max", d.Time.Max), millis("stale time p99", d.Time.P99)}
	return r
}

func worse(a, b StaleRead) int {
	return cmp.Or(cmp.Compare(b.Versions, a.Versions), cmp.Compare(b.Time, a.Time))
}

// add puts an operation among those that count.
func (k *staleKey) add(op *history.Operation) (err error) {
	const what = "a register without compare-and-set"
	v := op.In
	switch op.F {
	case "read":
		if op.Type != history.OK {
			return nil
		}
		v = op.Out
	case "write":
	default:
		return misfit(op, what, fmt.Errorf("it has only read and write"))
	}
	s, err := models.NewScalar(v)
	if err != nil {
		return misfit(op, what, err)
	}
	n, known := k.number[s]
	if !known {
		n = linear.Value(len(k.number))
		k.number[s] = n
	}
	if op.Type == history.Fail {
		k.failed[n] = op
		return nil
	}
	o := linear.RegisterOp{Span: linear.Span{Call: op.Call, Return: op.Return}, Value: n,
		Write: op.F == "write"}
	if op.Type == history.Info {
		o.Return = history.Never
	}
	k.ops, k.from = append(k.ops, o), append(k.from, op)
	return nil
}

// key measures and judges one key.
func (c *staleCheck) key(k *staleKey) {
	d := &c.d
	d.Keys++
	s, res := linear.NewStaleness(k.ops)
	switch res.Answer {
	case linear.NotApplicable:
		c.undecided(k.key, res.Why)
		return
	case linear.Violation:
		c.violated(k.key, k.unwritten(res.Conflict.Ops[0]))
		return
	}
	reads := s.Reads()
	d.Reads += len(reads)
	d.Writes += len(k.ops) - len(reads)
	d.Exposed += s.Exposed()
	for _, r := range reads {
		c.versions = append(c.versions, int64(r.Versions))
		c.times = append(c.times, int64(r.Time))
		if r.Versions > 0 {
			d.Stale++
			c.worst(StaleRead{k.key, k.from[r.Op].Index, r.Versions, int64(r.Time)})
		}
	}
	low, high := s.Bounds()
	d.TogetherLow, d.TogetherHigh = max(d.TogetherLow, low), max(d.TogetherHigh, high)
	d.Together = max(d.Together, int64(s.Together()))
	c.claims(k, s, low, high)
}

// worst remembers a read if it is one of the stalest.
func (c *staleCheck) worst(r StaleRead) {
	const most = 20
	list := &c.d.Worst
	if len(*list) < most {
		*list = append(*list, r)
		return
	}
	least := 0
	for i := range *list {
		if worse((*list)[i], (*list)[least]) > 0 {
			least = i
		}
	}
	if worse(r, (*list)[least]) < 0 {
		(*list)[least] = r
	}
}

func (c *staleCheck) undecided(key history.Key, why string) {
	c.d.Undecided = append(c.d.Undecided, key)
	if c.unsure == "" {
		c.unsure = why
	}
}

func (c *staleCheck) violated(key history.Key, cx Counterexample) {
	c.d.Violated = append(c.d.Violated, key)
	if len(c.cxs) < 5 {
		c.cxs = append(c.cxs, cx)
	}
}

// claims judges a key by what is claimed.
func (c *staleCheck) claims(k *staleKey, s *linear.Staleness, low, high int) {
	versions, t := c.o.Versions, history.Time(c.o.Time)
	if versions > 0 && low > versions {
		c.violated(k.key, k.tooOld(s, versions))
		return
	}
	if t > 0 && !c.counted {
		if opposed := s.Opposed(t); opposed != nil {
			c.violated(k.key, k.tooLong(s, t, opposed))
			return
		}
	}
	switch {
	case t > 0 && c.counted:
		c.undecided(k.key, "the history has no times")
	case versions > 0 && high > versions && !s.Within(versions):
		c.undecided(k.key, fmt.Sprintf("no read by itself was stale by more than %s, but no order "+
			"was found that suits all", count(low, "version", "versions")))
	}
}

// buckets counts numbers, in units, by 0, 1, 2, 4, 8 and so on.
func buckets(list []int64, unit int64) []StaleBucket {
	b := []StaleBucket{{UpTo: 0}}
	for upTo, most := int64(1), slices.Max(append([]int64{0}, list...)); ; upTo *= 2 {
		if b[len(b)-1].UpTo*unit >= most {
			break
		}
		b = append(b, StaleBucket{UpTo: upTo})
	}
	for _, n := range list {
		at, _ := slices.BinarySearchFunc(b, n, func(b StaleBucket, n int64) int {
			return cmp.Compare(b.UpTo*unit, n)
		})
		b[at].Reads++
	}
	return b
}

func (c *staleCheck) verdict() (Verdict, string) {
	d := &c.d
	found := d.found(c.counted)
	switch {
	case len(c.cxs) > 0:
		return Invalid, fmt.Sprintf("%d of %s violated: %s; %s. %s", len(d.Violated),
			count(d.Keys, "key", "keys"), names(d.Violated), found, c.cxs[0].Why)
	case len(d.Undecided) > 0:
		return Unknown, fmt.Sprintf("%d of %s undecided: %s: %s; %s", len(d.Undecided),
			count(d.Keys, "key", "keys"), names(d.Undecided), c.unsure, found)
	case d.Exposed == 0:
		return Unknown, "nothing was shown: no read was called when something had been written"
	case c.o.Versions == 0 && c.o.Time == 0:
		return Valid, found + "; nothing is claimed"
	}
	return Valid, found
}

// found says in words how stale reads were. Where events are only counted, time is none.
func (d *StalenessDetails) found(counted bool) string {
	by := func(versions int, ns int64) string {
		if counted {
			return count(versions, "version", "versions")
		}
		return fmt.Sprintf("%s and %s", count(versions, "version", "versions"),
			time.Duration(ns).Round(time.Microsecond))
	}
	worst := int(d.Versions.Max)
	text := fmt.Sprintf("no read of %d stale by itself", d.Reads)
	if d.Stale > 0 {
		text = fmt.Sprintf("%d of %s stale, the worst by at least %s", d.Stale,
			count(d.Reads, "read", "reads"), by(worst, d.Time.Max))
	}
	if d.TogetherLow > worst || d.Together > d.Time.Max {
		text += ", and in one order for all by at least " + by(d.TogetherLow, d.Together)
	}
	return text
}
