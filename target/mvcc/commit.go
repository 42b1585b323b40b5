package mvcc

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
)

// commit ends the transaction. It returns the number and the writes to be logged
// in one record; no number if the transaction wrote nothing. On an error it has
// no effect.
func (d *database) commit(t *txn) (Num, map[string][]update, error) {
	t.closed = true
	delete(d.active, t.id)
	defer d.forget()
	writes := t.writes
	if d.rule == Merge {
		merged, err := d.merge(t)
		if err != nil {
			return 0, nil, err
		}
		writes = merged
	}
	e := &ended{reads: t.reads, writes: writes}
	if len(writes) == 0 {
		return 0, nil, d.end(t, e)
	}
	num := d.given + 1
	if err := d.install(t, num, writes); err != nil {
		return 0, nil, err
	}
	e.num = num
	if err := d.end(t, e); err != nil {
		d.uninstall(slices.Sorted(maps.Keys(writes)), num)
		return 0, nil, err
	}
	d.given = num
	if d.did != nil {
		d.did(t, num, writes)
	}
	if d.bugs.Has(bug.MVCCCommitOrderInversion) {
		d.installSlowly(t, num, writes)
		return num, writes, nil
	}
	// The versions are there, and one assignment makes all of them visible, after
	// all of the numbers below.
	d.last = num
	return num, writes, nil
}

// end remembers a transaction that commits, unless that would be dangerous.
func (d *database) end(t *txn, e *ended) error {
	exempt := d.bugs.Has(bug.MVCCSSIExemptsReadonly) && e.num == 0
	skew := d.bugs.Has(bug.MVCCWriteSkew)
	if d.rule == Serializable && !exempt && !skew {
		if err := d.dangerous(t, e); err != nil {
			return err
		}
	}
	d.turn++
	e.turn = d.turn
	if exempt {
		return nil // planted: nobody knows what it has read
	}
	d.ended = append(d.ended, e)
	return nil
}

// install puts the versions in place, above every snapshot, one key after the
// other. The first committer wins: it stops at a key that has changed since the
// snapshot, and takes away what it has done.
func (d *database) install(t *txn, num Num, writes map[string][]update) error {
	keys := slices.Sorted(maps.Keys(writes))
	for i, key := range keys {
		if d.rule != Merge && d.conflict(t, key) {
			if d.bugs.Has(bug.MVCCBlindAutoRetry) {
				// Planted: the writes are applied to the newest versions, and
				// what the transaction has read does not count.
				d.uninstall(keys[:i], num)
				t.snap = d.last
				return d.install(t, num, writes)
			}
			d.uninstall(keys[:i+1], num)
			return errConflict{key, "has changed since the transaction began"}
		}
		if d.bugs.Has(bug.MVCCCommitOrderInversion) {
			continue // planted: later, and one by one
		}
		v, _ := d.store.At(key, t.snap)
		d.store.Install(key, num, v.ApplyAll(writes[key]), writes[key])
	}
	return nil
}

// uninstall removes the versions of a number, the last key first.
func (d *database) uninstall(keys []string, num Num) {
	for _, key := range slices.Backward(keys) {
		if !d.store.Remove(key, num) && d.bugs.Has(bug.MVCCAbortLeavesVersion) {
			// Planted: the key at which the commit failed has no version, which
			// is an error, and the clean-up gives up.
			return
		}
	}
}

// conflict reports whether somebody has changed the key since the snapshot.
func (d *database) conflict(t *txn, key string) bool {
	for _, in := range d.installing {
		if len(in.writes[key]) > 0 {
			return true
		}
	}
	switch {
	case d.bugs.Has(bug.MVCCNoConflictCheck):
		return false
	case d.bugs.Has(bug.MVCCConflictByValue):
		was, _ := d.store.At(key, t.snap)
		is, _ := d.store.At(key, d.last)
		return !was.Equal(is)
	default:
		return d.store.Newest(key) > t.snap
	}
}

// installation is a commit under the planted bug mvcc-commit-order-inversion: it
// has its number and its record, and its versions come one by one. Another one
// with a greater number and fewer keys becomes visible first.
type installation struct {
	t      *txn
	num    Num
	writes map[string][]update
	left   []string
}

func (d *database) installSlowly(t *txn, num Num, writes map[string][]update) {
	in := &installation{t: t, num: num, writes: writes, left: slices.Sorted(maps.Keys(writes))}
	d.installing = append(d.installing, in)
	d.step(in)
}

// step installs the next key, and reports whether that was the last.
func (d *database) step(in *installation) bool {
	if len(in.left) > 0 {
		key := in.left[0]
		in.left = in.left[1:]
		v, _ := d.store.At(key, in.t.snap)
		d.store.Install(key, in.num, v.ApplyAll(in.writes[key]), in.writes[key])
	}
	if len(in.left) > 0 {
		return false
	}
	d.last = max(d.last, in.num)
	d.installing = slices.DeleteFunc(d.installing, func(x *installation) bool { return x == in })
	return true
}
