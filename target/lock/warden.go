package lock

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// askAgain is how long the warden waits for what it has proposed.
const askAgain = protocol.Time(300e6)

// Warden finds claims whose time has run out, at the node that leads, by its clock.
// It implements paxos.Steward.
type Warden struct {
	bugs bug.Set
	seen map[sighting]*watch

	// The counter and the ballot that it belongs to are for a planted bug.
	ballot  paxos.Ballot
	counter uint64
}

// sighting is a claim as it was last renewed.
type sighting struct {
	key            string
	token, renewed uint64
}

// watch is how long this node has known of it.
type watch struct{ since, asked protocol.Time }

// NewWarden returns one that has seen nothing.
func NewWarden(bugs bug.Set) *Warden { return &Warden{bugs: bugs} }

// Due returns an expiry for each claim that was not renewed for its TTL, since this
// node has led and has known of it.
func (w *Warden) Due(now protocol.Time, leading bool, s *kv.Store) []kv.Command {
	locks, ok := s.Extension(kind).(*Locks)
	if !ok || !leading && !w.bugs.Has(bug.LockDeposedLeaderRevokes) {
		w.seen = nil // another leads; the time begins anew when we do
		return nil
	}
	var due []kv.Command
	seen := map[sighting]*watch{}
	for _, key := range sortedKeys(locks.locks) {
		for _, c := range locks.locks[key].Claims {
			id := sighting{key: key, token: c.Token, renewed: c.Renewed}
			v := w.seen[id]
			switch {
			case v == nil && !leading:
				continue // only with the planted bug
			case v == nil:
				v = &watch{since: now, asked: now - askAgain}
			case now-v.since >= protocol.Time(c.TTL)*1e6 && now-v.asked >= askAgain && !c.Dead:
				v.asked = now
				due = append(due, kv.Command{
					Kind: kv.Duty, Object: kind, F: "expire", Key: key,
					Value: fmt.Sprintf("%d@%d", c.Token, c.Renewed),
				})
			}
			seen[id] = v
		}
	}
	w.seen = seen
	return due
}

// Stamp changes nothing. Planted otherwise: the leader numbers the acquires by
// itself, and begins at 1.
func (w *Warden) Stamp(b paxos.Ballot, c kv.Command) kv.Command {
	if !w.bugs.Has(bug.LockTokenReset) || c.Object != kind || c.F != "acquire" {
		return c
	}
	if b != w.ballot {
		w.ballot, w.counter = b, 0
	}
	w.counter++
	c.Value = fmt.Sprintf("[%s,%d]", c.Value, w.counter)
	return c
}
