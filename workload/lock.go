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
		doc: "Acquires a few locks for a time and releases them, some of them late, or lets them " +
			"run out; keeps some by renewing them, where that can be done. Sees two clients that " +
			"hold a lock at once by its contract, and tokens that do not rise.",
		object: "lock", fs: []history.F{Acquire, Release}, mutates: []history.F{Acquire},
		optional: []history.F{Renew},
		prefix:   "l", keys: 6, opsPerKey: 300, unbounded: true,
		keyOf:   func(o Options) Generator { return &lockKey{renews: o.Promise.Renews} },
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
	ttl     history.Time
	// until is when it is given back, and lapses when it runs out by itself.
	until, lapses history.Time
	// renew is when it is renewed next, 0 if it is not kept that way.
	renew   history.Time
	refused int // renewals, one after the other
}

// claim is an attempt to get a lock that has no answer yet.
type claim struct {
	process    history.Process
	since, ttl history.Time
}

// lockKey is one lock. Whoever has it keeps it for a while; then somebody gives it
// back, or, one time in five, nobody does and it runs out. One or two others wait
// for it shortly before.
//
// Where locks can be renewed, one in four is kept for seconds, longer than it takes to find a
// new leader, while others ask for it now and then; but none of the first few, so that
// locks change hands before anything goes wrong. A lock that comes when its time is over is
// renewed at once: either it is not held any more, or it is from then on.
//
// Some are slow: whoever gets the lock once more may give back what it had before,
// which is over and must not matter.
//
// Where a lock has a queue, an attempt of unknown outcome stays in it, and will hold
// the lock for its whole time although nobody knows. So attempts keep away until that
// is over: otherwise the dead would wait for the dead.
type lockKey struct {
	renews bool
	// holders are those who got the lock and have not given it back, past the last few that
	// are over.
	holders, past []held
	claims        []claim
	grants        int
	free          history.Time // when it will be free, as far as is known
	next          history.Time // of the next attempt
}

// The times of locks. A wait for somebody who gives the lock back should be shorter
// than the time limit of a request.
const (
	ttlLeast, ttlMost   = 300, 900  // ms
	ttlBrief            = 100       // ms, where locks can be renewed
	holdLeast, holdMost = 20, 150   // ms
	keepLeast, keepMost = 500, 5000 // ms
	tryLeast, tryMost   = 100, 900  // ms, between attempts to get what is kept
	lockWaiters         = 2
	lockPause           = history.Time(15 * time.Millisecond)
	lockAhead           = history.Time(100 * time.Millisecond) // of its becoming free
	// mostRefused is how often in a row a renewal may fail: through a fail-over, but not for
	// ever.
	mostRefused = 6
	// notKept are the first grants of a lock, which are all short.
	notKept = 5
	// pastLocks is how many tokens a lockKey remembers that are over.
	pastLocks = 12
)

func millis(least, most int, r Rand) history.Time {
	return history.Time(least+r.IntN(most-least)) * history.Time(time.Millisecond)
}

func (k *lockKey) Next(ctx Context) (Step, Generator) {
	for i, h := range k.holders {
		switch {
		case h.until <= ctx.Time:
			n := k.without(i)
			if h.until < h.lapses {
				return Do(Op{F: Release, Value: history.Int(h.token)}), n
			}
			return Pending(), n // it has run out; ask again
		case h.renew != 0 && h.renew <= ctx.Time:
			n := *k
			n.holders = slices.Clone(k.holders)
			n.holders[i].renew = ctx.Time + renewAfter(h.ttl, ctx.Rand.Split(2))
			return Do(Op{F: Renew, Value: history.Int(h.token)}), &n
		}
	}
	mine := slices.ContainsFunc(k.holders, func(h held) bool { return h.process == ctx.Process })
	if i := k.late(ctx.Process); mine && i >= 0 && ctx.Rand.Split(3).Chance(0.1) {
		n := *k
		n.past = slices.Delete(slices.Clone(k.past), i, i+1)
		return Do(Op{F: Release, Value: history.Int(k.past[i].token)}), &n
	}
	when := max(k.next, k.free-lockAhead)
	if ctx.Time < when || mine || len(k.claims) >= lockWaiters {
		return PendingUntil(k.wake(ctx.Time, when)), k
	}
	n := *k
	n.next = ctx.Time + history.Time(2*float64(lockPause)*ctx.Rand.Split(0).Float())
	least := ttlLeast
	if k.renews {
		least = ttlBrief
	}
	ttl := millis(least, ttlMost, ctx.Rand.Split(1))
	return Do(Op{F: Acquire, Value: history.Int(int64(ttl) / int64(time.Millisecond))}), &n
}

