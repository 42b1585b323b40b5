package workload

import (
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func lockWorkload() Workload {
	return spec{
		name: "lock",
		doc: "Acquires a few locks for a time and releases them, or lets them run out. Sees two " +
			"clients that hold a lock at once by its contract, and tokens that do not rise.",
		object: "lock", fs: []history.F{Acquire, Release}, mutates: []history.F{Acquire},
		prefix: "l", keys: 6, opsPerKey: 300, unbounded: true,
		newKey:  func() Generator { return &lockKey{} },
		readAll: func(Options) Generator { return Nothing() },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Lock(check.LockOptions{Drift: o.Promise.Drift})}
		},
		floors: map[history.F]int{Acquire: 5, Release: 5},
	}.workload()
}

func fencedWorkload() Workload {
	return spec{
		name: "fenced-register",
		doc: "Writes registers with tokens of a lock, some of them deliberately late, and reads " +
			"them. Sees an old token that is accepted after a newer one.",
		object: "fenced", fs: []history.F{Read, Write, Acquire, Release}, read: Read,
		mutates: []history.F{Write}, prefix: "f", keys: 8, opsPerKey: 120,
		newKey:  func() Generator { return &fencedKey{} },
		lasting: 2,
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Fenced(), check.Linearizable("fenced-register", o.Check)}
		},
		floors: map[history.F]int{Read: 20, Write: 20, Acquire: 5},
	}.workload()
}

func uniqueIDsWorkload() Workload {
	return spec{
		name: "unique-ids",
		doc: "Asks for ids: tokens of locks, or what a counter holds after it was counted up. " +
			"Sees ids that are given out twice, or do not rise where that is promised.",
		object: "ids", fs: []history.F{Generate}, mutates: []history.F{Generate},
		prefix: "ids", keys: 1, opsPerKey: 1, unbounded: true,
		// One key, because a counter's numbers are unique for themselves only.
		main: func(Options, string) Generator {
			return Func(func(Context) Op { return Op{F: Generate, Key: "ids"} })
		},
		readAll: func(Options) Generator { return Nothing() },
		monitor: func(o Options) check.Monitor {
			if o.Promise.Unordered {
				return check.Recheck(check.UniqueIDs())
			}
			return check.MonitorIDs()
		},
		judge: func(o Options) []check.Checker {
			if o.Promise.Unordered {
				return []check.Checker{check.UniqueIDs()}
			}
			return []check.Checker{check.UniqueIDs(), check.IncreasingIDs()}
		},
		floors: map[history.F]int{Generate: 20},
	}.workload()
}

// held is a lock that somebody has.
type held struct {
	process history.Process
	token   int64
	// until is when it is given back, and lapses when it runs out by itself.
	until, lapses history.Time
}

// claim is an attempt to get a lock that has no answer yet.
type claim struct {
	process history.Process
	ttl     history.Time
}

// lockKey is one lock. Whoever has it keeps it for a while; then somebody gives it
// back, or, one time in five, nobody does and it runs out. One or two others wait
// for it shortly before.
//
// Where a lock has a queue, an attempt of unknown outcome stays in it, and will hold
// the lock for its whole time although nobody knows. So attempts keep away until that
// is over: otherwise the dead would wait for the dead.
type lockKey struct {
	// holders are those who got the lock and have not given it back.
	holders []held
	claims  []claim
	free    history.Time // when it will be free, as far as is known
	next    history.Time // of the next attempt
}

// The times of locks. A wait for somebody who gives the lock back should be shorter
// than the time limit of a request.
const (
	ttlLeast, ttlMost   = 300, 900 // ms
	holdLeast, holdMost = 20, 150  // ms
	lockWaiters         = 2
	lockPause           = history.Time(15 * time.Millisecond)
	lockAhead           = history.Time(100 * time.Millisecond) // of its becoming free
)

func millis(least, most int, r Rand) history.Time {
	return history.Time(least+r.IntN(most-least)) * history.Time(time.Millisecond)
}

