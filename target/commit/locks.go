package commit

import "slices"

// lockTable holds the locks of one shard: shared or exclusive, by key, to the end
// of the transaction.
//
// Deadlocks are prevented by wait-die (Rosenkrantz, Stearns and Lewis, "System
// level concurrency control for distributed database systems", 1978): a
// transaction waits for younger ones only, and dies if it would wait for an older
// one. Waiting goes from old to young, in all shards together, so it is never a
// circle. A transaction that waits with empty hands, for its first lock, is in no
// circle either: nobody waits for it. It may wait for anybody, and in return overtakes
// nobody who wants the same.
type lockTable map[string]*lockState

type lockState struct {
	holders []hold
	waiters []wait
}

// hold is one transaction's lock on one key.
type hold struct {
	txn TxnID
	// age is the number of the transaction, or of the attempt that it repeats.
	age       uint64
	exclusive bool
}

// olderThan is the order of wait-die. Any total order prevents deadlocks; this one
// lets the repeated attempts of a request get older than those of others.
func (h hold) olderThan(o hold) bool {
	return h.age < o.age || h.age == o.age && h.txn.compare(o.txn) < 0
}

// wait is a transaction's wish for a lock. It has one at a time in a shard.
type wait struct {
	hold
	// empty: the transaction holds no lock, here or elsewhere, and wants no other.
	empty bool
}

func (h hold) conflicts(o hold) bool {
	return h.txn != o.txn && (h.exclusive || o.exclusive)
}

// want asks for the lock. Nothing happens before next.
func (l lockTable) want(key string, w wait) {
	s := l[key]
	if s == nil {
		s = &lockState{}
		l[key] = s
	}
	s.waiters = append(s.waiters, w)
}

// next takes one waiter off the key's list, the first that can have the lock or
// has to die; ok is false if there is none. Holders that ignore names do not
// count; it is nil, unless a bug is planted.
func (l lockTable) next(key string, ignore func(w, h hold) bool) (t TxnID, granted, ok bool) {
	s := l[key]
	if s == nil {
		return TxnID{}, false, false
	}
	for i, w := range s.waiters {
		blocked, dies := false, false
		for _, h := range s.holders {
			if !h.conflicts(w.hold) || ignore != nil && ignore(w.hold, h) {
				continue
			}
			blocked = true
			dies = dies || !w.empty && h.olderThan(w.hold)
		}
		if w.empty {
			blocked = blocked || slices.ContainsFunc(s.waiters[:i],
				func(o wait) bool { return o.conflicts(w.hold) })
		}
		if blocked && !dies {
			continue
		}
		s.waiters = slices.Delete(s.waiters, i, i+1)
		if !blocked {
			s.add(w.hold)
		}
		return w.txn, !blocked, true
	}
	if len(s.holders)+len(s.waiters) == 0 {
		delete(l, key)
	}
	return TxnID{}, false, false
}

// add makes the transaction a holder; a shared lock becomes exclusive, never the
// other way round.
func (s *lockState) add(h hold) {
	for i := range s.holders {
		if s.holders[i].txn == h.txn {
			s.holders[i].exclusive = s.holders[i].exclusive || h.exclusive
			return
		}
	}
	s.holders = append(s.holders, h)
}

// seize gives the lock without asking: to transactions that held it before a restart.
func (l lockTable) seize(key string, h hold) {
	s := l[key]
	if s == nil {
		s = &lockState{}
		l[key] = s
	}
	s.add(h)
}

// release takes the transaction's lock, and its wish for one, off the key.
func (l lockTable) release(key string, t TxnID) {
	if s := l[key]; s != nil {
		s.holders = slices.DeleteFunc(s.holders, func(h hold) bool { return h.txn == t })
		s.waiters = slices.DeleteFunc(s.waiters, func(w wait) bool { return w.txn == t })
	}
}

// held returns the transaction's lock on the key.
func (l lockTable) held(key string, t TxnID) (exclusive, ok bool) {
	if s := l[key]; s != nil {
		for _, h := range s.holders {
			if h.txn == t {
				return h.exclusive, true
			}
		}
	}
	return false, false
}