// renewAfter is a third of the time for which the lock was granted, on the average.
func renewAfter(ttl history.Time, r Rand) history.Time {
	return ttl/6 + history.Time(r.Float()*float64(ttl)/3)
}

// without returns the lock after a holder's time.
func (k *lockKey) without(i int) *lockKey {
	n := *k
	n.past = append(slices.Clip(k.past), k.holders[i])
	if extra := len(n.past) - pastLocks; extra > 0 {
		n.past = n.past[extra:]
	}
	n.holders = slices.Delete(slices.Clone(k.holders), i, i+1)
	return &n
}

// late is where a token of the process is that is over, -1 if there is none.
func (k *lockKey) late(p history.Process) int {
	return slices.IndexFunc(k.past, func(h held) bool { return h.process == p })
}

// wake is when there will be something to do.
func (k *lockKey) wake(now, attempt history.Time) (wake history.Time) {
	if attempt > now {
		wake = attempt
	}
	for _, h := range k.holders {
		wake = sooner(sooner(wake, h.until), h.renew)
	}
	return wake
}

func (k *lockKey) Update(ctx Context, ev history.Event) Generator {
	switch ev.F {
	case Acquire:
		return k.acquired(ctx, ev)
	case Renew:
		return k.renewed(ctx, ev)
	default:
		return k
	}
}

func (k *lockKey) acquired(ctx Context, ev history.Event) Generator {
	n := *k
	if ev.Type == history.Invoke {
		ttl, _ := ev.Value.AsInt()
		n.claims = append(slices.Clip(k.claims), claim{process: ev.Process, since: ctx.Time,
			ttl: history.Time(ttl) * history.Time(time.Millisecond)})
		return &n
	}
	i := slices.IndexFunc(k.claims, func(c claim) bool { return c.process == ev.Process })
	if i < 0 {
		return k
	}
	c := k.claims[i]
	n.claims = slices.Delete(slices.Clone(k.claims), i, i+1)
	token, isInt := ev.Value.Get("token").AsInt()
	switch {
	case ev.Type == history.Info:
		n.free = max(k.free, ctx.Time) + c.ttl + c.ttl/5
	case ev.Type == history.OK && isInt:
		h := held{process: ev.Process, token: token, ttl: c.ttl, lapses: ctx.Time + c.ttl}
		h.until = ctx.Time + millis(holdLeast, holdMost, ctx.Rand.Split(20))
		late := c.since+c.ttl <= ctx.Time
		switch draw := ctx.Rand.Split(21).Float(); {
		case draw < 0.2:
			h.until = h.lapses // forgotten
		case k.renews && (late || draw < 0.45 && k.grants >= notKept):
			h.keep(ctx, late)
		}
		n.grants++
		n.holders = append(slices.Clip(k.holders), h)
		n.free = h.until
		if h.renew != 0 {
			n.free = ctx.Time + millis(0, tryMost, ctx.Rand.Split(22))
		}
	case len(k.holders) > 0 && k.holders[0].renew != 0:
		n.next = ctx.Time + millis(tryLeast, tryMost, ctx.Rand.Split(23))
	}
	return &n
}

// keep has the lock renewed from now on; at once if it came late.
func (h *held) keep(ctx Context, late bool) {
	h.until = ctx.Time + millis(keepLeast, keepMost, ctx.Rand.Split(24))
	h.renew = ctx.Time
	if !late {
		h.renew += renewAfter(h.ttl, ctx.Rand.Split(25))
	}
}

func (k *lockKey) renewed(ctx Context, ev history.Event) Generator {
	i := k.holding(ev)
	if i < 0 || ev.Type == history.Invoke || ev.Type == history.Info {
		return k
	}
	if ev.Type == history.Fail && k.holders[i].refused+1 >= mostRefused {
		return k.without(i) // it is held no more
	}
	n := *k
	n.holders = slices.Clone(k.holders)
	h := &n.holders[i]
	if ev.Type == history.Fail {
		h.refused++
	} else {
		h.refused, h.lapses = 0, ctx.Time+h.ttl
	}
	return &n
}

// holding is where the holder is that a renewal is for, -1 if it is over.
func (k *lockKey) holding(ev history.Event) int {
	token, isInt := ev.Value.AsInt()
	if !isInt {
		token, _ = ev.Value.Get("token").AsInt() // a completion's
	}
	return slices.IndexFunc(k.holders, func(h held) bool { return h.token == token })
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
