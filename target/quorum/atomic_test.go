package quorum

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// never is the return time of an operation that may take effect at any later
// time, start that of the imaginary write of the initial state.
const (
	never = time.Duration(math.MaxInt64)
	start = time.Duration(math.MinInt64)
)

// cluster is a write and the reads that returned its value. Written at one
// moment, the value was current at some moment after the call and before the
// return of each of its operations.
type cluster struct {
	value        string
	call, ret    time.Duration // of the write
	firstReturn  time.Duration // of all
	latestCall   time.Duration // of all
	known        bool          // the write was seen
	failed, read bool
}

// atomicOps decides from the clients' view alone, per key, whether the history
// of a register with unique values is linearizable. It is the characterization
// by zones of Gibbons and Korach ("Testing shared memories", SIAM J. Comput.
// 1997), checked for every pair: a value that was still current at one moment
// and already current at an earlier one was current all the time between
// (a forward zone); of two values this cannot be true at the same time, and no
// third value can have its whole life in between.
func atomicOps(c *sim.Cluster) error {
	keys := map[string][]*sim.Op{}
	for _, op := range c.Ops() {
		keys[op.Request.Key] = append(keys[op.Request.Key], op)
	}
	for key, ops := range keys {
		if err := atomic(ops); err != nil {
			return fmt.Errorf("%s is not linearizable: %w", key, err)
		}
	}
	return nil
}

func atomic(ops []*sim.Op) error {
	all := []*cluster{{
		value: "null", call: start, ret: start, firstReturn: start, latestCall: start, known: true,
	}}
	find := func(value string) *cluster {
		for _, cl := range all {
			if cl.value == value {
				return cl
			}
		}
		cl := &cluster{value: value, firstReturn: never, latestCall: start}
		all = append(all, cl)
		return cl
	}
	for _, op := range ops {
		switch ok := op.Done && op.Outcome == protocol.OK; {
		case op.Request.F == "write":
			cl := find(op.Request.Value)
			cl.known, cl.failed = true, op.Done && op.Outcome == protocol.Fail
			cl.call, cl.ret = op.Invoke, never
			if ok {
				cl.ret = op.Return
			}
			cl.firstReturn = min(cl.firstReturn, cl.ret)
			cl.latestCall = max(cl.latestCall, cl.call)
		case ok:
			cl := find(op.Value)
			cl.read = true
			cl.firstReturn = min(cl.firstReturn, op.Return)
			cl.latestCall = max(cl.latestCall, op.Invoke)
		}
	}
	for _, a := range all {
		switch {
		case !a.known:
			return fmt.Errorf("%s is read, nobody wrote it", a.value)
		case a.read && a.failed:
			return fmt.Errorf("%s is read, its write has failed", a.value)
		case a.read && a.firstReturn < a.call:
			return fmt.Errorf("%s is read before it is written", a.value)
		}
		for _, b := range all {
			if a != b && a.counts() && b.counts() && a.contradicts(b) {
				return fmt.Errorf(
					"%s was current all the time from %v to %v, but %s, too, within %v to %v",
					a.value, a.firstReturn, a.latestCall, b.value,
					min(b.firstReturn, b.latestCall), max(b.firstReturn, b.latestCall))
			}
		}
	}
	return nil
}

// counts is false for a write that has perhaps, or surely, not happened and that
// nobody has seen.
func (a *cluster) counts() bool { return a.read || !a.failed && a.ret != never }

// contradicts reports that b cannot be ordered before or after a: a's value was
// current all the time from its firstReturn to its latestCall, and b's value
// must have been current within that time. (If it only overlaps the ends, b can
// move out of the way unless it is such a zone itself; the two comparisons are
// the same in both cases.)
func (a *cluster) contradicts(b *cluster) bool {
	return a.firstReturn < a.latestCall &&
		a.firstReturn < b.latestCall && b.firstReturn < a.latestCall
}

// TestAtomic shows that the check says no to what must be refused, and yes to
// what only looks bad.
func TestAtomic(t *testing.T) {
	type op struct {
		f, value  string
		call, ret time.Duration // ret 0: unknown
		fails     bool
	}
	w := func(v string, call, ret time.Duration) op {
		return op{f: "write", value: v, call: call, ret: ret}
	}
	r := func(v string, call, ret time.Duration) op {
		return op{f: "read", value: v, call: call, ret: ret}
	}
	failed := func(o op) op { o.fails = true; return o }
	for _, c := range []struct {
		name string
		ok   bool
		ops  []op
	}{
		{name: "empty", ok: true},
		{name: "write then read", ok: true, ops: []op{w("1", 1, 2), r("1", 3, 4)}},
		{name: "initial state", ok: true, ops: []op{r("null", 1, 2), w("1", 1, 3)}},
		{name: "acknowledged write lost", ops: []op{w("1", 1, 2), r("null", 3, 4)}},
		{name: "from nowhere", ops: []op{r("7", 1, 2)}},
		{name: "from the future", ops: []op{r("1", 1, 2), w("1", 3, 4)}},
		{name: "stale", ops: []op{w("1", 1, 2), w("2", 3, 4), r("1", 5, 6)}},
		{name: "new then old", ops: []op{w("1", 1, 2), w("2", 3, 20), r("2", 4, 5), r("1", 6, 7)}},
		{name: "old then new", ok: true,
			ops: []op{w("1", 1, 2), w("2", 3, 20), r("1", 4, 5), r("2", 6, 7)}},
		{name: "new then old, concurrent", ok: true,
			ops: []op{w("1", 1, 2), w("2", 3, 20), r("2", 4, 7), r("1", 6, 8)}},
		{name: "new then old, write unknown",
			ops: []op{w("1", 1, 2), w("2", 3, 0), r("2", 4, 5), r("1", 6, 7)}},
		{name: "unknown write shows late", ok: true,
			ops: []op{w("2", 1, 0), w("1", 2, 3), r("1", 4, 5), r("2", 6, 7)}},
		{name: "unknown write never shows", ok: true, ops: []op{w("2", 1, 0), r("null", 4, 5)}},
		{name: "failed write is read", ops: []op{failed(w("1", 1, 2)), r("1", 3, 4)}},
		{name: "failed write unseen", ok: true, ops: []op{failed(w("1", 1, 2)), r("null", 3, 4)}},
		{name: "flip-flop", ops: []op{w("1", 1, 9), w("2", 1, 9), r("1", 10, 11), r("2", 12, 13)}},
		{name: "flip-flop, concurrent writes",
			ops: []op{w("1", 1, 99), w("2", 1, 99), r("1", 10, 11), r("2", 12, 13), r("1", 14, 15)}},
		{name: "whole life between", ops: []op{w("1", 1, 2), w("2", 5, 6), r("1", 8, 9)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ops []*sim.Op
			for _, o := range c.ops {
				s := &sim.Op{Invoke: o.call, Return: o.ret, Done: o.ret != 0, Value: o.value}
				s.Request = protocol.Request{F: o.f, Value: o.value}
				if o.fails {
					s.Outcome = protocol.Fail
				}
				ops = append(ops, s)
			}
			if err := atomic(ops); (err == nil) != c.ok {
				t.Errorf("atomic = %v, want ok = %v", err, c.ok)
			}
		})
	}
}
