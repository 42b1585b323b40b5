// Package lease is the arithmetic of promises that end by themselves, between
// nodes whose clocks run at different rates.
//
// A grantor promises a holder that until some moment nobody else gets what the
// holder has. The holder may rely on the promise only while it surely lasts. The
// two read different clocks, so each needs a clock that measures durations: a
// monotonic one, whose rate stays within [1-ρ, 1+ρ] of the true one. ρ is
// declared (Terms), and what is built on leases is right only as far as it holds.
// A step of such a clock is outside of the declaration; the time of day plays no
// part at all.
//
// The holder sends its request at s on its own clock, the grantor takes it in at
// r on its own, later in truth. The grantor keeps the promise until r+L. The
// holder relies on it until s + L·(1-ρ)/(1+ρ), which in true time is at most
// L/(1+ρ) after the request was sent, and that is the least true time that the
// grantor's L can take. The reply's delay plays no part, because the holder counts
// from its request.
//
// # What the network and crashes do to it
//
//   - A copy of a grant names the same request, so it gives the same end.
//   - A grantor keeps the greatest end that it has promised (Grantor.Promise), so
//     a renewal that arrives after a later one takes nothing back.
//   - A lost message gives the holder nothing.
//   - A grantor that has lost its memory keeps the promises that it may have made:
//     it bars everybody for one whole interval of its own clock (Restarted). That
//     is enough: it starts to count after it promised.
//
// With several grantors the holder has what a majority promised: the end is the
// quorum-th greatest of theirs.
//
// Sources: Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for
// distributed file cache consistency", SOSP 1989; Chandra, Griesemer and
// Redstone, "Paxos made live", PODC 2007, section 5.2, for leases of a leader.
//
// The safety sits in Terms.Held and Grantor.Promise.
package lease

import (
	"math"
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// million is the unit of rates: parts of it.
const million = 1_000_000

// Terms are what holders and grantors have agreed on beforehand.
type Terms struct {
	// Length is how long a grantor promises, on its own clock; at most two hours.
	Length protocol.Time
	// Drift is ρ, in parts per million: how much faster or slower than the true
	// time a clock may run.
	Drift int64
}

// Declared are the terms of the reference cluster: two seconds, and clocks that
// are up to 5 % wrong. Real clocks are a thousand times better; a bound this wide
// makes what goes wrong without the margin long enough to be seen.
func Declared() Terms { return Terms{Length: 2_000_000_000, Drift: 50_000} }

// Held is how long a holder may rely on a promise, from the moment at which it
// sent its request, on its own clock. It is rounded down.
func (t Terms) Held() protocol.Time {
	return t.Length * protocol.Time(million-t.Drift) / protocol.Time(million+t.Drift)
}

// never is an end that has always passed.
const never = protocol.Time(math.MinInt64 / 2)

// Grantor is what a node has promised. Times are on its own clock.
type Grantor struct {
	holder protocol.NodeID // "" if nobody knows: after a restart
	end    protocol.Time
}

// NewGrantor returns a grantor that has promised nothing, ever.
func NewGrantor() Grantor { return Grantor{end: never} }

// Restarted returns a grantor that has lost its memory at a moment not after now:
// it bars everybody for the greatest length that it may have promised.
func Restarted(now, longest protocol.Time) Grantor { return Grantor{end: now + longest} }

// Bars reports whether a promise forbids to help the asker.
func (g *Grantor) Bars(asker protocol.NodeID, now protocol.Time) bool {
	return now < g.end && asker != g.holder
}

// Promise promises the holder that nobody else is helped before until; an earlier
// promise to the same holder that lasts longer stays. It does nothing, and returns
// false, while another promise lasts.
func (g *Grantor) Promise(holder protocol.NodeID, now, until protocol.Time) bool {
	if g.Bars(holder, now) {
		return false
	}
	if g.holder != holder {
		g.holder, g.end = holder, never
	}
	g.end = max(g.end, until)
	return true
}

// Release ends the promise, because its holder has given it up.
func (g *Grantor) Release() { g.end = never }

// Holder returns to whom the last promise was made, and its end.
func (g *Grantor) Holder() (protocol.NodeID, protocol.Time) { return g.holder, g.end }

// Holder is what a node may rely on. Times are on its own clock.
type Holder struct{ ends []protocol.Time }

// NewHolder returns a holder to whom so many grantors have promised nothing.
func NewHolder(grantors int) *Holder {
	h := &Holder{ends: make([]protocol.Time, grantors)}
	for i := range h.ends {
		h.ends[i] = never
	}
	return h
}

// Granted takes note that a grantor's promise may be relied on until end. A copy
// of an older grant changes nothing.
func (h *Holder) Granted(grantor int, end protocol.Time) {
	h.ends[grantor] = max(h.ends[grantor], end)
}

// End is the moment until which so many grantors keep their promise: the
// quorum-th greatest of their ends. A quorum of none keeps it for ever.
func (h *Holder) End(quorum int) protocol.Time {
	if quorum <= 0 {
		return math.MaxInt64
	}
	sorted := slices.Sorted(slices.Values(h.ends))
	if quorum > len(sorted) {
		return never
	}
	return sorted[len(sorted)-quorum]
}
