package commit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// decisionObject is the kind of object under which the group keeps decisions:
//
//	commit, abort   key: the transaction, value: its participants
//	done            value: what is over, behind the lowest transaction of the
//	                proposing node that is not
const decisionObject = "decision"

// What the group answers to commit and abort.
const (
	saysCommit = "commit"
	saysAbort  = "abort"
	// saysOver: it is decided, and all participants have acknowledged.
	saysOver = "over"
)

// decisions is the state of the coordinator: a kv.Extension of the Paxos group,
// the same at all its members. The first entry for a transaction is its outcome,
// whoever proposed it; a later one is ignored and learns what the outcome is.
type decisions struct {
	decided map[TxnID]verdict
	// past remembers, for each life of a node, which transactions are over, so
	// that a late entry for one of them decides nothing.
	past map[life]*past
	// heard, if set, learns of each decision. It is for tests.
	heard func(t TxnID, v verdict)
	mode  cbor.DecMode
}

// verdict is the outcome of a transaction that is not over.
type verdict struct {
	commit       bool
	participants []protocol.NodeID
}

// past: everything below floor is over, and what over holds.
type past struct {
	floor uint64
	over  map[uint64]bool
}

func newDecisions(c codec, heard func(TxnID, verdict)) *decisions {
	return &decisions{
		decided: map[TxnID]verdict{}, past: map[life]*past{}, heard: heard, mode: c.mode,
	}
}

// isOver reports whether all participants have acknowledged the outcome.
func (d *decisions) isOver(t TxnID) bool {
	p := d.past[t.life()]
	return p != nil && (t.N < p.floor || p.over[t.N])
}

// Check refuses what is no decision.
func (d *decisions) Check(r protocol.Request) (kv.Result, bool) {
	switch r.F {
	case saysCommit, saysAbort, "done":
		return kv.Result{}, true
	default:
		return refuse(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F), false
	}
}

// Apply carries out an entry of the group's log.
func (d *decisions) Apply(_ uint64, _ protocol.Time, c kv.Command) kv.Result {
	if c.F == "done" {
		return d.done(strings.Fields(c.Value))
	}
	t, err := parseTxnID(c.Key)
	if err != nil {
		return refuse(kv.CodeBadRequest, "%v", err)
	}
	if d.isOver(t) {
		return kv.Result{Value: saysOver}
	}
	v, there := d.decided[t]
	if !there {
		v = verdict{commit: c.F == saysCommit}
		for _, name := range strings.Fields(c.Value) {
			v.participants = append(v.participants, protocol.NodeID(name))
		}
		d.decided[t] = v
		if d.heard != nil {
			d.heard(t, v)
		}
	}
	return kv.Result{Value: says(v.commit)}
}

func says(commit bool) string {
	if commit {
		return saysCommit
	}
	return saysAbort
}

// done forgets transactions. What the proposing node has before it, its own lowest
// one, bounds what has to be remembered of that.
func (d *decisions) done(words []string) kv.Result {
	ts := make([]TxnID, len(words))
	for i, w := range words {
		t, err := parseTxnID(w)
		if err != nil {
			return refuse(kv.CodeBadRequest, "%v", err)
		}
		ts[i] = t
	}
	for i, t := range ts {
		p := d.past[t.life()]
		if p == nil {
			p = &past{over: map[uint64]bool{}}
			d.past[t.life()] = p
		}
		if i > 0 {
			delete(d.decided, t)
			if t.N >= p.floor {
				p.over[t.N] = true
			}
			continue
		}
		p.floor = max(p.floor, t.N)
		maps.DeleteFunc(p.over, func(n uint64, _ bool) bool { return n < p.floor })
	}
	return kv.Result{}
}

// undone lists the decided transactions that are not over, the oldest first.
func (d *decisions) undone() []TxnID {
	return slices.SortedFunc(maps.Keys(d.decided), TxnID.compare)
}

// Read answers nothing: clients do not see decisions.
func (d *decisions) Read(r protocol.Request) kv.Result {
	return refuse(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F)
}

type decisionsImage struct {
	_       struct{} `cbor:",toarray"`
	Decided []verdictImage
	Past    []pastImage
}

type verdictImage struct {
	_            struct{} `cbor:",toarray"`
	T            TxnID
	Commit       bool
	Participants []protocol.NodeID
}

type pastImage struct {
	_     struct{} `cbor:",toarray"`
	Life  life
	Floor uint64
	Over  []uint64
}

// Encode returns the state; equal states give equal bytes.
func (d *decisions) Encode() []byte {
	var im decisionsImage
	for _, t := range d.undone() {
		v := d.decided[t]
		im.Decided = append(im.Decided,
			verdictImage{T: t, Commit: v.commit, Participants: v.participants})
	}
	for l, p := range d.past {
		im.Past = append(im.Past, pastImage{
			Life: l, Floor: p.floor, Over: slices.Sorted(maps.Keys(p.over)),
		})
	}
	slices.SortFunc(im.Past, func(a, b pastImage) int {
		return TxnID{Home: a.Life.Home, Epoch: a.Life.Epoch}.compare(
			TxnID{Home: b.Life.Home, Epoch: b.Life.Epoch})
	})
	return mustMarshal(im)
}

// Decode replaces the state.
func (d *decisions) Decode(b []byte) error {
	var im decisionsImage
	if err := d.mode.Unmarshal(b, &im); err != nil {
		return fmt.Errorf("decode decisions: %w", err)
	}
	d.decided, d.past = map[TxnID]verdict{}, map[life]*past{}
	for _, v := range im.Decided {
		d.decided[v.T] = verdict{commit: v.Commit, participants: v.Participants}
	}
	for _, pi := range im.Past {
		if d.past[pi.Life] != nil {
			return errors.New("decode decisions: a life stands twice")
		}
		p := &past{floor: pi.Floor, over: map[uint64]bool{}}
		for _, n := range pi.Over {
			p.over[n] = true
		}
		d.past[pi.Life] = p
	}
	return nil
}
