package lease

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	ms     = protocol.Time(1e6)
	second = 1000 * ms
)

// segment is a stretch of true time in which a clock runs at one rate.
type segment struct {
	length protocol.Time
	ppm    int64 // above the true rate
}

// clock is a clock as a list of segments; the last one goes on for ever.
type clock []segment

// at is what the clock shows at a true time, from 0 on. It is rounded down.
func (c clock) at(now protocol.Time) protocol.Time {
	var shown protocol.Time
	for i, s := range c {
		d := min(now, s.length)
		if i == len(c)-1 {
			d = now
		}
		shown += d + d*protocol.Time(s.ppm)/million
		now -= d
	}
	return shown
}

// shows is the first true time at which the clock shows at least so much.
func (c clock) shows(t protocol.Time) protocol.Time {
	lo, hi := protocol.Time(0), 2*t+second
	for lo < hi {
		if mid := (lo + hi) / 2; c.at(mid) < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// drawClock draws a clock that keeps within the drift.
func drawClock(t *rapid.T, name string, drift int64) clock {
	one := rapid.Custom(func(t *rapid.T) segment {
		return segment{
			length: protocol.Time(rapid.Int64Range(0, int64(3*second)).Draw(t, "length")),
			ppm: rapid.OneOf(rapid.Int64Range(-drift, drift), rapid.Just(drift),
				rapid.Just(-drift)).Draw(t, "ppm"),
		}
	})
	return rapid.SliceOfN(one, 1, 6).Draw(t, name)
}

func drawTime(t *rapid.T, name string, lo, hi protocol.Time) protocol.Time {
	return protocol.Time(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, name))
}

// slack is what rounding of nanoseconds adds up to.
const slack = 16

// TestHolderEndsFirst: whatever the clocks do within the bound, however long
// the messages take, and whether the grantor forgets all in between, the holder
// stops before the grantor does.
func TestHolderEndsFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := Terms{
			Length: drawTime(t, "L", ms, 10*second),
			Drift:  rapid.Int64Range(0, 100_000).Draw(t, "rho"),
		}
		holder := drawClock(t, "holder", terms.Drift)
		grantor := drawClock(t, "grantor", terms.Drift)
		sent := drawTime(t, "sent", 0, 5*second)
		received := sent + drawTime(t, "delay", 0, 2*second)

		h := NewHolder(1)
		h.Granted(0, holder.at(sent)+terms.Held())
		g := NewGrantor()
		g.Promise("a", grantor.at(received), grantor.at(received)+terms.Length)

		holderEnds := holder.shows(h.End(1))
		_, end := g.Holder()
		if grantorEnds := grantor.shows(end); holderEnds > grantorEnds+slack {
			t.Fatalf("holder ends at %d, grantor at %d", holderEnds, grantorEnds)
		}

		// It loses its memory, and its clock starts anew.
		restarted := received + drawTime(t, "until restart", 0, 3*second)
		anew := drawClock(t, "anew", terms.Drift)
		g = Restarted(0, terms.Length)
		_, end = g.Holder()
		if free := restarted + anew.shows(end); holderEnds > free+slack {
			t.Fatalf("holder ends at %d, restarted grantor is free at %d", holderEnds, free)
		}
	})
}

// TestWithoutMarginTheyOverlap: a slow holder and a fast grantor, both within the
// bound. With the margin the ends meet; a holder that counts the whole L is 2ρL/(1-ρ²)
// late.
func TestWithoutMarginTheyOverlap(t *testing.T) {
	terms := Declared()
	slow, fast := clock{{ppm: -terms.Drift}}, clock{{ppm: terms.Drift}}
	grantorEnds := fast.shows(terms.Length)
	if late := slow.shows(terms.Held()) - grantorEnds; late > slack || late < -slack {
		t.Errorf("with the margin the holder is %d ns late", late)
	}
	late := slow.shows(terms.Length) - grantorEnds
	rho := float64(terms.Drift) / million
	want := 2 * rho * float64(terms.Length) / (1 - rho*rho)
	if math.Abs(float64(late)-want) > slack || late < 200*ms {
		t.Errorf("without the margin the holder is %d ns late, want %.0f", late, want)
	}
}

