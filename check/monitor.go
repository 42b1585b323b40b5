package check

import (
	"context"
	"sync"

	"github.com/ordeal-dev/ordeal/history"
)

// Monitor judges a history while it happens. It looks for what no later operation can
// undo, to end a test early; it never says that all is well, which only a Checker does, in
// the end.
type Monitor interface {
	// Observe is told every event, in the order of the history. It is quick.
	Observe(e history.Event)
	// Look says what was found in the events so far. now is the time of the test. It may
	// be called while Observe is, by one goroutine, and may take a while: until ctx ends
	// at most.
	Look(ctx context.Context, now history.Time) (Early, bool)
}

// Early is a violation that was found while a history happened.
type Early struct {
	Key history.Key
	// Event is the index of the first event with which the history broke the promise,
	// whatever came later, and At its time.
	Event int64
	At    history.Time
	Why   string
}

// idleAfter is how long a key is watched after its last event. What happens to it later
// is left to the judge at the end, so that what is remembered does not grow with the test:
// a few dozen bytes for each key that was left.
const idleAfter = history.Time(60e9)

// Recheck is a monitor that asks a checker about each key by itself, again and again. The
// checker has to find only what no later operation can undo. A key is asked about when it
// has grown by half, so that all looks together cost a few times what the last one
// does; when there is a violation, the event with which it began is searched for by
// halves. A key that has come to rest is asked about, too. It remembers the events of the
// keys that are in use, as bytes, because the garbage collector would else go through them
// again and again.
func Recheck(judge Checker) Monitor { return newRecheck(judge, false) }

// RecheckWhole is Recheck for a checker that judges all keys together, when they have grown
// by a quarter, and remembers all events.
func RecheckWhole(judge Checker) Monitor { return newRecheck(judge, true) }

func newRecheck(judge Checker, whole bool) *recheck {
	return &recheck{
		judge: judge, whole: whole, keys: make(map[history.Key]*watchedKey),
	}
}

type recheck struct {
	judge Checker
	whole bool

	mu   sync.Mutex // guards keys, touched and what they have
	keys map[history.Key]*watchedKey
	// touched are the keys with events that were not looked at.
	touched []*watchedKey
}

// watchedKey is what happened to one key.
type watchedKey struct {
	key    history.Key
	events history.Packed
	// open counts operations without a completion, checked the events that were looked
	// at; next is how many there have to be for the next look.
	open, checked, next int
	last                history.Time
	touched, gone       bool
}

// leastGrowth is by how many events a key has to grow at least, and restAfter after which
// time without events it is looked at although it did not.
const (
	leastGrowth = 16
	restAfter   = history.Time(1e9)
)

// Observe implements Monitor.
func (m *recheck) Observe(e history.Event) {
	if e.Process == history.Nemesis {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := e.Key
	if m.whole {
		key = ""
	}
	k := m.keys[key]
	if k == nil {
		k = &watchedKey{key: key, next: leastGrowth}
		m.keys[key] = k
	}
	if k.gone {
		return
	}
	k.events.Append(&e)
	k.last = e.Time
	if e.Type == history.Invoke {
		k.open++
	} else {
		k.open--
	}
	if !k.touched {
		k.touched = true
		m.touched = append(m.touched, k)
	}
}

// Look implements Monitor.
func (m *recheck) Look(ctx context.Context, now history.Time) (Early, bool) {
	m.mu.Lock()
	touched := m.touched
	m.touched = nil
	m.mu.Unlock()
	var again []*watchedKey
	for at, k := range touched {
		if ctx.Err() != nil {
			again = append(again, touched[at:]...)
			break
		}
		events, idle := m.take(k, now)
		if events.Len() > 0 {
			if e, found := m.check(ctx, k.key, events.Events()); found {
				return e, true
			}
		}
		if !idle {
			again = append(again, k)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched = append(m.touched, again...)
	return Early{}, false
}

// take returns the events of a key, none if it is too early for the next look. It reports
// whether the key is not watched any longer.
func (m *recheck) take(k *watchedKey, now history.Time) (events history.Packed, idle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := k.events.Len()
	rest := now - k.last
	idle = !m.whole && k.open == 0 && rest > idleAfter
	if n >= k.next || rest > restAfter && n > k.checked {
		events = k.events
		growth := n / 2
		if m.whole {
			growth = n / 4
		}
		k.checked, k.next = n, n+max(leastGrowth, growth)
	}
	if idle {
		k.events, k.gone = history.Packed{}, true
	}
	return events, idle
}

// check judges the events of a key, and finds the first that is one too many.
func (m *recheck) check(
	ctx context.Context, key history.Key, events []history.Event,
) (Early, bool) {
	why, bad := m.violates(ctx, events)
	if !bad {
		return Early{}, false
	}
	good, end := 0, len(events)
	for good+1 < end {
		half := (good + end) / 2
		if w, bad := m.violates(ctx, events[:half]); bad {
			end, why = half, w
		} else {
			good = half
		}
	}
	e := &events[end-1]
	return Early{Key: key, Event: e.Index, At: e.Time, Why: why}, true
}

func (m *recheck) violates(ctx context.Context, events []history.Event) (string, bool) {
	h, err := history.New(append([]history.Event(nil), events...)...)
	if err != nil {
		return "", false // the judge at the end will say what is wrong with it
	}
	r := m.judge.Check(ctx, h)
	return r.Reason, r.Verdict == Invalid
}
