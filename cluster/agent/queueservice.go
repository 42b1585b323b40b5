package agent

import (
	"context"
	"errors"
	"fmt"
)

const kindQueue = "queue"

func (a *queueAgent) kind() string { return kindQueue }

func (a *queueAgent) describe(s *Status) { s.Queue = a.status() }

func (a *queueAgent) handle(r request) (answer, error) {
	if r.Do != doSet || r.Rules == nil {
		return answer{}, fmt.Errorf("a queue agent does not know how to %q", r.Do)
	}
	return answer{}, a.set(*r.Rules)
}

// RunQueue runs a queue agent in this process until it is stopped, its lease ends, or
// ctx does. Ready is called once packets are decided about.
func RunQueue(ctx context.Context, d DaemonConfig, q QueueConfig, ready func() error) error {
	if q.Mark == 0 || q.Mark == ProbeMark {
		return fmt.Errorf("%w: mark %#x cannot tell the agent's packets", ErrUsage, q.Mark)
	}
	open := func() (service, error) {
		io, err := openPacketIO(q.Number, q.Mark)
		if err != nil {
			return nil, err
		}
		return newQueueAgent(q, io), nil
	}
	if err := serve(ctx, d, open, ready); err != nil {
		return fmt.Errorf("queue agent: %w", err)
	}
	return nil
}

// SetRules gives the queue agent of a directory its rules and returns its status when
// they are in force.
func SetRules(ctx context.Context, dir string, r Rules) (Status, error) {
	a, err := call(ctx, dir, request{Do: doSet, Rules: &r})
	if err != nil {
		return Status{}, fmt.Errorf("set rules: %w", err)
	}
	return *a.Status, nil
}

// ErrUsage marks an error in what was asked for.
var ErrUsage = errors.New("bad arguments")
