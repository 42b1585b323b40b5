package mvcc

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// twin is the dumb database: a whole one for each number. It watches a run, and
// every read and every commit of the machine is compared with it.
type twin struct {
	whole []map[string]value // by number
	// commits since the database started last, for the rule of write sets.
	commits []twinCommit
	durable Num
	server  *server
	steps   int
	err     error
}

type twinCommit struct {
	num, snap Num
	writes    map[string][]update
}

func newTwin() *twin { return &twin{whole: []map[string]value{{}}} }

func (w *twin) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// factory makes nodes; the database is watched.
func (w *twin) factory(rule Rule, log bool, tune func(*server)) sim.Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := New(rule, log)(cfg)
		if s, ok := m.(*server); ok {
			tune(s)
			s.db.saw, s.db.did = w.saw, w.did
			w.server = s
		}
		return m, err
	}
}

// saw: a read is what the whole database of the snapshot holds, with the
// transaction's own writes, however late it comes.
func (w *twin) saw(t *txn, key string, v value) {
	if int(t.snap) >= len(w.whole) {
		w.fail("%s has the snapshot %d, committed are %d", txnName(t.id), t.snap, len(w.whole)-1)
		return
	}
	if want := w.whole[t.snap][key].ApplyAll(t.writes[key]); !want.Equal(v) {
		w.fail("%s reads %s at snapshot %d as %s %s, want %s %s", txnName(t.id), key, t.snap,
			v.Kind(), v.Read(), want.Kind(), want.Read())
	}
}

// did: numbers have no gaps, and concurrent transactions wrote different keys.
func (w *twin) did(t *txn, num Num, writes map[string][]update) {
	if int(num) != len(w.whole) {
		w.fail("%s commits as %d, the last was %d", txnName(t.id), num, len(w.whole)-1)
		return
	}
	for _, c := range w.commits {
		for key := range writes {
			if c.num > t.snap && len(c.writes[key]) > 0 {
				w.fail("%s with the snapshot %d writes %s, and so did %d", txnName(t.id), t.snap, key, c.num)
			}
		}
	}
	w.commits = append(w.commits, twinCommit{num, t.snap, maps.Clone(writes)})
	next := maps.Clone(w.whole[num-1])
	for key, us := range writes {
		next[key] = next[key].ApplyAll(us)
	}
	w.whole = append(w.whole, next)
}

func (w *twin) observe(_ *sim.Cluster, e *sim.Event) {
	switch {
	case e.Node != "n1":
	case e.Kind == sim.Start:
		w.recovered(w.server)
	case e.Kind == sim.Persist:
		for _, b := range e.Records {
			if r, err := decodeCommit(b); err != nil {
				w.fail("record %x: %w", b, err)
			} else {
				w.durable = max(w.durable, r.Num)
			}
		}
	}
}

// recovered: a crash leaves the whole database of one number, one that has
// everything that was durable.
func (w *twin) recovered(s *server) {
	last := s.db.last
	if last < w.durable || int(last) >= len(w.whole) {
		w.fail("recovered %d, durable is %d of %d", last, w.durable, len(w.whole)-1)
		return
	}
	w.whole, w.commits, w.durable = w.whole[:last+1], nil, last
	w.same(s, last)
}

// same compares all keys at a number.
func (w *twin) same(s *server, num Num) {
	want := w.whole[num]
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if v, _ := s.db.store.At(key, num); !v.Equal(want[key]) {
			w.fail("%s at %d is %s %s, want %s", key, num, v.Kind(), v.Read(), want[key].Read())
		}
	}
	for _, key := range s.db.store.Keys() {
		if v, _ := s.db.store.At(key, num); v.Kind() != "" && want[key].Kind() == "" {
			w.fail("%s at %d is %s, want nothing", key, num, v.Read())
		}
	}
}

// check compares, now and then, all that every open transaction could read now: a
// snapshot never changes.
func (w *twin) check(c *sim.Cluster) error {
	w.steps++
	if s, ok := c.Node("n1").Machine().(*server); ok && w.err == nil && w.steps%32 == 0 {
		w.same(s, s.db.last)
		for _, t := range s.db.active {
			w.same(s, t.snap)
		}
	}
	return w.err
}
