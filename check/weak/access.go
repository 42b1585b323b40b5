package weak

// The transactions that took effect are numbered on their own, from 0, session after
// session and in each in its order. These are for engines that go on from here.

// Took returns the transaction of the history that has this number.
func (x *Index) Took(i int32) Txn { return x.txn[i] }

// ReadsOf calls f with the reads of others of one transaction, in its order, and the
// number of the transaction that wrote what was read, -1 for the initial state.
func (x *Index) ReadsOf(i int32, f func(key, from int32)) {
	for _, r := range x.reads[x.readAt[i]:x.readAt[i+1]] {
		f(r.key, r.from)
	}
}

// WritesOf returns the keys that one transaction wrote, ascending. They belong to x.
func (x *Index) WritesOf(i int32) []int32 { return x.writes[x.writeAt[i]:x.writeAt[i+1]] }

// SessionOf returns the session of one transaction.
func (x *Index) SessionOf(i int32) int32 { return x.session[i] }

// Keys is the number of keys.
func (x *Index) Keys() int32 { return x.h.keys }

// Times returns when one transaction was called and returned, false if the history has
// no times. What a crashed one returned is of no meaning.
func (x *Index) Times(i int32) (called, returned int64, ok bool) {
	if len(x.h.called) == 0 {
		return 0, 0, false
	}
	t := x.txn[i]
	return x.h.called[t], x.h.returned[t], true
}

// Crashed reports whether nobody knows when one transaction ended.
func (x *Index) Crashed(i int32) bool { return x.h.status[x.txn[i]] == Crashed }
