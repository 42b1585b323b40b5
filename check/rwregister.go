package check

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// RWRegisterDetails are the Details of RWRegister, with Elle's names for anomalies.
type RWRegisterDetails struct {
	Txns   int `json:"txns"`
	Writes int `json:"writes"`
	Reads  int `json:"reads"`
	// Seen counts the reads that found a value.
	Seen       int `json:"seen"`
	Internal   int `json:"internal"`
	Unexpected int `json:"unexpected"`
	G1b        int `json:"g1b"`
	LostUpdate int `json:"lostUpdate"`
	Stale      int `json:"stale"`
}

// RWRegister checks transactions that read registers and write unique values to them,
// for what shows without looking at more than one key at a time: a transaction
// contradicts itself (internal), a value was never written or comes from a
// transaction that failed (unexpected, G1a), or is one that its transaction itself
// had overwritten (G1b); two transactions read the same value and both overwrote it
// (lost-update); and, if o.Level has an order in time, a read returns what was overwritten
// before its call. Snapshot isolation and everything stronger forbid all of it.
func RWRegister(o TxnOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return rwRegister(ctx, h, o)
	})
}

func rwRegister(ctx context.Context, h *history.History, o TxnOptions) Result {
	const name = "rw-register"
	r := Result{Name: name}
	c := rwCheck{o: o}
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		txns, err := parseTxns(ops)
		if err == nil {
			err = c.group(key, txns)
		}
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
	}
	d := &c.d
	r.Details = *d
	r.Power = []Measure{measure("transactions", d.Txns), measure("writes", d.Writes),
		measure("reads", d.Reads), measure("reads that found a value", d.Seen)}
	c.bad.settle(&r, tallies(tally{d.Internal, "internal"}, tally{d.Unexpected, "unexpected or G1a"},
		tally{d.G1b, "G1b"}, tally{d.LostUpdate, "lost-update"}, tally{d.Stale, "stale"}),
		func() (Verdict, string) {
			if d.Seen == 0 {
				return Unknown, "nothing was shown: no read found a value"
			}
			return Valid, fmt.Sprintf("%s in %s agree", count(d.Reads, "read", "reads"),
				count(d.Txns, "transaction", "transactions"))
		})
	return r
}

// rwCheck adds up the groups.
type rwCheck struct {
	o   TxnOptions
	d   RWRegisterDetails
	bad violations
}

func (c *rwCheck) group(key history.Key, txns []txn) error {
	from := originsOf(txns)
	// last are the values with which transactions left a key.
	last := make(map[written]bool)
	writers := make(map[history.Key][]*history.Operation)
	for _, t := range txns {
		c.d.Txns++
		final := make(map[history.Key]string)
		for _, s := range t.steps {
			switch s.F {
			case history.StepRead:
				continue
			case history.StepWrite:
			default:
				return misfit(t.op, "rw-register", fmt.Errorf("there are only reads and writes"))
			}
			c.d.Writes++
			final[s.Key] = s.Value.String()
		}
		for k, v := range final {
			last[written{k, v}] = true
			if t.ok() {
				writers[k] = append(writers[k], t.op)
			}
		}
	}
	// overwrote says which transaction read a value and wrote the same key.
	overwrote := make(map[written]*history.Operation)
	for _, t := range txns {
		if !t.ok() || !c.internal(key, t) {
			continue
		}
		writes := make(map[history.Key]bool)
		for _, s := range t.steps {
			writes[s.Key] = writes[s.Key] || s.F == history.StepWrite
		}
		reads := t.firstReads()
		for _, k := range groupKeys([]txn{t}) {
			v, read := reads[k]
			if !read || !c.read(key, t, k, v, from, last, writers[k]) || !writes[k] {
				continue
			}
			w := written{k, v.String()}
			other := overwrote[w]
			if other == nil {
				overwrote[w] = t.op
				continue
			}
			c.d.LostUpdate++
			c.bad.add(key, fmt.Sprintf("The transactions of process %d and of process %d both read %s = %s "+
				"and wrote it (by %s and by %s): one did not see the other.", other.Process, t.op.Process, k,
				w.value, seconds(other.Return), seconds(t.op.Return)), other, t.op)
		}
	}
	return nil
}

// internal looks whether a transaction fits itself.
func (c *rwCheck) internal(key history.Key, t txn) bool {
	state := make(map[history.Key]history.Value)
	for _, s := range t.steps {
		have, known := state[s.Key]
		if s.F == history.StepRead && known && !have.Equal(s.Value) {
			c.d.Internal++
			c.bad.add(key, fmt.Sprintf("Process %d read %s = %s, by %s, in a transaction in which it had "+
				"written or read %s before.", t.op.Process, s.Key, s.Value, seconds(t.op.Return), have),
				t.op)
			return false
		}
		state[s.Key] = s.Value
	}
	return true
}

// read judges one read of a key. It reports whether the value is worth a comparison.
func (c *rwCheck) read(
	key history.Key, t txn, k history.Key, v history.Value, from origins, last map[written]bool,
	writers []*history.Operation,
) bool {
	c.d.Reads++
	if why, ops := from.fromNowhere(t, k, v); why != "" {
		c.d.Unexpected++
		c.bad.add(key, why, ops...)
		return false
	}
	w := written{k, v.String()}
	origin := from.first[w]
	if !v.IsNil() {
		c.d.Seen++
		if !last[w] {
			c.d.G1b++
			c.bad.add(key, fmt.Sprintf("Process %d read %s = %s at %s, which the transaction of process %d "+
				"that wrote it had overwritten itself.", t.op.Process, k, v, seconds(t.op.Return),
				origin.Process), origin, t.op)
			return false
		}
	}
	if !c.o.Level.Realtime() || !v.IsNil() && origin.Type != history.OK {
		return true
	}
	for _, later := range writers {
		if later.Return >= t.op.Call || !v.IsNil() && later.Call <= origin.Return {
			continue
		}
		c.d.Stale++
		c.bad.add(key, fmt.Sprintf("Process %d read %s = %s (called at %s), which process %d had "+
			"overwritten by %s.", t.op.Process, k, v, seconds(t.op.Call), later.Process,
			seconds(later.Return)), origin, later, t.op)
		return false
	}
	return true
}
