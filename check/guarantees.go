package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// GuaranteesOptions say what is claimed of sessions.
type GuaranteesOptions struct {
	// Claimed are the guarantees. Default: all, causal consistency.
	Claimed session.Guarantees
	// Unordered says that the order in which collections list their elements is none. Of
	// sets (add) it never is.
	Unordered bool
	// Rising says that what one session writes to one key comes in the order in which it
	// was written, even where monotonic writes are not claimed.
	Rising bool

	_ struct{} // keyed literals only
}

// GuaranteesDetails are the Details of SessionGuarantees.
type GuaranteesDetails struct {
	Claimed  string `json:"claimed"`
	Sessions int    `json:"sessions"`
	Keys     int    `json:"keys"`
	Writes   int    `json:"writes"`
	Reads    int    `json:"reads"`
	// Binding are the reads that had to see something of their key, whatever they returned:
	// only there something could have gone wrong.
	Binding int `json:"binding"`
	// Kept and Broken are the guarantees, by name, that the history keeps or does not.
	Kept   []string `json:"kept,omitempty"`
	Broken []string `json:"broken,omitempty"`
}

// SessionGuarantees checks what sessions may rely on although their clients go from one
// replica to another: read your writes, monotonic reads, monotonic writes, writes follow
// reads, the first three together (PRAM) or all (causal consistency), over all keys.
// Keys are registers (write, read, cas [old, new]) or collections (append or add, read ->
// list), every value written once; transactions of such steps are taken for what they
// read and wrote, one after the other. A process is a session. Package session says what
// the guarantees are and how they are decided, exactly.
func SessionGuarantees(o GuaranteesOptions) Checker {
	if o.Claimed == 0 {
		o.Claimed = session.Causal
	}
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return guarantees(ctx, h, o)
	})
}

const guaranteesName = "session-guarantees"

func guarantees(ctx context.Context, h *history.History, o GuaranteesOptions) Result {
	r := Result{Name: guaranteesName}
	g := newGuaranteed(h)
	g.h.Rising = o.Rising
	g.h.Ordered = !o.Unordered && !slices.ContainsFunc(h.Ops, func(op history.Operation) bool {
		return op.F == "add"
	})
	for i := range h.Ops {
		if err := g.add(&h.Ops[i]); err != nil {
			r.Verdict, r.Reason = Unknown, misfit(&h.Ops[i], "sessions", err).Error()
			return r
		}
	}
	d := GuaranteesDetails{Claimed: o.Claimed.String(), Sessions: len(g.sessions),
		Keys: len(g.keys), Writes: g.writes, Reads: g.reads}
	claimed := session.Decide(ctx, &g.h, o.Claimed)
	d.Binding = claimed.Binding
	var undecided, mine []string
	var minimal []session.Guarantees // broken ones of the claim
	for _, one := range slices.Backward(session.All()) {
		if r, stop := interrupted(ctx, guaranteesName); stop && claimed.Answer != session.Violation {
			return r
		}
		got := claimed
		if one != o.Claimed && (claimed.Answer != session.Kept || one&^o.Claimed != 0) {
			got = session.Decide(ctx, &g.h, one)
		}
		switch got.Answer {
		case session.Kept:
			d.Kept = append(d.Kept, one.String())
		case session.Undecided:
			undecided = append(undecided, one.String())
		case session.Violation:
			d.Broken = append(d.Broken, one.String())
			if one&^o.Claimed == 0 && (claimed.Conflict == nil ||
				claimed.Conflict.Kind >= session.Missing) && !slices.ContainsFunc(minimal,
				func(less session.Guarantees) bool { return less&^one == 0 }) {
				minimal = append(minimal, one)
				mine = append(mine, one.String())
				r.Counterexamples = append(r.Counterexamples, g.counterexample(ctx, one, got.Conflict))
			}
		}
	}
	if claimed.Answer == session.Violation && len(mine) == 0 {
		// It is a set without a name, or nothing that depends on guarantees.
		mine = []string{d.Claimed}
		r.Counterexamples = append(r.Counterexamples, g.counterexample(ctx, o.Claimed, claimed.Conflict))
	}
	r.Details = d
	r.Power = []Measure{measure("sessions", d.Sessions), measure("keys", d.Keys),
		measure("writes", d.Writes), measure("reads", d.Reads),
		measure("reads that had to see something", d.Binding)}
	r.Verdict, r.Reason = g.verdict(o.Claimed, claimed, mine, r.Counterexamples, &d)
	r.Untested = r.Verdict == Unknown && claimed.Answer == session.Kept
	return r
}

func (g *guaranteed) verdict(
	claimed session.Guarantees, got session.Result, broken []string, cxs []Counterexample,
	d *GuaranteesDetails,
) (Verdict, string) {
	const writes = session.MonotonicWrites | session.WritesFollowReads
	switch {
	case len(broken) == 1 && broken[0] == d.Claimed:
		if what, same := strings.CutPrefix(cxs[0].Why, "Not"); same {
			return Invalid, "not" + what
		}
		return Invalid, fmt.Sprintf("not %s. %s", claimed, cxs[0].Why)
	case len(broken) > 0 && strings.Contains(d.Claimed, "+"): // nothing but a list of them
		return Invalid, fmt.Sprintf("not %s. %s", strings.Join(broken, " and not "), cxs[0].Why)
	case len(broken) > 0:
		return Invalid, fmt.Sprintf("not %s: not %s. %s", claimed, andList(broken), cxs[0].Why)
	case got.Answer == session.Undecided:
		return Unknown, got.Why
	case got.Binding == 0 && !g.h.Collections && claimed&^writes == 0:
		return Unknown, fmt.Sprintf("nothing was shown: reads of one register at a time show "+
			"nothing of %s, unless they are monotonic, too: as in pram and causal", claimed)
	case got.Binding == 0:
		return Unknown, "nothing was shown: no read had to see anything"
	}
	return Valid, fmt.Sprintf("%s: %s in %s agree, %d of them had to see something", claimed,
		count(d.Reads, "read", "reads"), count(d.Sessions, "session", "sessions"), d.Binding)
}

