package workload

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/ordeal-dev/ordeal/history"
)

// scheduler holds the state of a test's threads: which are busy, which process
// each one is, and the generator. It knows nothing of goroutines and clocks; Run
// and Simulate drive it, so what is simulated is what is run.
type scheduler struct {
	gen Generator
	// final follows the events from the beginning, so that it knows what there
	// is to read when its turn comes. It is nil when there is none, or when it
	// has become gen.
	final Generator
	seed  uint64
	steps uint64 // operations given out, the position in the seed's sequence
	epoch func() int64

	busy  *threadSet
	procs []history.Process // by thread
}

func newScheduler(gen, final Generator, threads int, seed uint64, epoch func() int64) *scheduler {
	s := &scheduler{
		gen: gen, final: final, seed: seed, epoch: epoch,
		busy: newThreadSet(threads), procs: make([]history.Process, threads),
	}
	for t := range s.procs {
		s.procs[t] = history.Process(t)
	}
	return s
}

func (s *scheduler) context(now history.Time, thread int) Context {
	ctx := Context{
		Time: now, Thread: thread, Process: s.procs[thread], Threads: len(s.procs),
		Rand: randAt(s.seed, s.steps), busy: s.busy,
	}
	if s.epoch != nil {
		ctx.Epoch = s.epoch()
	}
	return ctx
}

// maxChanges bounds how often a generator may answer pending and yet have changed,
// in one question.
const maxChanges = 1000

// ask asks the generator for a free thread. When the answer is an operation that
// can begin, the thread is busy with it from now on and the generator has been
// told of the invocation. changed says whether the generator is another than
// before, so that other threads may now get another answer.
func (s *scheduler) ask(now history.Time, thread int) (step Step, changed bool) {
	defer func() {
		if r := recover(); r != nil {
			step = Broken(fmt.Errorf("generator %T panicked: %v\n%s", s.gen, r, debug.Stack()))
		}
	}()
	ctx := s.context(now, thread)
	for range maxChanges {
		step, next := s.gen.Next(ctx)
		switch {
		case step.Kind == StepOp && step.Op.At > now, step.Kind == StepDone,
			step.Kind == StepBroken:
			return step, changed
		case next == nil:
			return Broken(fmt.Errorf("generator %T has no successor", s.gen)), changed
		case step.Kind == StepPending && same(s.gen, next):
			return step, changed
		case step.Kind == StepPending:
			s.gen, changed = next, true
			continue
		}
		s.gen = next
		s.steps++
		s.begin(ctx, step.Op)
		return step, true
	}
	return Broken(errors.New("generator is pending, but never the same")), changed
}

// begin marks the thread busy and tells the generators of an invocation.
func (s *scheduler) begin(ctx Context, op Op) {
	s.busy.add(ctx.Thread)
	if op.Kind == OpInvoke {
		s.tell(ctx, history.Event{
			Time: ctx.Time, Process: ctx.Process, Type: history.Invoke,
			F: op.F, Key: op.Key, Value: op.Value,
		})
	}
}

func (s *scheduler) tell(ctx Context, ev history.Event) {
	s.gen = s.gen.Update(ctx, ev)
	if s.final != nil {
		s.final = s.final.Update(ctx, ev)
	}
}

// complete tells the generators how an operation ended and makes the thread free.
// After info the thread is a new process, because the old one is, logically,
// still waiting for its answer.
func (s *scheduler) complete(now history.Time, thread int, ev history.Event) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("generator %T panicked at %v: %v\n%s", s.gen, ev.Type, r, debug.Stack())
		}
	}()
	s.release(thread)
	ctx := s.context(now, thread)
	if ev.Type == history.Info {
		s.procs[thread] += history.Process(len(s.procs))
	}
	s.tell(ctx, ev)
	return nil
}

// release makes a thread free whose step was no operation.
func (s *scheduler) release(thread int) { s.busy.remove(thread) }

// finish puts the final generator in the place of the one that is done. It
// reports false when there is none.
func (s *scheduler) finish() bool {
	if s.final == nil {
		return false
	}
	s.gen, s.final = s.final, nil
	return true
}
