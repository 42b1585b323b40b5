package workload

import (
	"slices"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// KeysConfig says how a test moves through its keys. Checking one key is cheap as
// long as it has few operations, few of them at the same time and few of unknown
// outcome, so a test uses many keys, one after the other.
type KeysConfig struct {
	// Prefix names the keys: "r" makes r0, r1, …
	Prefix string
	// Live is the number of keys that are in use at a time.
	Live int
	// PerKey is the greatest number of concurrent operations on a live key.
	PerKey int
	// Ops is the number of operations after which a key is retired. Operations
	// that failed for certain do not count, unless they are too many.
	Ops int
	// Unknown is the greatest number of mutations of unknown outcome on a key. A
	// key that reaches it is retired, and before that a mutation becomes a read
	// (or waits, if there is none) if, with those in flight, it could exceed it.
	// 0 is no limit.
	Unknown int
	// Burst is how many operations a key gets in a row before its turn ends.
	Burst int
	// Slow of the live keys, but never all, rest between their bursts, for Rest
	// on the average, so that they live through a whole fault window and longer.
	Slow int
	Rest time.Duration
	// ReRead is the share of operations that read a retired key, which reveals
	// writes that were lost after their key had gone out of use.
	ReRead float64
	// Epochs retires keys at the end of a fault window, except for a share of
	// Survive that lives until the end of the next: what an old leader left
	// behind shows after healing.
	Epochs  bool
	Survive float64
	// Read is the F of a read, empty if there is none, and Mutates are the Fs that
	// change the object.
	Read    history.F
	Mutates []history.F
	// New returns the generator of one key's operations. Their Key is set by
	// Independent. When it is done the key is retired.
	New func() Generator
}

type independent struct {
	cfg    *KeysConfig
	keys   []*liveKey
	active []turn
	next   int64 // the number of the next fresh key
	epoch  int64
	stale  bool // a key has to be retired
}

// liveKey is the state of one key in use. It is never changed, only replaced.
type liveKey struct {
	number    int64
	name      history.Key
	gen       Generator
	ops       int
	attempts  int
	inFlight  int
	mutating  int
	unknown   int
	extra     int // epochs that it survives
	slow      bool
	over      bool
	notBefore history.Time
}

// turn is a place in the light: a key in it receives operations, left of them.
type turn struct {
	key  int64 // its number, -1 for none
	left int
}

// Independent runs a generator on many keys: a few are live at a time, and of
// those about one for every PerKey threads is worked on by several threads at
// once, in bursts; the others rest meanwhile. Which thread works which key is left
// to chance, so the threads on a key are on different nodes as well as, sometimes,
// on the same.
func Independent(cfg KeysConfig) Generator { return &independent{cfg: &cfg} }

func (s *independent) Next(ctx Context) (Step, Generator) {
	if s.stale || s.keys == nil || ctx.Epoch != s.epoch {
		s = s.refresh(ctx)
	}
	if s.cfg.Read != "" && ctx.Rand.Split(0).Chance(s.cfg.ReRead) {
		if key, ok := s.retired(ctx.Rand.Split(1)); ok {
			return Do(Op{F: s.cfg.Read, Key: key}), s
		}
	}
	var wake history.Time
	draw := ctx.Rand.Split(2)
	first := draw.IntN(len(s.active))
	for i := range s.active {
		a := (first + i) % len(s.active)
		k, at := s.choose(ctx, a, draw.Split(uint64(i)))
		if k < 0 {
			wake = sooner(wake, at)
			continue
		}
		step, next := s.work(ctx, a, k)
		for j := 1; j < len(s.keys) && idle(s, step, next); j++ {
			// That key has nothing to do now, and keeps nobody from another one.
			wake = sooner(wake, step.Op.At)
			if other := (k + j) % len(s.keys); s.free(ctx, s.keys[other]) {
				step, next = s.work(ctx, a, other)
			}
		}
		if !idle(s, step, next) {
			return step, next
		}
		wake = sooner(wake, step.Op.At)
	}
	return hold(s, wake)
}

// idle reports whether g was asked, and has nothing to do now.
func idle(g Generator, step Step, next Generator) bool {
	return step.Kind == StepPending && same(g, next)
}

// free reports whether a key can get a turn.
func (s *independent) free(ctx Context, k *liveKey) bool {
	return k.inFlight < s.cfg.PerKey && !s.isActive(k.number) && k.notBefore <= ctx.Time
}

// refresh retires keys and replaces them with fresh ones.
func (s *independent) refresh(ctx Context) *independent {
	n := *s
	n.stale, n.epoch = false, ctx.Epoch
	if s.keys == nil {
		n.keys = make([]*liveKey, s.cfg.Live)
		n.active = make([]turn, max(1, (ctx.Scope()+s.cfg.PerKey-1)/s.cfg.PerKey))
		for i := range n.active {
			n.active[i].key = -1
		}
	} else {
		n.keys = slices.Clone(s.keys)
	}
	ended := s.keys != nil && ctx.Epoch != s.epoch && s.cfg.Epochs
	for i, k := range n.keys {
		switch {
		case k == nil || k.over || ended && k.extra == 0:
			n.keys[i] = s.fresh(n.next, ctx.Rand.Split(3).Split(uint64(i)))
			// The places of the slow keys are fixed. Were it left to chance,
			// they would all be slow in the end, because slow keys stay.
			n.keys[i].slow = i < min(s.cfg.Slow, s.cfg.Live-1)
			n.next++
		case ended:
			older := *k
			older.extra--
			n.keys[i] = &older
		}
	}
	return &n
}

func (s *independent) name(number int64) history.Key {
	return history.Key(s.cfg.Prefix + strconv.FormatInt(number, 10))
}

func (s *independent) fresh(number int64, r Rand) *liveKey {
	k := &liveKey{number: number, name: s.name(number), gen: s.cfg.New()}
	if r.Chance(s.cfg.Survive) {
		k.extra = 1
	}
	return k
}

// retired chooses a key that is no longer live: half the time one of the last.
func (s *independent) retired(r Rand) (history.Key, bool) {
	if s.next <= int64(len(s.keys)) {
		return "", false
	}
	number := int64(r.Split(0).IntN(int(s.next)))
	if r.Split(1).Chance(0.5) {
		recent := int(min(s.next, int64(4*len(s.keys))))
		number = s.next - 1 - int64(r.Split(2).IntN(recent))
	}
	for _, k := range s.keys {
		if k.number == number {
			return "", false
		}
	}
	return s.name(number), true
}

// choose returns the position of the key that is worked on in turn a, after
// finding another one if that turn is over. It returns -1 when there is no key
// that could take an operation, and when to try again, if that is known.
func (s *independent) choose(ctx Context, a int, r Rand) (position int, wake history.Time) {
	if s.active[a].key >= 0 {
		for i, k := range s.keys {
			if k.number == s.active[a].key && k.inFlight < s.cfg.PerKey {
				return i, 0
			}
			if k.number == s.active[a].key {
				return -1, 0
			}
		}
	}
	found := 0
	position = -1
	for i, k := range s.keys {
		switch {
		case k.inFlight >= s.cfg.PerKey || s.isActive(k.number):
		case k.notBefore > ctx.Time:
			wake = sooner(wake, k.notBefore)
		default:
			found++
			if r.Split(uint64(i)).IntN(found) == 0 {
				position = i
			}
		}
	}
	return position, wake
}

func (s *independent) isActive(number int64) bool {
	for _, t := range s.active {
		if t.key == number {
			return true
		}
	}
	return false
}

// work gives an operation on the key at position k, in turn a.
func (s *independent) work(ctx Context, a, k int) (Step, Generator) {
	key := s.keys[k]
	inner := ctx
	inner.Rand = ctx.Rand.Split(4)
	step, next := key.gen.Next(inner)
	n := *s
	n.active = slices.Clone(s.active)
	older := *key
	switch step.Kind {
	case StepBroken:
		return step, s
	case StepDone:
		older.over, n.stale = true, true
		n.keys = slices.Clone(s.keys)
		n.keys[k] = &older
		n.active[a] = turn{key: -1}
		return Pending(), &n // changed, so it is asked again at once
	case StepPending:
		if same(key.gen, next) {
			return step, s
		}
	case StepOp:
		if s.mutates(step.Op.F) && s.cfg.Unknown > 0 && key.unknown+key.mutating >= s.cfg.Unknown {
			if s.cfg.Read == "" {
				return Pending(), s // until one of those in flight has ended
			}
			step, next = Do(Op{F: s.cfg.Read}), key.gen
		}
		step.Op.Key = key.name
		n.active[a] = s.spend(ctx, s.active[a], &older)
	}
	if !same(key.gen, next) || older.notBefore != key.notBefore {
		older.gen = next
		n.keys = slices.Clone(s.keys)
		n.keys[k] = &older
	}
	return step, &n
}

// spend takes one operation from a turn, which begins with a length drawn at
// random and, when it is spent, ends with a rest for a slow key.
func (s *independent) spend(ctx Context, t turn, key *liveKey) turn {
	if t.key != key.number {
		t = turn{key: key.number, left: s.cfg.Burst/2 + ctx.Rand.Split(5).IntN(s.cfg.Burst+1)}
	}
	t.left--
	if t.left > 0 {
		return t
	}
	if key.slow {
		rest := (0.5 + ctx.Rand.Split(6).Float()) * float64(s.cfg.Rest)
		key.notBefore = ctx.Time + history.Time(rest)
	}
	return turn{key: -1}
}

func (s *independent) mutates(f history.F) bool { return slices.Contains(s.cfg.Mutates, f) }

// maxAttempts is how many times as many operations as Ops a key may see when most
// of them fail.
const maxAttempts = 3

func (s *independent) Update(ctx Context, ev history.Event) Generator {
	i := slices.IndexFunc(s.keys, func(k *liveKey) bool { return k.name == ev.Key })
	if i < 0 {
		return s // retired meanwhile
	}
	n, k := *s, *s.keys[i]
	d := 1
	switch ev.Type {
	case history.Invoke:
		k.ops++
		k.attempts++
	case history.Fail:
		// Nothing happened, so it costs a checker nothing, except a failed cas,
		// which is as good as a read.
		if ev.F != CAS && k.attempts < maxAttempts*s.cfg.Ops {
			k.ops--
		}
		d = -1
	default:
		d = -1
	}
	k.inFlight += d
	if s.mutates(ev.F) {
		k.mutating += d
		if ev.Type == history.Info {
			k.unknown++
		}
	}
	k.gen = k.gen.Update(ctx, ev)
	k.over = k.over || k.ops >= s.cfg.Ops || s.cfg.Unknown > 0 && k.unknown >= s.cfg.Unknown
	n.stale = s.stale || k.over
	n.keys = slices.Clone(s.keys)
	n.keys[i] = &k
	return &n
}
