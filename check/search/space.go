package search

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/ordeal-dev/ordeal/models"
)

// Space is memory in which searches for a model work, one after the other. Most histories
// are of a few dozen operations, and what they need is made in more time than it is
// used. It belongs to one goroutine at a time. What it keeps between two searches is a few
// hundred kilobytes at most, and may be of the last history.
type Space struct {
	spec *models.Spec
	plan *plan
	// narrow is for what has at most 64 operations open at a time.
	narrow rooms[[1]uint64]
}

// rooms are what a search needs beside its plan.
type rooms[B bitset] struct {
	table    table
	uses     uses
	machine  machine[B]
	frontier frontier[B]
}

// NewSpace returns one for histories of a model.
func NewSpace(spec *models.Spec) *Space { return &Space{spec: spec} }

// Frontier is the function Frontier in this space.
func (s *Space) Frontier(ctx context.Context, ops []Op, b Budget) Result {
	return s.decide(ctx, ops, b, false)
}

// Depth is the function Depth in this space.
func (s *Space) Depth(ctx context.Context, ops []Op, b Budget) Result {
	return s.decide(ctx, ops, b, true)
}

// decide picks the width of the masks. A model that panics is not survived by the
// search, but by the program.
func (s *Space) decide(ctx context.Context, ops []Op, b Budget, depth bool) (r Result) {
	defer func() {
		if v := recover(); v != nil {
			r = Result{Cause: Model, Fault: fmt.Sprintf("%v\n%s", v, debug.Stack()), Blocked: -1}
			*s = Space{spec: s.spec}
		}
	}()
	if s.plan == nil || len(s.plan.events) > 8*kept {
		s.plan = newPlan(s.spec)
	}
	p := s.plan
	p.prepare(ops)
	switch {
	case p.width <= 64:
		return s.narrow.run(ctx, p, b, depth)
	case p.width <= 2*64:
		return new(rooms[[2]uint64]).run(ctx, p, b, depth)
	case p.width <= 8*64:
		return new(rooms[[8]uint64]).run(ctx, p, b, depth)
	case p.width <= 64*64:
		return new(rooms[[64]uint64]).run(ctx, p, b, depth)
	}
	return Result{Cause: Width, Blocked: -1}
}

func (r *rooms[B]) run(ctx context.Context, p *plan, b Budget, depth bool) Result {
	r.table.spec = p.spec
	r.machine.begin(ctx, p, &r.table, &r.uses, b)
	if depth {
		return newDepth(&r.machine).run()
	}
	r.frontier.begin(&r.machine)
	return r.frontier.run()
}
