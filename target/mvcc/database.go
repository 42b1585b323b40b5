package mvcc

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// Num numbers commits from 1; a snapshot is the number of the last that it sees.
type Num = versions.Num

type (
	value  = versions.Value
	update = versions.Update
)

// Rule says when a transaction may commit.
type Rule uint8

// The rules; see the package comment.
const (
	SI Rule = iota
	Serializable
	Merge
)

// database holds the versions and the transactions, and decides who commits. It
// does not know of time, requests or disks.
type database struct {
	rule  Rule
	bugs  bug.Set
	store versions.Store
	// last is the greatest number committed: the snapshot of whoever begins.
	last Num
	// given is the greatest number in use; greater than last only while the
	// planted bug mvcc-commit-order-inversion installs.
	given  Num
	active map[uint64]*txn
	// turn orders begins and ends of transactions.
	turn uint64
	// ended are the transactions that have committed since the oldest active one
	// began, in the order of their ends.
	ended []*ended
	// installing belongs to mvcc-commit-order-inversion.
	installing []*installation

	// saw and did, set by tests, are told of every read and commit.
	saw func(t *txn, key string, v value)
	did func(t *txn, num Num, writes map[string][]update)
}

// txn is an open transaction.
type txn struct {
	id    uint64
	snap  Num
	began uint64 // turn
	reads map[string]bool
	// writes are the updates of each key, in their order.
	writes map[string][]update
	used   protocol.Time // by a request, last
	closed bool
}

// ended is what is remembered of a transaction that has committed.
type ended struct {
	num    Num    // 0 if it wrote nothing
	turn   uint64 // of its commit
	reads  map[string]bool
	writes map[string][]update
	// in and out: somebody concurrent has read what it has overwritten, or has
	// overwritten what it has read.
	in, out bool
}

func newDatabase(rule Rule, log bool, bugs bug.Set) *database {
	d := &database{rule: rule, bugs: bugs, active: map[uint64]*txn{}, store: versions.NewCopies()}
	if log {
		d.store = versions.NewUpdates()
	}
	return d
}

// begin opens a transaction on the latest snapshot.
func (d *database) begin(id uint64) *txn {
	d.turn++
	t := &txn{
		id: id, snap: d.last, began: d.turn,
		reads: map[string]bool{}, writes: map[string][]update{},
	}
	d.active[id] = t
	return t
}

// abort ends a transaction without effect: all that it wrote is its own.
func (d *database) abort(t *txn) {
	t.closed = true
	delete(d.active, t.id)
	d.forget()
}

// read returns what the transaction sees at the key: its snapshot and its own
// writes.
func (d *database) read(t *txn, key string) value {
	snap := t.snap
	if d.bugs.Has(bug.MVCCSnapshotPerRead) {
		snap = d.last // planted: read committed
	}
	v, _ := d.store.At(key, snap)
	if d.bugs.Has(bug.MVCCDirtyRead) {
		v = d.dirty(t, key, v)
	}
	if v.Kind() != "" || !d.bugs.Has(bug.MVCCSSIMissesAbsentKeys) {
		// Planted otherwise: what is not there cannot be marked as read.
		t.reads[key] = true
	}
	v = v.ApplyAll(t.writes[key])
	if d.saw != nil {
		d.saw(t, key, v)
	}
	return v
}

// dirty is planted: the value with what other open transactions make of it.
func (d *database) dirty(t *txn, key string, v value) value {
	for _, id := range slices.Sorted(maps.Keys(d.active)) {
		if id != t.id {
			v = v.ApplyAll(d.active[id].writes[key])
		}
	}
	return v
}

// write keeps updates for the commit.
func (d *database) write(t *txn, key string, us []update) {
	if len(us) > 0 {
		t.writes[key] = append(t.writes[key], us...)
	}
}

// oldest is the oldest snapshot that anybody can still read from.
func (d *database) oldest() Num {
	oldest := d.last
	for _, t := range d.active {
		oldest = min(oldest, t.snap)
	}
	return oldest
}

// forget drops what nobody can be concurrent with any more.
func (d *database) forget() {
	first := d.turn
	for _, t := range d.active {
		first = min(first, t.began)
	}
	n := 0
	for n < len(d.ended) && d.ended[n].turn <= first {
		n++
	}
	d.ended = slices.Delete(d.ended, 0, n)
}

// since returns the transactions that have committed since t began.
func (d *database) since(t *txn) []*ended {
	i := len(d.ended)
	for i > 0 && d.ended[i-1].turn > t.began {
		i--
	}
	return d.ended[i:]
}

// errConflict is why a commit is refused.
type errConflict struct{ key, why string }

func (e errConflict) Error() string { return fmt.Sprintf("key %q %s", e.key, e.why) }
