package workload

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// outcome is what a worker hands in.
type outcome struct {
	event   history.Event // the completion
	quiet   bool          // it was a step without events
	nothing bool          // there was none
}

// worker is the goroutine of one thread. When its client hangs it is abandoned,
// and another worker takes over the thread.
type worker struct {
	r      *runner
	thread int
	log    *history.Log
	client Client
	fails  int // in a row

	// Guarded by the runner's mu, or handed over through wake.
	op      Op
	process history.Process
	given   bool
	waiting bool
	wake    *vtime.Gate

	mu        sync.Mutex // guards the rest, and that a call is recorded once
	call      history.Event
	calling   bool // the call is neither complete nor given up
	invoked   bool // and its invocation is recorded
	deadline  history.Time
	abandoned bool
}

func newWorker(r *runner, thread int, log *history.Log) *worker {
	return &worker{r: r, thread: thread, log: log, wake: vtime.NewGate(r.ops)}
}

// give hands the worker an operation. The caller holds the runner's mu.
func (w *worker) give(op Op, p history.Process) {
	w.op, w.process, w.given = op, p, true
	if w.waiting {
		w.waiting = false
		w.wake.Open()
	}
}

// dismiss wakes the worker because there is nothing more to do. The caller holds
// the runner's mu.
func (w *worker) dismiss() {
	w.given = false
	if w.waiting {
		w.waiting = false
		w.wake.Open()
	}
}

func (w *worker) work() {
	op, ok := w.r.next(w, outcome{nothing: true})
	for ok {
		did, mine := w.do(op)
		if !mine {
			// Whoever took over the thread answers for it, and Run may have
			// returned long ago.
			w.closeNow(w.client)
			return
		}
		op, ok = w.r.next(w, did)
	}
	w.close()
	w.r.threads.End()
}

// do performs a step. It reports false when the worker has been abandoned
// meanwhile.
func (w *worker) do(op Op) (did outcome, mine bool) {
	switch op.Kind {
	case OpSleep:
		ns, _ := op.Value.AsInt()
		w.pause(time.Duration(ns))
		return outcome{quiet: true}, true
	case OpLog:
		text, _ := op.Value.AsString()
		w.r.cfg.Logger.Info(text)
		return outcome{quiet: true}, true
	}
	ev := history.Event{Process: w.process, F: op.F, Key: op.Key, Value: op.Value}
	w.begin(ev)
	if w.client == nil {
		client, err := w.open()
		if err != nil {
			return w.noClient(err)
		}
		w.client = client
	}
	if !w.invoke() {
		return outcome{}, false
	}
	result, err := w.perform(ev)
	return w.complete(result, err)
}

// begin notes that the thread is on its way to call the system.
func (w *worker) begin(ev history.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.call, w.calling, w.invoked = ev, true, false
	within := w.r.cfg.Timeout
	if w.client == nil {
		within = w.r.cfg.OpenTimeout
	}
	w.deadline = w.r.cfg.Recorder.Now() + history.Time(within)
}

// invoke records the invocation. Nothing that takes time may come between it and
// the call.
func (w *worker) invoke() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return false
	}
	w.recordInvoke()
	return true
}

func (w *worker) recordInvoke() {
	w.r.cfg.Stats.count(history.Invoke)
	w.invoked = true
	w.call.Type = history.Invoke
	now := w.log.Record(w.call)
	w.deadline = now + history.Time(w.r.cfg.Timeout)
}

// record writes the completion.
func (w *worker) record(t history.Type, value history.Value, message string) outcome {
	w.calling = false
	w.call.Type, w.call.Value, w.call.Error = t, value, message
	w.call.Time = w.log.Record(w.call)
	w.r.cfg.Stats.count(t)
	return outcome{event: w.call}
}

// open opens a client, in the time that there is for that.
func (w *worker) open() (client Client, err error) {
	ctx, cancel := vtime.WithTimeout(w.r.ops, w.r.cfg.OpenTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			w.r.cfg.Logger.Error("opening a client panicked",
				"thread", w.thread, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	client, err = w.r.cfg.Open(ctx, w.thread)
	if err == nil && client == nil {
		err = errors.New("opener returned no client")
	}
	return client, err
}

// noClient ends an operation for which there is no client. Nothing was sent, so it
// has failed for certain.
func (w *worker) noClient(err error) (outcome, bool) {
	w.mu.Lock()
	if w.abandoned {
		w.mu.Unlock()
		return outcome{}, false
	}
	w.recordInvoke()
	did := w.record(history.Fail, history.Nil(), clip("no client: "+err.Error()))
	w.mu.Unlock()
	w.pause(w.r.cfg.Backoff)
	return did, true
}

// perform calls the system.
func (w *worker) perform(ev history.Event) (result history.Event, err error) {
	ctx, cancel := vtime.WithTimeout(w.r.ops, w.r.cfg.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			w.r.cfg.Logger.Error("client panicked", "thread", w.thread, "f", ev.F,
				"key", ev.Key, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("client panicked: %v", p)
		}
	}()
	return w.client.Invoke(ctx, ev)
}

// patience is the number of failures in a row after which a thread slows down.
const patience = 8

// complete records how the call ended.
func (w *worker) complete(result history.Event, err error) (outcome, bool) {
	w.mu.Lock()
	if w.abandoned {
		w.mu.Unlock()
		return outcome{}, false
	}
	var did outcome
	switch {
	case err == nil:
		did = w.record(history.OK, result.Value, "")
	case history.IsDefinite(err):
		did = w.record(history.Fail, history.Nil(), clip(err.Error()))
	default:
		did = w.record(history.Info, history.Nil(), clip(err.Error()))
	}
	w.mu.Unlock()

	if did.event.Type == history.Info {
		w.close() // the new process gets a new client
	}
	if did.event.Type != history.Fail {
		w.fails = 0
	} else if w.fails++; w.fails > patience {
		w.pause(min(w.r.cfg.Backoff, time.Millisecond<<min(w.fails-patience, 20)))
	}
	return did, true
}

// abandon gives up a call that did not end in the grace after its deadline, or
// after cut, if that is not zero, and returns its completion.
func (w *worker) abandon(now, cut history.Time) (did outcome, hangs bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := sooner(w.deadline, cut) + history.Time(w.r.cfg.Grace)
	if !w.calling || now <= end {
		return outcome{}, false
	}
	w.abandoned = true
	if !w.invoked {
		w.recordInvoke()
		return w.record(history.Fail, history.Nil(), "no client: opener hangs"), true
	}
	return w.record(history.Info, history.Nil(), "client hangs"), true
}

// pause waits, but not beyond the end of the run.
func (w *worker) pause(d time.Duration) { vtime.Sleep(w.r.resting, d) }

// close closes the client, if there is one, without waiting for it.
func (w *worker) close() {
	client := w.client
	w.client = nil
	if client != nil {
		w.r.helpers.Add(func() { w.closeNow(client) })
	}
}

func (w *worker) closeNow(client Client) {
	if client == nil {
		return
	}
	logger := w.r.cfg.Logger.With("thread", w.thread)
	defer func() {
		if p := recover(); p != nil {
			logger.Error("closing a client panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if err := client.Close(); err != nil {
		logger.Debug("close client", "error", err)
	}
}

// maxMessage is the length of an error message in a history, in bytes. It comes
// from the system under test, which owes nobody brevity.
const maxMessage = 500

func clip(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
