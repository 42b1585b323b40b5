package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// store is a system that keeps its promise: registers, lists of transactions and ids
// behind one lock.
type store struct {
	mu   sync.Mutex
	held map[history.Key]history.Value
	last int64
}

func newStore() *store { return &store{held: make(map[history.Key]history.Value)} }

// client is one of its clients; an operation takes a while, or no time at all.
type client struct {
	s       *store
	latency time.Duration
}

func (c client) Close() error { return nil }

func (c client) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if c.latency > 0 {
		select {
		case <-ctx.Done():
			return op, history.Definite(context.Cause(ctx))
		case <-time.After(c.latency):
		}
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch op.F {
	case workload.Read:
		op.Value = s.held[op.Key]
	case workload.Write:
		s.held[op.Key] = op.Value
	case workload.CAS:
		if !s.held[op.Key].Equal(op.Value.At(0)) {
			return op, history.Definite(errors.New("precondition-failed"))
		}
		s.held[op.Key] = op.Value.At(1)
	case workload.Generate:
		s.last++
		op.Value = history.Int(s.last)
	case workload.Txn:
		return s.txn(op)
	default:
		return op, history.Definite(errors.New("not-supported"))
	}
	return op, nil
}

func (s *store) txn(op history.Event) (history.Event, error) {
	steps, err := history.ParseSteps(op.Value)
	if err != nil {
		return op, history.Definite(err)
	}
	for i := range steps {
		t := &steps[i]
		key := op.Key + "." + t.Key
		switch t.F {
		case history.StepRead:
			t.Value = s.held[key]
		case history.StepWrite:
			s.held[key] = t.Value
		case history.StepAppend:
			old := s.held[key]
			list := make([]history.Value, 0, old.Len()+1)
			for at := range old.Len() {
				list = append(list, old.At(at))
			}
			s.held[key] = history.List(append(list, t.Value)...)
		}
	}
	op.Value = history.Steps(steps...)
	return op, nil
}
