package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// TxnOptions refine ListAppend and RWRegister.
type TxnOptions struct {
	// Stale says that no real-time order is claimed.
	Stale bool

	_ struct{} // keyed literals only
}

// ListAppendDetails are the Details of ListAppend, with Elle's names for anomalies.
type ListAppendDetails struct {
	Txns    int `json:"txns"`
	Appends int `json:"appends"`
	Reads   int `json:"reads"`
	// Binding counts the reads that had to have an acknowledged element.
	Binding           int `json:"binding"`
	Internal          int `json:"internal"`
	DuplicateElements int `json:"duplicateElements"`
	Unexpected        int `json:"unexpected"`
	G1a               int `json:"g1a"`
	G1b               int `json:"g1b"`
	IncompatibleOrder int `json:"incompatibleOrder"`
	Lost              int `json:"lost"`
}

// ListAppend checks transactions that append unique elements to lists and read them,
// for what shows without looking at more than one key at a time: a transaction
// contradicts itself (internal), an element stands twice in a list, was never
// appended, comes from a transaction that failed (G1a), or is there without the
// other elements that its transaction appended to the list (G1b); two reads do not
// agree on the order; and, unless o.Stale is set, a read misses an element that was
// acknowledged before its call. Snapshot isolation and everything stronger forbid all
// of it. (Kingsbury and Alvaro, "Elle: inferring isolation anomalies from
// experimental observations", 2020.)
func ListAppend(o TxnOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return listAppend(ctx, h, o)
	})
}

func listAppend(ctx context.Context, h *history.History, o TxnOptions) Result {
	const name = "list-append"
	r := Result{Name: name}
	l := lists{o: o}
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		txns, err := parseTxns(ops)
		if err == nil {
			err = l.group(key, txns)
		}
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
	}
	d := &l.d
	r.Details = *d
	r.Power = []Measure{measure("transactions", d.Txns), measure("appends", d.Appends),
		measure("reads", d.Reads), measure("reads that had to have something", d.Binding)}
	l.bad.settle(&r, tallies(tally{d.Internal, "internal"},
		tally{d.DuplicateElements, "duplicate-elements"}, tally{d.Unexpected, "unexpected"},
		tally{d.G1a, "G1a"}, tally{d.G1b, "G1b"}, tally{d.IncompatibleOrder, "incompatible-order"},
		tally{d.Lost, "lost"}),
		func() (Verdict, string) {
			if d.Reads == 0 || d.Appends == 0 || d.Binding == 0 && !o.Stale {
				return Unknown, "nothing was shown: no read had to have an element"
			}
			return Valid, fmt.Sprintf("%s in %s agree", count(d.Reads, "read", "reads"),
				count(d.Txns, "transaction", "transactions"))
		})
	return r
}

// lists adds up the groups.
type lists struct {
	o   TxnOptions
	d   ListAppendDetails
	bad violations
}

// element of a list, and how it came there.
type listElement struct {
	key   history.Key
	value models.Scalar
	op    *history.Operation
	// with are all elements that its transaction appended to the same list.
	with []models.Scalar
}

// place is an element's name.
type place struct {
	key   history.Key
	value models.Scalar
}

// listRead is one read of one list by a transaction that took effect.
type listRead struct {
	txn  *txn
	key  history.Key
	list []models.Scalar
	// own is true when the transaction had appended to the list before.
	own bool
}

func (l *lists) group(key history.Key, txns []txn) error {
	elements := make(map[place]*listElement)
	var reads []listRead
	for i := range txns {
		t := &txns[i]
		l.d.Txns++
		if err := l.appends(t, elements); err != nil {
			return misfit(t.op, "list-append", err)
		}
		if !t.ok() {
			continue
		}
		list, err := l.internal(key, t)
		if err != nil {
			return misfit(t.op, "list-append", err)
		}
		reads = append(reads, list...)
	}
	l.d.Reads += len(reads)
	byKey := make(map[history.Key][]listRead)
	for _, r := range reads {
		if l.content(key, r, elements) {
			byKey[r.key] = append(byKey[r.key], r)
		}
	}
	for _, k := range groupKeys(txns) {
		l.order(key, byKey[k])
		if !l.o.Stale {
			l.lost(key, k, byKey[k], elements)
		}
	}
	return nil
}

// appends notes what a transaction appends.
func (l *lists) appends(t *txn, elements map[place]*listElement) error {
	byKey := make(map[history.Key][]models.Scalar)
	var mine []*listElement
	for _, s := range t.steps {
		switch s.F {
		case history.StepRead:
			continue
		case history.StepAppend:
		default:
			return fmt.Errorf("there are only reads and appends")
		}
		v, err := models.NewScalar(s.Value)
		if err != nil {
			return err
		}
		if elements[place{s.Key, v}] != nil {
			return fmt.Errorf("%s is appended to %s twice", v, s.Key)
		}
		l.d.Appends++
		e := &listElement{key: s.Key, value: v, op: t.op}
		elements[place{s.Key, v}] = e
		byKey[s.Key] = append(byKey[s.Key], v)
		mine = append(mine, e)
	}
	for _, e := range mine {
		e.with = byKey[e.key]
	}
	return nil
}

