package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// shape is what a history looks like.
type shape struct {
	Model   string
	Keys    int
	Clients int
	// Ops is the number of operations, Crashed how many of them have no answer.
	Ops, Crashed int
	// Values is the number of different values that are written, 0 if each write
	// has its own.
	Values int
	// Stale makes the last read return what had been replaced before it was called.
	Stale bool
}

// kind says in words what the values and the verdict are.
func (s shape) kind() string {
	values, verdict := "unique values", "valid"
	if s.Values > 0 {
		values = fmt.Sprintf("%d values", s.Values)
	}
	if s.Stale {
		verdict = "stale read at the end"
	}
	return values + ", " + verdict
}

// String describes the shape for the command line.
func (s shape) String() string {
	return fmt.Sprintf("model=%s keys=%d clients=%d ops=%d crashed=%d values=%d stale=%t",
		s.Model, s.Keys, s.Clients, s.Ops, s.Crashed, s.Values, s.Stale)
}

// shapes are the rows of the table.
func shapes() []shape {
	var list []shape
	add := func(model string, keys, clients, ops, crashed, values int) {
		s := shape{Model: model, Keys: keys, Clients: clients, Ops: ops, Crashed: crashed,
			Values: values}
		list = append(list, s)
		if s.Values == 0 {
			s.Stale = true
			list = append(list, s)
		}
	}
	// How it grows with the length, and with the clients of a key.
	add("register", 1, 10, 1_000, 0, 0)
	add("register", 1, 10, 10_000, 0, 0)
	add("register", 1, 10, 100_000, 0, 0)
	add("register", 1, 30, 1_000, 0, 0)
	add("register", 1, 30, 1_000_000, 0, 0)
	add("register", 100, 30, 1_000_000, 0, 0)
	// With operations that were never answered.
	for _, crashed := range []int{10, 50, 200} {
		add("register", 1, 10, 1_000, crashed, 0)
	}
	add("register", 1, 100, 1_000_000, 10_000, 0)
	// With compare-and-set.
	add("cas-register", 1, 10, 1_000, 50, 0)
	add("cas-register", 1, 10, 100_000, 1_000, 0)
	// With values that come again, for which only a search will do.
	add("register", 1, 10, 1_000, 0, 5)
	add("register", 1, 10, 1_000, 50, 5)
	add("register", 1, 15, 10_000, 0, 5)
	add("register", 10, 30, 10_000, 200, 5)
	return list
}

// call is an operation that happens at an instant of its interval, if at all.
type call struct {
	history.Operation
	at      history.Time
	happens bool
}

// generate makes a history of clients that call one operation after the other without
// a pause, as long as the shape says, half of them reads.
func generate(s shape, seed uint64) (*history.History, error) {
	r := rand.New(rand.NewPCG(seed, 11))
	calls := schedule(r, s)
	slices.SortStableFunc(calls, func(a, b call) int { return cmp.Compare(a.at, b.at) })
	perform(r, s, calls)
	slices.SortStableFunc(calls, func(a, b call) int { return cmp.Compare(a.Call, b.Call) })
	if s.Stale {
		if err := spoil(calls); err != nil {
			return nil, fmt.Errorf("history of %d operations: %w", s.Ops, err)
		}
	}
	h := &history.History{Ops: make([]history.Operation, len(calls))}
	for i := range calls {
		h.Ops[i] = calls[i].Operation
		h.Ops[i].Index = int64(i)
	}
	return h, nil
}

// schedule decides who calls what and when.
func schedule(r *rand.Rand, s shape) []call {
	calls := make([]call, s.Ops)
	free := make([]history.Time, s.Clients) // when a client is free again
	process := make([]history.Process, s.Clients)
	next := history.Process(s.Clients)
	crash := make(map[int]bool, s.Crashed)
	for len(crash) < s.Crashed {
		crash[r.IntN(s.Ops*9/10)] = true
	}
	for p := range process {
		process[p] = history.Process(p)
	}
	for i := range calls {
		p := 0
		for q := range free {
			if free[q] < free[p] {
				p = q
			}
		}
		c := &calls[i]
		c.Process, c.Type, c.happens = process[p], history.OK, true
		c.Key = history.Key(fmt.Sprintf("k%d", r.IntN(s.Keys)))
		c.Call = free[p] + 1 + history.Time(r.IntN(20))
		c.Return = c.Call + 50 + history.Time(r.IntN(200))
		c.at = c.Call + history.Time(r.IntN(int(c.Return-c.Call)))
		free[p] = c.Return
		c.F = "read"
		if crash[i] || r.IntN(2) == 0 {
			c.F = "write"
		}
		if crash[i] {
			c.happens = r.IntN(2) == 0
			c.Type, c.Return = history.Info, history.Never
			process[p] = next
			next++
		}
	}
	return calls
}

// perform gives reads their results.
func perform(r *rand.Rand, s shape, calls []call) {
	state := make(map[history.Key]history.Value)
	for i := range calls {
		c := &calls[i]
		if c.F == "read" {
			c.Out = state[c.Key]
			continue
		}
		v := int64(i)
		if s.Values > 0 {
			v = int64(r.IntN(s.Values))
		}
		c.In = history.Int(v)
		if s.Model == "cas-register" && c.Type == history.OK && r.IntN(2) == 0 {
			c.F, c.In = "cas", history.List(state[c.Key], c.In)
			state[c.Key] = c.In.At(1)
			continue
		}
		if c.happens {
			state[c.Key] = c.In
		}
	}
}

// spoil lets the last read that can return what had been replaced for certain before
// it was called.
func spoil(calls []call) error {
	for i := len(calls) - 1; i >= 0; i-- {
		read := &calls[i]
		if read.F != "read" || read.Type != history.OK {
			continue
		}
		var later *call // a write that had returned before the read, and is seen in vain
		for j := i - 1; j >= 0; j-- {
			w := &calls[j]
			if w.F != "write" || w.Key != read.Key || w.Type != history.OK {
				continue
			}
			if later == nil && w.Return < read.Call {
				later = w
				continue
			}
			if later != nil && w.Return < later.Call && w.In.String() != later.In.String() {
				read.Out = w.In
				return nil
			}
		}
	}
	return fmt.Errorf("no read that could be stale")
}
