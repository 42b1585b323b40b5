package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// LockOptions refine Lock.
type LockOptions struct {
	// Drift is the greatest relative error of a clock's rate within which the
	// system promises its locks, 0.05 for five percent.
	Drift float64

	_ struct{} // keyed literals only
}

// LockDetails are the Details of Lock.
type LockDetails struct {
	Locks  int `json:"locks"`
	Grants int `json:"grants"`
	// Released grants were given back, the others ran out. Late ones arrived when
	// they were over already, and were never held.
	Released int `json:"released"`
	Late     int `json:"late"`
	// Handovers are the grants that came less than a second after the tenure
	// before had ended: there a lock shows what it is worth.
	Handovers int `json:"handovers"`
	// Unheld grants were none: see Lock.
	Unheld int `json:"unheld"`
	// Overlaps are pairs of tenures that overlap, Repeated the tokens given out
	// twice, Backward those that are not greater than an earlier one.
	Overlaps int `json:"overlaps"`
	Repeated int `json:"repeated"`
	Backward int `json:"backward"`
}

// Lock checks locks that are granted for a time: acquire (value: milliseconds) ->
// {"token": n, "ttl_ms": t}, renew and release (value: the token).
//
// A client may act from when a grant arrived until it calls release, and at the
// longest until the time granted is over, counted on its own clock from before it
// sent the request: that is its tenure by contract. Allowing for clocks that err by
// Drift in opposite directions, it ends at call + ttl*(1-Drift)/(1+Drift). Tenures
// of one lock must not overlap, and tokens rise: whoever asked after another had
// been granted the lock gets a greater one.
//
// A client that can find out what became of the lock may add "held": false to a grant that
// came when the lock had never been its own, not for a moment: its attempt had ended while
// another one held the lock. No length of a tenure excuses that.
//
// A client that was paused and acts beyond its own end breaks the contract itself,
// and a lock that outlives its time after a fail-over harms nobody: neither is a
// violation.
func Lock(o LockOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return lockCheck(ctx, h, o)
	})
}

const lockName = "lock"

func lockCheck(ctx context.Context, h *history.History, o LockOptions) Result {
	r := Result{Name: lockName}
	var d LockDetails
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, lockName); stop {
			return r
		}
		grants, err := o.grants(ops)
		if err != nil {
			return Result{Name: lockName, Verdict: Unknown, Reason: err.Error()}
		}
		d.Locks++
		d.Grants += len(grants)
		d.unheld(key, grants, &bad)
		d.tokens(key, grants, &bad)
		d.overlaps(key, grants, &bad)
	}
	r.Details = d
	r.Power = []Measure{measure("locks", d.Locks), measure("grants", d.Grants),
		measure("released", d.Released), measure("handovers within a second", d.Handovers)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Grants, "grant", "grants"), tallies(
		tally{d.Unheld, "of a lock that was never held"}, tally{d.Overlaps, "overlapping"},
		tally{d.Repeated, "with a token given out before"},
		tally{d.Backward, "with a token that is too small"})),
		func() (Verdict, string) {
			if d.Handovers == 0 {
				return Unknown, "nothing was shown: no lock went from one client to another"
			}
			return Valid, fmt.Sprintf("no two of %s overlap; %s", count(d.Grants, "tenure", "tenures"),
				count(d.Handovers, "quick handover", "quick handovers"))
		})
	return r
}

// grant is one grant of a lock. Its tenures are what the contract allows: one, or
// more if it was renewed too late.
type grant struct {
	op       *history.Operation
	token    int64
	tenures  []span
	released bool
	// unheld: the client has found that it never had the lock.
	unheld bool
}

// grants reads the operations of one lock. The error says which does not fit.
func (o LockOptions) grants(ops []*history.Operation) ([]grant, error) {
	var grants []grant
	byToken := make(map[int64]int)
	for _, op := range ops {
		switch op.F {
		case "acquire":
			if op.Type != history.OK {
				continue
			}
			token, isInt := op.Out.Get("token").AsInt()
			ttl, hasTTL := op.Out.Get("ttl_ms").AsInt()
			if !isInt || !hasTTL {
				return nil, misfit(op, "a lock",
					fmt.Errorf(`result: want {"token": n, "ttl_ms": t}, got %s`, op.Out))
			}
			if at, again := byToken[token]; again && grants[at].op.Process == op.Process {
				// It asked for what it has; that is as good as a renewal.
				grants[at].tenures = append(grants[at].tenures, o.tenure(op, ttl))
				continue
			}
			byToken[token] = len(grants)
			g := grant{op: op, token: token, tenures: []span{o.tenure(op, ttl)}}
			if held, says := op.Out.Get("held").AsBool(); says && !held {
				g.unheld, g.tenures = true, nil
			}
			grants = append(grants, g)
		case "renew", "release", "read":
		default:
			return nil, misfit(op, "a lock",
				fmt.Errorf("it has only acquire, renew, release and read"))
		}
	}
	for _, op := range ops {
		token, isInt := op.In.AsInt()
		at, known := byToken[token]
		if !isInt || !known || op.F != "renew" && op.F != "release" {
			continue
		}
		g := &grants[at]
		if op.F == "renew" && op.Type == history.OK {
			ttl, hasTTL := op.Out.Get("ttl_ms").AsInt()
			if !hasTTL {
				ttl, _ = g.op.Out.Get("ttl_ms").AsInt()
			}
			g.tenures = append(g.tenures, o.tenure(op, ttl))
		}
	}
	cut(grants, byToken, ops)
	return grants, nil
}