// guaranteed is a history for package session.
type guaranteed struct {
	h session.History
	// from are the operations that those of h are, or are part of.
	from     []*history.Operation
	sessions map[history.Process]int32
	keys     map[sessionPlace]int32
	names    []sessionPlace
	values   map[sessionValue]session.Value
	// failed are writes that had no effect.
	failed        map[sessionValue]*history.Operation
	reads, writes int
}

// sessionPlace is a key, or that of a step in a group.
type sessionPlace struct{ group, key history.Key }

type sessionValue struct {
	key   int32
	value models.Scalar
}

func newGuaranteed(h *history.History) *guaranteed {
	g := &guaranteed{
		sessions: make(map[history.Process]int32), keys: make(map[sessionPlace]int32),
		values: make(map[sessionValue]session.Value),
		failed: make(map[sessionValue]*history.Operation),
	}
	lists, listsWritten := false, false
	for i := range h.Ops {
		op := &h.Ops[i]
		switch op.F {
		case "append", "add":
			g.h.Collections = true
		case "write":
			listsWritten = listsWritten || op.In.Kind() == history.KindList
		case "read":
			lists = lists || op.Type == history.OK && op.Out.Kind() == history.KindList
		case "txn":
			steps, err := history.ViewSteps(op.In)
			g.h.Collections = g.h.Collections || err == nil && slices.ContainsFunc(steps,
				func(s history.Step) bool { return s.F == history.StepAppend })
		}
	}
	g.h.Collections = g.h.Collections || lists && !listsWritten
	return g
}

// add adds an operation.
func (g *guaranteed) add(op *history.Operation) error {
	if op.F == "txn" {
		return g.txn(op)
	}
	place := sessionPlace{key: op.Key}
	switch op.F {
	case "read":
		if op.Type != history.OK {
			return nil
		}
		return g.read(op, place, op.Out)
	case "write", "append", "add":
		return g.write(op, place, op.In)
	case "cas":
		if g.h.Collections || op.In.Kind() != history.KindList || op.In.Len() != 2 {
			return fmt.Errorf("value: want [old, new] of a register, got %s", op.In)
		}
		if op.Type == history.OK {
			if err := g.read(op, place, op.In.At(0)); err != nil {
				return err
			}
		}
		return g.write(op, place, op.In.At(1))
	}
	return errors.New("there is only read, write, cas, append, add and txn")
}

// txn adds the steps of a transaction.
func (g *guaranteed) txn(op *history.Operation) error {
	t, err := parseTxn(op)
	if err != nil {
		return err
	}
	for _, s := range t.steps {
		place := sessionPlace{op.Key, s.Key}
		switch {
		case s.F != history.StepRead:
			if g.h.Collections != (s.F == history.StepAppend) {
				return errors.New("there are registers and lists")
			}
			err = g.write(op, place, s.Value)
		case t.ok():
			err = g.read(op, place, s.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *guaranteed) value(key int32, v history.Value) (sessionValue, session.Value, error) {
	s, err := models.NewScalar(v)
	if err != nil {
		return sessionValue{}, 0, err
	}
	at := sessionValue{key, s}
	n, known := g.values[at]
	if !known && !s.IsNil() {
		n = session.Value(len(g.values) + 1)
		g.values[at] = n
	}
	return at, n, nil
}

// begin makes an operation for package session.
func (g *guaranteed) begin(op *history.Operation, place sessionPlace) session.Op {
	key, known := g.keys[place]
	if !known {
		key = int32(len(g.keys))
		g.keys[place] = key
		g.names = append(g.names, place)
	}
	s, known := g.sessions[op.Process]
	if !known {
		s = int32(len(g.sessions))
		g.sessions[op.Process] = s
	}
	return session.Op{Session: s, Key: key}
}

func (g *guaranteed) write(op *history.Operation, place sessionPlace, v history.Value) error {
	o := g.begin(op, place)
	at, n, err := g.value(o.Key, v)
	switch {
	case err != nil:
		return err
	case n == session.Nil:
		return errors.New("value: nil is what there is at first")
	case op.Type == history.Fail:
		g.failed[at] = op
		return nil
	}
	o.Write, o.Crashed, o.Value = true, op.Type == history.Info, n
	g.writes++
	g.h.Ops, g.from = append(g.h.Ops, o), append(g.from, op)
	return nil
}

func (g *guaranteed) read(op *history.Operation, place sessionPlace, v history.Value) error {
	o := g.begin(op, place)
	if !g.h.Collections {
		_, n, err := g.value(o.Key, v)
		if err != nil {
			return err
		}
		o.Value = n
	} else if k := v.Kind(); k != history.KindList && k != history.KindNil {
		return fmt.Errorf("result: want a list, got %s", v)
	} else {
		for i := range v.Len() {
			_, n, err := g.value(o.Key, v.At(i))
			if err != nil || n == session.Nil {
				return fmt.Errorf("result: want a list of elements, got %s", v)
			}
			o.List = append(o.List, n)
		}
	}
	g.reads++
	g.h.Ops, g.from = append(g.h.Ops, o), append(g.from, op)
	return nil
}

// name names the key of an operation, "" if there is only one.
func (g *guaranteed) name(i int) string {
	if len(g.names) == 1 {
		return ""
	}
	p := g.names[g.h.Ops[i].Key]
	return string(p.group) + strings.Repeat(".", min(1, len(p.group)*len(p.key))) + string(p.key)
}
