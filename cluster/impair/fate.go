package impair

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// MaxOvertakers and MaxHold say when a message picked by Reorder goes on:
	// after 1..MaxOvertakers later ones, or after MaxHold on an idle link.
	MaxOvertakers = 3
	MaxHold       = 200 * time.Millisecond
	// MaxHeld bounds the bytes that one link holds back. What comes beyond it is
	// lost, and counted as lost.
	MaxHeld = 16 << 20
)

// Outcome is whether a message goes on.
type Outcome uint8

// The outcomes: it goes on, or is dropped by Cut, by Loss, or because the queue in
// front of a slow line is full.
const (
	Passes Outcome = iota
	Cut
	Lost
	Overflow
)

// Fate is what is done to one message.
type Fate struct {
	Outcome Outcome
	// FlipBit is the bit to flip, counted from the first byte's lowest; -1 is none.
	FlipBit int
	// Throttled says that it must wait for the line.
	Throttled bool
	// Wait is its place in the queue in front of a slow line, or the time for which
	// Hold keeps it back; Delay is the rule's delay.
	Wait, Delay time.Duration
	// Held says that Hold has taken it.
	Held bool
	// Overtakers is how many later messages are to pass it, 0 to keep the order.
	Overtakers int
	// Duplicate says that a copy is sent, after Wait and DuplicateDelay.
	Duplicate      bool
	DuplicateDelay time.Duration
	// Replay says that a copy is sent after ReplayDelay.
	Replay      bool
	ReplayDelay time.Duration
}

// Rand returns the random stream of one link: the same for the same seed.
func Rand(seed uint64, l nemesis.Link) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(l.From + "\x00" + l.To))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// Line draws the fates of the messages on one link, in the order of their coming.
type Line struct {
	// Rand is the link's stream of choices.
	Rand   *rand.Rand
	bucket Bucket
}

// Draw decides about a message of size bytes that comes at now. A probe is treated
// as any other message, but never held: it is to tell of the link today.
func (l *Line) Draw(now time.Duration, size int, r nemesis.Rule, probe bool) Fate {
	f := Fate{FlipBit: -1}
	if r.Cut {
		f.Outcome = Cut
		return f
	}
	if l.hit(r.Loss) {
		f.Outcome = Lost
		return f
	}
	if l.hit(r.Corrupt) && size > 0 {
		f.FlipBit = l.Rand.IntN(size * 8)
	}
	if r.Rate > 0 {
		if l.bucket.Backlog(now) > QueueTime {
			f.Outcome = Overflow
			return f
		}
		f.Wait = l.bucket.Take(now, size, r.Rate)
		f.Throttled = f.Wait > 0
	}
	if !probe && l.hit(r.Hold) {
		// It comes late, and no copy of it comes sooner.
		f.Held = true
		f.Wait = between(l.Rand, r.HoldMin, r.HoldMax)
		return f
	}
	if l.hit(r.Reorder) {
		f.Overtakers = 1 + l.Rand.IntN(MaxOvertakers)
	}
	f.Duplicate, f.Replay = l.hit(r.Duplicate), l.hit(r.Replay)
	f.Delay = Delay(l.Rand, r)
	if f.Duplicate {
		f.DuplicateDelay = Delay(l.Rand, r)
	}
	if f.Replay {
		f.ReplayDelay = between(l.Rand, r.ReplayMin, r.ReplayMax)
	}
	return f
}

// hit draws whether something of this probability happens.
func (l *Line) hit(probability float64) bool {
	return probability > 0 && l.Rand.Float64() < probability
}

// between draws a duration from least to most.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// Delay draws the delay of one message: Delay plus or minus up to Jitter, never
// less than 0.
func Delay(rng *rand.Rand, r nemesis.Rule) time.Duration {
	d := r.Delay
	if r.Jitter > 0 {
		d += time.Duration(rng.Int64N(2*int64(r.Jitter)+1)) - r.Jitter
	}
	return max(0, d)
}
