package appendlog

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// clients makes the requests of a run and judges the answers, from outside. A
// session is a token handed from one operation to the next, whichever node that
// one goes to.
type clients struct {
	tokens []string // of the last answers
	// final covers everything that any node held after healing; due is that.
	final  string
	due    []item
	madeAt time.Duration
}

// item is an element as a client sees it.
type item struct{ object, key, value string }

// single is a dialog of one request.
type single struct{ req protocol.Request }

func (s single) Next(_ *rand.Rand, last *sim.Op) (protocol.Request, bool) {
	return s.req, last == nil
}

// dialog appends unique values to sets and logs, and reads them, half of the time
// in a session.
func (cl *clients) dialog(rng *rand.Rand, n int) sim.Dialog {
	r := protocol.Request{Object: "set", F: "read", Key: sim.Key(rng.IntN(2))}
	if rng.IntN(2) == 0 {
		r.Object = "log"
	}
	if rng.IntN(5) < 3 {
		r.F, r.Value = "add", strconv.Itoa(n)
		if r.Object == "log" {
			r.F = "append"
		}
	}
	if len(cl.tokens) > 0 && rng.IntN(2) == 0 {
		r.Token = cl.tokens[rng.IntN(len(cl.tokens))]
	}
	return single{req: r}
}

// observe remembers the tokens of the last answers.
func (cl *clients) observe(_ *sim.Cluster, e *sim.Event) {
	if e.Kind == sim.Return && e.Op.Outcome == protocol.OK && e.Op.Token != "" {
		cl.tokens = append(cl.tokens, e.Op.Token)
		if len(cl.tokens) > 6 {
			cl.tokens = cl.tokens[1:]
		}
	}
}

// last makes the final reads: of everything, at every node, with a token that
// covers all that any node holds. They succeed when the cluster has converged.
func (cl *clients) last(c *sim.Cluster) []func() sim.Dialog {
	all := &token{marks: map[Series]uint64{}}
	var names []protocol.Request
	for _, n := range c.Nodes() {
		s := n.Machine().(*Machine).store
		for series, r := range s.held {
			all.see(series, r.last())
		}
		for _, e := range s.elements {
			it := item{e.Object, e.Key, e.Value}
			if !slices.Contains(cl.due, it) {
				cl.due = append(cl.due, it)
			}
		}
	}
	cl.final, cl.madeAt = all.encode(), c.Now()
	for _, op := range c.Ops() {
		r := protocol.Request{Object: op.Request.Object, F: "read", Key: op.Request.Key, Token: cl.final}
		if !slices.Contains(names, r) {
			names = append(names, r)
		}
	}
	var ds []func() sim.Dialog
	for _, r := range names {
		ds = append(ds, func() sim.Dialog { return single{req: r} })
	}
	return ds
}

// elements are what a read returned.
func elements(op *sim.Op) (map[item]bool, error) {
	var vs []json.RawMessage
	if err := json.Unmarshal([]byte(op.Value), &vs); err != nil {
		return nil, fmt.Errorf("%v: %w", op, err)
	}
	out := map[item]bool{}
	for _, v := range vs {
		it := item{op.Request.Object, op.Request.Key, string(v)}
		if out[it] {
			return nil, fmt.Errorf("%s twice: %v", v, op)
		}
		out[it] = true
	}
	return out, nil
}

// judge decides from the clients' view alone: reads return what was appended and
// nothing else, nothing twice; sessions see what they have seen and done; and in
// the end everybody reads everything that was acknowledged.
func (cl *clients) judge(c *sim.Cluster) error {
	called := map[item]*sim.Op{}
	for _, op := range c.Ops() {
		if op.Request.F != "read" {
			called[item{op.Request.Object, op.Request.Key, op.Request.Value}] = op
		}
	}
	ops := slices.DeleteFunc(slices.Clone(c.Ops()), func(op *sim.Op) bool {
		return !op.Done || op.Outcome != protocol.OK
	})
	slices.SortStableFunc(ops, func(a, b *sim.Op) int { return int(a.Return - b.Return) })
	seen := map[string]map[item]bool{} // by token: what a session with it has seen
	for _, op := range ops {
		now := map[item]bool{}
		if op.Request.F != "read" {
			now[item{op.Request.Object, op.Request.Key, op.Request.Value}] = true
		} else {
			var err error
			if now, err = elements(op); err != nil {
				return err
			}
			if err := cl.judgeRead(op, now, called, seen[op.Request.Token]); err != nil {
				return err
			}
		}
		if seen[op.Token] == nil {
			seen[op.Token] = map[item]bool{}
		}
		for _, more := range []map[item]bool{now, seen[op.Request.Token]} {
			for it := range more {
				seen[op.Token][it] = true
			}
		}
	}
	return nil
}

func (cl *clients) judgeRead(
	op *sim.Op, got map[item]bool, called map[item]*sim.Op, session map[item]bool,
) error {
	mine := func(it item) bool { return it.object == op.Request.Object && it.key == op.Request.Key }
	for it := range got {
		switch by := called[it]; {
		case by == nil || by.Invoke > op.Return:
			return fmt.Errorf("%s was not appended: %v", it.value, op)
		case by.Done && by.Outcome == protocol.Fail:
			return fmt.Errorf("%s was appended by %v, and read: %v", it.value, by, op)
		}
	}
	for it := range session {
		if op.Request.Token != "" && mine(it) && !got[it] {
			return fmt.Errorf("%s was seen by the session, and not by %v", it.value, op)
		}
	}
	if op.Request.Token != cl.final {
		return nil
	}
	for _, it := range cl.due {
		if mine(it) && !got[it] {
			return fmt.Errorf("%s was at some node, and is not read in the end: %v", it.value, op)
		}
	}
	for it, by := range called {
		if mine(it) && by.Done && by.Outcome == protocol.OK && by.Return < cl.madeAt && !got[it] {
			return fmt.Errorf("%s was acknowledged, and is not read in the end: %v", it.value, op)
		}
	}
	return nil
}
