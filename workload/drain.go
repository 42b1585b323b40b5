package workload

import (
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// drain does one operation on every key again and again, until it is done with it.
type drain struct {
	keys *finalReads // which keys there are
	op   history.F
	// done reports whether an answer ends the work on a key.
	done func(history.Event) bool
	// pause is the time between two attempts on one key that failed.
	pause history.Time

	next   int64
	again  []retry
	flight []retry
}

// retry is a key that is being worked on, or will be.
type retry struct {
	try
	notBefore history.Time
}

// Drain takes out of every key that a test of Independent has used, prefix0,
// prefix1, …, until the key is found empty; of very many keys it takes a choice, as
// FinalReads does. A key on which it fails several times in a row is given up. It has
// to be told of the events of the test.
func Drain(prefix string, take history.F, limit int) Generator {
	return &drain{
		keys: &finalReads{prefix: prefix, limit: max(2, limit)}, op: take,
		done: func(ev history.Event) bool {
			return ev.Type == history.Fail && strings.HasPrefix(ev.Error, models.CodeEmpty) ||
				ev.Type == history.OK && ev.Value.IsNil()
		},
	}
}

// Persist does one operation on every key, as Drain does, and repeats it, with
// pauses, until it succeeds or has failed many times.
func Persist(prefix string, op history.F, limit int, pause time.Duration) Generator {
	return &drain{
		keys: &finalReads{prefix: prefix, limit: max(2, limit)}, op: op,
		pause: history.Time(pause),
		done:  func(ev history.Event) bool { return ev.Type == history.OK },
	}
}

// maxRetries is how often in a row an operation on a key may fail.
const maxRetries = 9

func (d *drain) Next(ctx Context) (Step, Generator) {
	n := *d
	var now retry
	ready := slices.IndexFunc(d.again, func(r retry) bool { return r.notBefore <= ctx.Time })
	switch {
	case ready >= 0:
		now = d.again[ready]
		n.again = slices.Delete(slices.Clone(d.again), ready, ready+1)
	case d.next < d.keys.count():
		now.key = d.keys.name(d.keys.number(d.next))
		n.next++
	case len(d.flight) > 0 || len(d.again) > 0:
		var wake history.Time
		for _, r := range d.again {
			wake = sooner(wake, r.notBefore)
		}
		return hold(d, wake)
	default:
		return over()
	}
	now.process = ctx.Process
	n.flight = append(slices.Clip(d.flight), now)
	return Do(Op{F: d.op, Key: now.key}), &n
}

func (d *drain) Update(ctx Context, ev history.Event) Generator {
	i := slices.IndexFunc(d.flight, func(r retry) bool {
		return r.process == ev.Process && r.key == ev.Key
	})
	if ev.Type == history.Invoke || i < 0 {
		keys, same := d.keys.Update(ctx, ev).(*finalReads)
		if !same || keys == d.keys || d.next > 0 {
			return d
		}
		n := *d
		n.keys = keys
		return &n
	}
	n := *d
	ended := d.flight[i]
	n.flight = slices.Delete(slices.Clone(d.flight), i, i+1)
	if d.done(ev) {
		return &n
	}
	if ended.count++; ev.Type == history.OK {
		ended.count = 0
	} else {
		ended.notBefore = ctx.Time + d.pause
	}
	if ended.count < maxRetries {
		n.again = append(slices.Clip(d.again), ended)
	}
	return &n
}