// tenure is what an answer to op gives its client.
func (o LockOptions) tenure(op *history.Operation, ttlMillis int64) span {
	ttl := float64(ttlMillis) * 1e6 * (1 - o.Drift) / (1 + o.Drift)
	return span{from: op.Return, to: op.Call + history.Time(ttl)}
}

// cut ends tenures where somebody begins to release the lock, whatever comes of it,
// and drops those that are over before they begin.
func cut(grants []grant, byToken map[int64]int, ops []*history.Operation) {
	for _, op := range ops {
		token, isInt := op.In.AsInt()
		at, known := byToken[token]
		if op.F != "release" || !isInt || !known {
			continue
		}
		g := &grants[at]
		g.released = true
		for i := range g.tenures {
			g.tenures[i].to = min(g.tenures[i].to, op.Call)
		}
	}
	for i := range grants {
		g := &grants[i]
		g.tenures = slices.DeleteFunc(g.tenures, func(s span) bool { return s.to <= s.from })
	}
}

// unheld counts the grants of what was never held.
func (d *LockDetails) unheld(key history.Key, grants []grant, bad *violations) {
	for i := range grants {
		if g := &grants[i]; g.unheld {
			d.Unheld++
			bad.add(key, "never had the lock",
				fmt.Sprintf("Process %d was told at %s that it has the lock (token %d), and "+
					"never had it: its attempt had ended while another client held the lock.",
					g.op.Process, seconds(g.op.Return), g.token), g.op)
		}
	}
}

// tokens compares the tokens of grants that came one after the other.
func (d *LockDetails) tokens(key history.Key, grants []grant, bad *violations) {
	byReturn := slices.Clone(grants)
	slices.SortStableFunc(byReturn, func(a, b grant) int {
		return cmp.Compare(a.op.Return, b.op.Return)
	})
	byCall := slices.Clone(grants)
	slices.SortStableFunc(byCall, func(a, b grant) int { return cmp.Compare(a.op.Call, b.op.Call) })
	holders := make(map[int64]*history.Operation)
	next := 0
	var greatest *grant // of those that had returned before
	for i := range byCall {
		g := &byCall[i]
		for ; next < len(byReturn) && byReturn[next].op.Return < g.op.Call; next++ {
			if greatest == nil || byReturn[next].token > greatest.token {
				greatest = &byReturn[next]
			}
		}
		switch other := holders[g.token]; {
		case other != nil:
			d.Repeated++
			bad.add(key, "the same token once more",
				fmt.Sprintf("Process %d was granted the lock with token %d at %s, which "+
					"process %d had got at %s.", g.op.Process, g.token, seconds(g.op.Return), other.Process,
					seconds(other.Return)), other, g.op)
		case greatest != nil && g.token < greatest.token:
			d.Backward++
			bad.add(key, "a smaller token",
				fmt.Sprintf("Process %d was granted the lock with token %d (called at %s), after "+
					"process %d had got %d by %s.", g.op.Process, g.token, seconds(g.op.Call),
					greatest.op.Process, greatest.token, seconds(greatest.op.Return)), greatest.op, g.op)
		}
		holders[g.token] = g.op
	}
}

// lockTurn is one tenure with its grant.
type lockTurn struct {
	span
	grant *grant
}

// overlaps looks at the tenures of a lock in the order of their beginnings.
func (d *LockDetails) overlaps(key history.Key, grants []grant, bad *violations) {
	var turns []lockTurn
	for i := range grants {
		g := &grants[i]
		switch {
		case g.unheld:
		case len(g.tenures) == 0:
			d.Late++
		case g.released:
			d.Released++
		}
		for _, s := range g.tenures {
			turns = append(turns, lockTurn{s, g})
		}
	}
	slices.SortStableFunc(turns, func(a, b lockTurn) int { return cmp.Compare(a.from, b.from) })
	var last *lockTurn // the one that ends last of those before
	for i := range turns {
		t := &turns[i]
		switch {
		case last == nil:
		case last.grant.token == t.grant.token:
		case t.from < last.to:
			d.Overlaps++
			bad.add(key, "while the other holds the lock",
				fmt.Sprintf("Process %d held the lock by contract from %s to %s (token %d), and "+
					"process %d from %s to %s (token %d).", last.grant.op.Process, seconds(last.from),
					seconds(last.to), last.grant.token, t.grant.op.Process, seconds(t.from), seconds(t.to),
					t.grant.token), last.grant.op, t.grant.op)
		case t.from-last.to < history.Time(1e9):
			d.Handovers++
		}
		if last == nil || t.to > last.to {
			last = t
		}
	}
}