func (k *lockKey) Next(ctx Context) (Step, Generator) {
	for i, h := range k.holders {
		if h.until > ctx.Time {
			continue
		}
		n := *k
		n.holders = slices.Delete(slices.Clone(k.holders), i, i+1)
		if h.until < h.lapses {
			return Do(Op{F: Release, Value: history.Int(h.token)}), &n
		}
		return Pending(), &n // it has run out; ask again
	}
	mine := slices.ContainsFunc(k.holders, func(h held) bool { return h.process == ctx.Process })
	when := max(k.next, k.free-lockAhead)
	if ctx.Time < when || mine || len(k.claims) >= lockWaiters {
		return PendingUntil(k.wake(ctx.Time, when)), k
	}
	n := *k
	n.next = ctx.Time + history.Time(2*float64(lockPause)*ctx.Rand.Split(0).Float())
	ttl := millis(ttlLeast, ttlMost, ctx.Rand.Split(1))
	return Do(Op{F: Acquire, Value: history.Int(int64(ttl) / int64(time.Millisecond))}), &n
}

// wake is when there will be something to do.
func (k *lockKey) wake(now, attempt history.Time) (wake history.Time) {
	if attempt > now {
		wake = attempt
	}
	for _, h := range k.holders {
		wake = sooner(wake, h.until)
	}
	return wake
}

func (k *lockKey) Update(ctx Context, ev history.Event) Generator {
	if ev.F != Acquire {
		return k
	}
	n := *k
	if ev.Type == history.Invoke {
		ttl, _ := ev.Value.AsInt()
		n.claims = append(slices.Clip(k.claims), claim{process: ev.Process,
			ttl: history.Time(ttl) * history.Time(time.Millisecond)})
		return &n
	}
	i := slices.IndexFunc(k.claims, func(c claim) bool { return c.process == ev.Process })
	if i < 0 {
		return k
	}
	ttl := k.claims[i].ttl
	n.claims = slices.Delete(slices.Clone(k.claims), i, i+1)
	token, isInt := ev.Value.Get("token").AsInt()
	switch {
	case ev.Type == history.Info:
		n.free = max(k.free, ctx.Time) + ttl + ttl/5
	case ev.Type == history.OK && isInt:
		h := held{process: ev.Process, token: token, lapses: ctx.Time + ttl}
		h.until = ctx.Time + millis(holdLeast, holdMost, ctx.Rand.Split(20))
		if ctx.Rand.Split(21).Chance(0.2) {
			h.until = h.lapses // forgotten
		}
		n.holders = append(slices.Clip(k.holders), h)
		n.free = h.until
	}
	return &n
}

// fencedKey is a register with the lock that guards it. Tokens are used long after
// they have run out, that being what fencing is for.
type fencedKey struct {
	tokens  []int64 // the last few, in the order in which they were granted
	written int64
	asking  int
	held    int64        // a token that has not been given back
	since   history.Time // when it was granted
	next    history.Time // of the next attempt to get one, see lockKey
}

// recentTokens is how many tokens a fencedKey remembers.
const recentTokens = 4

func (k *fencedKey) Next(ctx Context) (Step, Generator) {
	n := *k
	draw := ctx.Rand.Split(0).Float()
	switch {
	case k.held != 0 && ctx.Time-k.since > history.Time(100*time.Millisecond):
		n.held = 0
		return Do(Op{F: Release, Value: history.Int(k.held)}), &n
	case k.asking == 0 && k.held == 0 && ctx.Time >= k.next &&
		(len(k.tokens) == 0 || draw < 0.2):
		return Do(Op{F: Acquire, Value: history.Int(ttlLeast)}), &n
	case len(k.tokens) == 0 || draw < 0.55:
		return Do(Op{F: Read}), &n
	}
	at := len(k.tokens) - 1
	if ctx.Rand.Split(1).Chance(0.35) {
		at = ctx.Rand.Split(2).IntN(len(k.tokens))
	}
	n.written++
	return Do(Op{F: Write, Value: history.Pair(k.tokens[at], n.written)}), &n
}

func (k *fencedKey) Update(ctx Context, ev history.Event) Generator {
	if ev.F != Acquire {
		return k
	}
	n := *k
	if ev.Type == history.Invoke {
		n.asking++
		return &n
	}
	n.asking--
	token, isInt := ev.Value.Get("token").AsInt()
	if ev.Type != history.OK || !isInt {
		n.next = ctx.Time + 2*history.Time(ttlLeast)*history.Time(time.Millisecond)
		return &n
	}
	n.tokens = append(slices.Clone(k.tokens), token)
	if extra := len(n.tokens) - recentTokens; extra > 0 {
		n.tokens = n.tokens[extra:]
	}
	n.held, n.since = token, ctx.Time
	return &n
}