// internal looks whether a transaction fits itself, and returns its reads.
func (l *lists) internal(key history.Key, t *txn) ([]listRead, error) {
	var reads []listRead
	known := make(map[history.Key][]models.Scalar) // the list, if whole
	tail := make(map[history.Key][]models.Scalar)  // appended since, or ever
	whole := make(map[history.Key]bool)
	for _, s := range t.steps {
		if s.F == history.StepAppend {
			v, err := models.NewScalar(s.Value)
			if err != nil {
				return nil, err
			}
			tail[s.Key] = append(tail[s.Key], v)
			continue
		}
		list, err := scalarsOf(s.Value)
		if err != nil {
			return nil, err
		}
		want := append(slices.Clone(known[s.Key]), tail[s.Key]...)
		end := list[max(0, len(list)-len(want)):]
		if !slices.Equal(end, want) || whole[s.Key] && len(list) != len(want) {
			l.d.Internal++
			l.bad.add(key, fmt.Sprintf("Process %d read %s = %s, by %s, in a transaction whose steps "+
				"before made it %v, or end with that.", t.op.Process, s.Key, s.Value,
				seconds(t.op.Return), want), t.op)
			return nil, nil
		}
		reads = append(reads, listRead{txn: t, key: s.Key, list: list, own: len(tail[s.Key]) > 0 ||
			ownBefore(reads, s.Key)})
		known[s.Key], tail[s.Key], whole[s.Key] = list, nil, true
	}
	return reads, nil
}

// ownBefore reports whether an earlier read of the key had an append of its own.
func ownBefore(reads []listRead, key history.Key) bool {
	return slices.ContainsFunc(reads, func(r listRead) bool { return r.key == key && r.own })
}

// content judges what stands in one list. It reports whether its order is worth
// looking at.
func (l *lists) content(key history.Key, r listRead, elements map[place]*listElement) bool {
	op := r.txn.op
	has := make(map[models.Scalar]bool, len(r.list))
	for _, v := range r.list {
		if has[v] {
			l.d.DuplicateElements++
			l.bad.add(key, fmt.Sprintf("Process %d read %s twice in %s, at %s.", op.Process, v, r.key,
				seconds(op.Return)), op)
			return false
		}
		has[v] = true
	}
	for _, v := range r.list {
		e := elements[place{r.key, v}]
		got := fmt.Sprintf("Process %d read %s in %s at %s, ", op.Process, v, r.key,
			seconds(op.Return))
		switch {
		case e == nil:
			l.d.Unexpected++
			l.bad.add(key, got+"which nobody ever tried to append.", op)
			return false
		case e.op.Type == history.Fail:
			l.d.G1a++
			l.bad.add(key, got+fmt.Sprintf("but the transaction of process %d that appended it had failed.",
				e.op.Process), e.op, op)
			return false
		case e.op.Call > op.Return:
			l.d.Unexpected++
			l.bad.add(key, got+fmt.Sprintf("but process %d only began to append it at %s.", e.op.Process,
				seconds(e.op.Call)), e.op, op)
			return false
		case e.op == op:
			continue
		}
		for _, w := range e.with {
			if !has[w] {
				l.d.G1b++
				l.bad.add(key, got+fmt.Sprintf("but not %s, which the same transaction of process %d "+
					"appended.", w, e.op.Process), e.op, op)
				return false
			}
		}
	}
	return true
}

// order looks whether the reads of one list are a chain of prefixes.
func (l *lists) order(key history.Key, reads []listRead) {
	slices.SortStableFunc(reads, func(a, b listRead) int {
		return cmp.Compare(len(a.list), len(b.list))
	})
	for i := 1; i < len(reads); i++ {
		a, b := reads[i-1], reads[i]
		for at, v := range a.list {
			if b.list[at] == v {
				continue
			}
			l.d.IncompatibleOrder++
			l.bad.add(key, fmt.Sprintf("At place %d of %s process %d read %s, by %s, and process %d read "+
				"%s, by %s.", at, a.key, a.txn.op.Process, v, seconds(a.txn.op.Return), b.txn.op.Process,
				b.list[at], seconds(b.txn.op.Return)), a.txn.op, b.txn.op)
			break
		}
	}
}

// lost looks for reads that miss an element which was acknowledged before their call.
func (l *lists) lost(
	group, key history.Key, reads []listRead, elements map[place]*listElement,
) {
	var acked []*listElement
	for _, e := range elements {
		if e.key == key && e.op.Type == history.OK {
			acked = append(acked, e)
		}
	}
	slices.SortFunc(acked, func(a, b *listElement) int {
		return cmp.Or(cmp.Compare(a.op.Return, b.op.Return), a.value.Compare(b.value))
	})
	for _, r := range reads {
		if len(acked) == 0 || acked[0].op.Return >= r.txn.op.Call {
			continue
		}
		l.d.Binding++
		has := make(map[models.Scalar]bool, len(r.list))
		for _, v := range r.list {
			has[v] = true
		}
		for _, e := range acked {
			if e.op.Return >= r.txn.op.Call {
				break
			}
			if has[e.value] {
				continue
			}
			l.d.Lost++
			l.bad.add(group, fmt.Sprintf("Process %d read %s (called at %s) without %s, which process %d "+
				"had been told at %s that it had appended.", r.txn.op.Process, key, seconds(r.txn.op.Call),
				e.value, e.op.Process, seconds(e.op.Return)), e.op, r.txn.op)
			break
		}
	}
}
