package mvcc

import "cmp"

// Two transactions are in rw-conflict, a -> b, when both are concurrent and b
// overwrites what a has read: a comes before b in every serial order, although b
// may have committed first. Every cycle that snapshot isolation lets through has
// two of these in a row, a -> b -> c (Fekete et al., TODS 2005). So it is enough
// that no three transactions of such a shape commit.
//
// A conflict is found by the one of the two that commits last. It needs the read
// and write sets of those that committed before it, as long as there is anybody
// concurrent with them; the flags in and out stand for the third transaction.

// dangerous decides whether the commit of t would be the last of three, in any of
// the three places. If not, it notes the conflicts.
func (d *database) dangerous(t *txn, e *ended) error {
	var before, after []*ended // u -> t, and t -> u
	for _, u := range d.since(t) {
		read, overwrites := shared(t.reads, u.writes)
		written, overwritten := shared(u.reads, e.writes)
		switch {
		case overwrites && u.out:
			return errConflict{read, "was overwritten by one with conflicts of its own"}
		case overwritten && u.in:
			return errConflict{written, "was read by one with conflicts of its own"}
		}
		if overwrites {
			after = append(after, u)
		}
		if overwritten {
			before = append(before, u)
		}
		if len(before) > 0 && len(after) > 0 {
			return errConflict{cmp.Or(read, written), "is the second of two conflicts in a row"}
		}
	}
	for _, u := range after {
		u.in, e.out = true, true
	}
	for _, u := range before {
		u.out, e.in = true, true
	}
	return nil
}

// shared returns the least key that is both read and written.
func shared(reads map[string]bool, writes map[string][]update) (least string, found bool) {
	for key := range writes {
		if reads[key] && (!found || key < least) {
			least, found = key, true
		}
	}
	return least, found
}
