package workload

import (
	"container/heap"
	"errors"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// Answer is how a simulated system ends an operation.
type Answer struct {
	Type    history.Type
	Latency time.Duration
	Value   history.Value
	Error   string
}

// Simulation runs a generator in virtual time against an imagined system, without
// goroutines: the same Simulation gives the same history every time.
type Simulation struct {
	Generator Generator
	// Final runs when Generator is done and all threads are free. It may be nil.
	Final       Generator
	Concurrency int
	Seed        uint64
	// Epoch returns the number of fault windows that ended before a time. It may
	// be nil.
	Epoch func(now history.Time) int64
	// Respond is asked at every invocation, in the order of time. Nil answers ok
	// after ten nanoseconds, with the value that was given.
	Respond func(thread int, op history.Event) Answer
	// MaxOps stops a generator that has no end. Zero is one million.
	MaxOps int
}

// Simulated is what came out of a Simulation.
type Simulated struct {
	// Events are the invocations and completions in the order of time.
	Events []history.Event
	// Steps are all steps that were given out, also sleep and log, with the time
	// at which they began and the thread that did them.
	Steps []SimulatedStep
	// Stuck is true when every thread was free and the generator was pending with
	// nothing left that could wake it.
	Stuck bool
}

// SimulatedStep is one step that a thread was given.
type SimulatedStep struct {
	Time   history.Time
	Thread int
	Op     Op
}

// ending is the future end of what a thread is doing.
type ending struct {
	at     history.Time
	order  int // of their beginnings, to break ties
	thread int
	event  history.Event
	quiet  bool // sleep: there is no event
}

type endings []ending

func (e endings) Len() int { return len(e) }
func (e endings) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e endings) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)   { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

type simulator struct {
	cfg   Simulation
	sched *scheduler
	now   history.Time
	ends  endings
	out   Simulated
	wake  history.Time
}

// Simulate runs a simulation to its end.
func Simulate(cfg Simulation) (*Simulated, error) {
	if cfg.Concurrency <= 0 {
		return nil, errors.New("simulate: concurrency must be positive")
	}
	if cfg.MaxOps == 0 {
		cfg.MaxOps = 1_000_000
	}
	if cfg.Respond == nil {
		cfg.Respond = func(_ int, op history.Event) Answer {
			return Answer{Type: history.OK, Latency: 10, Value: op.Value}
		}
	}
	sim := &simulator{cfg: cfg}
	var epoch func() int64
	if cfg.Epoch != nil {
		epoch = func() int64 { return cfg.Epoch(sim.now) }
	}
	sim.sched = newScheduler(cfg.Generator, cfg.Final, cfg.Concurrency, cfg.Seed, epoch)
	if err := sim.run(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	return &sim.out, nil
}

func (s *simulator) run() error {
	for len(s.out.Steps) < s.cfg.MaxOps {
		done, err := s.fill()
		if err != nil {
			return err
		}
		switch {
		case done && len(s.ends) == 0:
			if !s.sched.finish() {
				return nil
			}
		case len(s.ends) > 0 && (done || s.wake == 0 || s.ends[0].at <= s.wake):
			if err := s.end(heap.Pop(&s.ends).(ending)); err != nil {
				return err
			}
		case s.wake > s.now:
			s.now = s.wake
		default:
			s.out.Stuck = true
			return nil
		}
	}
	return nil
}

// fill gives every free thread something to do, until none of them gets anything.
func (s *simulator) fill() (done bool, err error) {
	s.wake = 0
	threads := s.cfg.Concurrency
	t := randAt(s.cfg.Seed, s.sched.steps).Split(7).IntN(threads)
	for unchanged := 0; unchanged < threads; t = (t + 1) % threads {
		if s.sched.busy.has(t) {
			unchanged++
			continue
		}
		step, changed := s.sched.ask(s.now, t)
		if changed {
			unchanged, s.wake = 0, 0
		}
		unchanged++
		switch {
		case step.Kind == StepDone:
			return true, nil
		case step.Kind == StepBroken:
			return false, step.Err
		case step.ready(s.now):
			s.begin(t, step.Op)
		default:
			s.wake = sooner(s.wake, step.Op.At)
		}
	}
	return false, nil
}

func (s *simulator) begin(thread int, op Op) {
	s.out.Steps = append(s.out.Steps, SimulatedStep{Time: s.now, Thread: thread, Op: op})
	end := ending{at: s.now, order: len(s.out.Steps), thread: thread}
	if op.Kind != OpInvoke {
		end.quiet = true
		if op.Kind == OpSleep {
			ns, _ := op.Value.AsInt()
			end.at += history.Time(ns)
		}
		heap.Push(&s.ends, end)
		return
	}
	ev := history.Event{
		Time: s.now, Process: s.sched.procs[thread], Type: history.Invoke,
		F: op.F, Key: op.Key, Value: op.Value,
	}
	s.record(ev)
	answer := s.cfg.Respond(thread, ev)
	end.at += history.Time(max(answer.Latency, 1))
	end.event = ev
	end.event.Type, end.event.Value, end.event.Error = answer.Type, answer.Value, answer.Error
	heap.Push(&s.ends, end)
}

func (s *simulator) end(e ending) error {
	s.now = e.at
	if e.quiet {
		s.sched.release(e.thread)
		return nil
	}
	e.event.Time = s.now
	s.record(e.event)
	return s.sched.complete(s.now, e.thread, e.event)
}

func (s *simulator) record(ev history.Event) {
	ev.Index = int64(len(s.out.Events))
	s.out.Events = append(s.out.Events, ev)
}