// TestCountedFromReply: a holder that counts from the reply outlives the promise by
// about the reply's delay, even with true clocks.
func TestCountedFromReply(t *testing.T) {
	terms := Terms{Length: 2 * second}
	received, replied := 10*ms, 500*ms
	if replied+terms.Held() <= received+terms.Length {
		t.Error("a holder that counts from the reply should be late")
	}
	if terms.Held() != terms.Length {
		t.Error("clocks without drift need no margin")
	}
}

// TestGrantor goes through the rules of the promise.
func TestGrantor(t *testing.T) {
	g := NewGrantor()
	if g.Bars("b", 0) {
		t.Error("a grantor that promised nothing bars somebody")
	}
	g.Promise("a", 0, 200)
	g.Promise("a", 10, 100) // an older renewal, reordered
	switch {
	case !g.Bars("b", 199), g.Bars("a", 199):
		t.Error("a late renewal took something back, or the holder is barred")
	case g.Promise("b", 199, 500), !g.Bars("b", 199):
		t.Error("promised to another while the promise lasts")
	case g.Bars("b", 200), !g.Promise("b", 200, 300), !g.Bars("a", 299):
		t.Error("not free when the promise is over")
	}
	g.Release()
	if g.Bars("a", 250) || !g.Promise("a", 250, 260) || g.Bars("b", 270) {
		t.Error("a promise that was given up still counts")
	}
	g = Restarted(1000, 50)
	if !g.Bars("a", 1049) || g.Promise("a", 1049, 2000) || g.Bars("a", 1050) {
		t.Error("a restarted grantor bars everybody for one interval, no longer")
	}
}

// TestHolder: the end is what a quorum promised, and copies change nothing.
func TestHolder(t *testing.T) {
	h := NewHolder(4)
	if h.End(1) > 0 || h.End(5) > 0 || h.End(0) < math.MaxInt64 {
		t.Error("a holder without grants")
	}
	for i, end := range []protocol.Time{30, 10, 40} {
		h.Granted(i, end)
		h.Granted(i, end)
	}
	h.Granted(2, 35)
	for quorum, want := range map[int]protocol.Time{1: 40, 2: 30, 3: 10} {
		if got := h.End(quorum); got != want {
			t.Errorf("end of %d: %d, want %d", quorum, got, want)
		}
	}
	if h.End(4) > 0 {
		t.Error("one of the grantors has promised nothing")
	}
}

// TestQuorumHolds: while the holder relies on a quorum of n grantors, a majority of
// them still bars everybody else, so that nobody else gets one.
func TestQuorumHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := Declared()
		n := rapid.IntRange(1, 5).Draw(t, "n")
		majority := n/2 + 1
		holder := drawClock(t, "holder", terms.Drift)
		h := NewHolder(n)
		frees := make([]protocol.Time, n)
		for i := range n {
			c := drawClock(t, "grantor", terms.Drift)
			g := NewGrantor()
			for range rapid.IntRange(0, 4).Draw(t, "renewals") {
				sent := drawTime(t, "sent", 0, 5*second)
				received := sent + drawTime(t, "delay", 0, second)
				g.Promise("a", c.at(received), c.at(received)+terms.Length)
				if rapid.Bool().Draw(t, "answered") {
					h.Granted(i, holder.at(sent)+terms.Held())
				}
			}
			if _, end := g.Holder(); end > 0 {
				frees[i] = c.shows(end)
			}
		}
		end := h.End(majority)
		if end < 0 {
			return
		}
		bar := 0
		for _, free := range frees {
			if holder.shows(end) <= free+slack {
				bar++
			}
		}
		if bar < majority {
			t.Fatalf("%d of %d grantors bar others at the holder's end", bar, n)
		}
	})
}
