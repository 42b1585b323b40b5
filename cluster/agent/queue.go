package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// packetIO is where packets come from and verdicts go to.
type packetIO interface {
	sink
	// read waits for packets, which are good until the next call. After interrupt it
	// returns none.
	read() ([]arrival, error)
	interrupt() error
	// drain returns packets that wait already, and none when there is none.
	drain() ([]arrival, error)
	// flush sends what the sink has collected.
	flush() error
	// missed is how many packets went past the agent.
	missed() int64
	close() error
}

// finishBatches bounds how much is still looked at in the end, should packets come as
// fast as they are let go.
const finishBatches = 1000

// QueueConfig is what a queue agent is started with.
type QueueConfig struct {
	// Number is that of the iptables rule's --queue-num.
	Number uint16
	// Mark is on the packets that the agent sends itself.
	Mark uint32
	// Seed decides all choices.
	Seed uint64
}

// queueAgent is the engine between a packetIO and the controller.
type queueAgent struct {
	cfg  QueueConfig
	io   packetIO
	base time.Time
	wake chan struct{} // capacity 1: something is due earlier than before

	mu     sync.Mutex
	engine *engine
	rules  Rules
}

// newQueueAgent makes an agent; packets flow with run.
func newQueueAgent(cfg QueueConfig, io packetIO) *queueAgent {
	return &queueAgent{
		cfg: cfg, io: io, base: time.Now(), wake: make(chan struct{}, 1),
		engine: newEngine(cfg.Seed, io),
	}
}

func (a *queueAgent) now() time.Duration { return time.Since(a.base) }

// run decides about packets until ctx ends; then it lets go what is held back.
func (a *queueAgent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var timerErr, readErr error
	wg.Go(crash.Guard(func() {
		defer cancel()
		timerErr = a.timer(ctx)
	}))
	wg.Go(crash.Guard(func() {
		defer cancel()
		readErr = a.reader()
	}))
	<-ctx.Done()
	err := a.io.interrupt()
	wg.Wait()
	return errors.Join(timerErr, readErr, err, a.finish(), a.io.close())
}

// finish lets go what is held back and what the kernel has handed over meanwhile. What
// it hands over from then on is lost: whoever minds takes the iptables rule away first.
func (a *queueAgent) finish() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.engine.release()
	a.engine.calm()
	for range finishBatches {
		batch, err := a.io.drain()
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		for _, p := range batch {
			a.engine.receive(a.now(), p)
		}
	}
	return a.io.flush()
}

// reader hands what comes to the engine until it is interrupted.
func (a *queueAgent) reader() error {
	for {
		batch, err := a.io.read()
		if err != nil || batch == nil {
			return err
		}
		if err := a.decide(batch); err != nil {
			return err
		}
	}
}

func (a *queueAgent) decide(batch []arrival) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, waiting := a.engine.next()
	now := a.now()
	for _, p := range batch {
		a.engine.receive(now, p)
	}
	if due, ok := a.engine.next(); ok && (!waiting || due < before) {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return a.io.flush()
}

// timer lets go what is due.
func (a *queueAgent) timer(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, err := a.advance()
		if err != nil {
			return err
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// advance lets go what is due now and returns how long nothing else is.
func (a *queueAgent) advance() (time.Duration, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.engine.advance(a.now())
	if err := a.io.flush(); err != nil {
		return 0, err
	}
	if due, ok := a.engine.next(); ok {
		return due - a.now(), nil
	}
	return time.Hour, nil
}

// set puts rules in force, unless newer ones are.
func (a *queueAgent) set(r Rules) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("rules of generation %d: %w", r.Generation, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.Generation < a.rules.Generation:
		return fmt.Errorf("rules of generation %d: those of %d are in force",
			r.Generation, a.rules.Generation)
	case r.Generation == a.rules.Generation && !reflect.DeepEqual(r, a.rules):
		return fmt.Errorf("rules of generation %d: others of that generation are in force",
			r.Generation)
	case r.Generation == a.rules.Generation:
		return nil
	}
	a.rules = r
	a.engine.setRules(r)
	return nil
}

func (a *queueAgent) status() *QueueStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.engine.status()
	s.Number, s.Mark = a.cfg.Number, a.cfg.Mark
	s.Stats.Missed = a.io.missed()
	return &s
}
