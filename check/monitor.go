package check

import (
	"context"
	"slices"
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
// by a quarter. Keys that nobody uses any longer are left out: whatever holds for all keys
// together has to hold for a part of them, too.
func RecheckWhole(judge Checker) Monitor { return newRecheck(judge, true) }

func newRecheck(judge Checker, whole bool) *recheck {
	return &recheck{
		judge: judge, whole: whole, keys: make(map[history.Key]*watchedKey),
		left: make(map[history.Key]bool), least: leastForgotten,
	}
}

type recheck struct {
	judge Checker
	whole bool
	// least is how many events there have to be until it is worth it to look for those that
	// can be left out.
	least int

	mu   sync.Mutex // guards keys, touched and what they have
	keys map[history.Key]*watchedKey
	// touched are the keys with events that were not looked at.
	touched []*watchedKey

	// The rest belongs to Look: a list of events that it uses again and again, and the
	// keys that nobody uses any longer, where all are judged together.
	events []history.Event
	left   map[history.Key]bool
}

// watchedKey is what happened to one key.
type watchedKey struct {
	key history.Key
	// fresh are the events that were not looked at.
	fresh history.Packed
	// open counts operations without a completion, checked the events that were looked
	// at; next is how many there have to be for the next look.
	open, checked, next int
	last                history.Time
	touched, gone       bool

	// looked are the events that were looked at, and forget how many there have to be for the
	// next look for what can be left out. Both belong to Look.
	looked []history.Packed
	forget int
}

// leastGrowth is by how many events a key has to grow at least, and restAfter after which
// time without events it is looked at although it did not.
const (
	leastGrowth    = 16
	restAfter      = history.Time(1e9)
	leastForgotten = 4096
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
		k = &watchedKey{key: key, next: leastGrowth, forget: m.least}
		m.keys[key] = k
	}
	if k.gone {
		return
	}
	k.fresh.Append(&e)
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
	again, found, bad := m.lookAt(ctx, touched, now, false)
	if bad { // a key that was not due may have broken it before
		rest, e, worse := m.lookAt(ctx, again, now, true)
		if again = rest; worse && e.Event < found.Event {
			found = e
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched = append(m.touched, again...)
	return found, bad
}

// lookAt looks at some keys, those that are due or all, and returns the first violation, and
// the keys that are still watched.
func (m *recheck) lookAt(
	ctx context.Context, keys []*watchedKey, now history.Time, all bool,
) (again []*watchedKey, first Early, bad bool) {
	for at, k := range keys {
		if ctx.Err() != nil {
			return append(again, keys[at:]...), first, bad
		}
		due, idle := m.take(k, now, all)
		if due {
			if e, found := m.look(ctx, k, now); found && (!bad || e.Event < first.Event) {
				first, bad = e, true
			}
		}
		if idle {
			k.looked = nil
		} else {
			again = append(again, k)
		}
	}
	return again, first, bad
}

// take moves the fresh events of a key to those that are looked at, if it is time for a
// look, or one is wanted. It reports that, and whether the key is not watched any longer.
func (m *recheck) take(k *watchedKey, now history.Time, wanted bool) (due, idle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := k.checked + k.fresh.Len()
	rest := now - k.last
	idle = !m.whole && k.open == 0 && rest > idleAfter
	if due = n > k.checked && (n >= k.next || rest > restAfter || wanted); due {
		k.looked, k.fresh = append(k.looked, k.fresh), history.Packed{}
		k.grown(n, m.whole)
	}
	k.gone = idle
	return due, idle
}

// grown notes that n events were looked at.
func (k *watchedKey) grown(n int, whole bool) {
	growth := n / 2
	if whole {
		growth = n / 4
	}
	k.checked, k.next = n, n+max(leastGrowth, growth)
}

// look judges a key, and leaves out what will not be needed again.
func (m *recheck) look(ctx context.Context, k *watchedKey, now history.Time) (Early, bool) {
	m.events = m.events[:0]
	for _, part := range k.looked {
		m.events = part.AppendTo(m.events)
	}
	if len(m.left) > 0 {
		m.events = slices.DeleteFunc(m.events, func(e history.Event) bool { return m.left[e.Key] })
	}
	if e, found := m.check(ctx, k.key, m.events); found {
		return e, true
	}
	if m.whole && len(m.events) >= k.forget && ctx.Err() == nil {
		m.forget(k, now)
	}
	return Early{}, false
}

// forget leaves out the keys that nobody has used for a while, for ever. The events are those
// that were looked at.
func (m *recheck) forget(k *watchedKey, now history.Time) {
	type use struct {
		last history.Time
		open int
	}
	uses := make(map[history.Key]use)
	for i := range m.events {
		e := &m.events[i]
		u := uses[e.Key]
		u.last = e.Time
		if e.Type == history.Invoke {
			u.open++
		} else {
			u.open--
		}
		uses[e.Key] = u
	}
	for key, u := range uses {
		if u.open == 0 && now-u.last > idleAfter {
			m.left[key] = true
		}
	}
	var rest history.Packed
	for i := range m.events {
		if e := &m.events[i]; !m.left[e.Key] {
			rest.Append(e)
		}
	}
	k.looked, k.forget = append(k.looked[:0], rest), max(m.least, 2*rest.Len())
	m.mu.Lock()
	defer m.mu.Unlock()
	k.grown(rest.Len(), true)
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
	h, err := history.New(events...)
	if err != nil {
		return "", false // the judge at the end will say what is wrong with it
	}
	r := m.judge.Check(ctx, h)
	return r.Reason, r.Verdict == Invalid
}
