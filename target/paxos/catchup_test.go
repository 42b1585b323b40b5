package paxos

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/kv"
)

// TestCatchUpDoesNotMultiply: a follower's progress comes doubled and out of order, and each
// piece of the log that is sent for it would be answered. What is sent is bounded by how far
// the follower gets, not by how often it says so.
func TestCatchUpDoesNotMultiply(t *testing.T) {
	const slots = 3 * learnMax
	behind := func() *Machine {
		m := inRole(t, leader)
		m.keep, m.checkpointEvery = slots, slots+1
		for k := m.commit + 1; k <= slots; k++ {
			e := m.log.grow(k)
			e.cmd, e.chosen = kv.Command{Kind: kv.Noop}, true
		}
		m.applyChosen()
		m.lead.peers[1].sentAt = 0 // it is being caught up
		m.Ready()
		return m
	}
	tell := func(m *Machine, commits ...uint64) (sent int) {
		for _, c := range commits {
			m.onProgress(1, &progress{Have: have{Commit: c}})
			for _, msg := range m.Ready().Messages {
				if body, err := m.codec.decode(msg.Payload); err != nil {
					t.Fatal(err)
				} else if l, ok := body.(*learn); ok && !l.More {
					sent++
				}
			}
		}
		return sent
	}
	for name, tt := range map[string]struct {
		commits []uint64
		want    int
	}{
		"each step is served at once":     {[]uint64{2, 1000, 2000}, 3},
		"copies are not":                  {[]uint64{1000, 1000, 1000}, 1},
		"nor what comes late":             {[]uint64{1000, 2, 1000, 2, 1000, 2}, 1},
		"nor late copies of several":      {[]uint64{2, 1000, 2, 2000, 1000, 2, 2000}, 3},
		"who has everything gets nothing": {[]uint64{slots}, 0},
	} {
		if got := tell(behind(), tt.commits...); got != tt.want {
			t.Errorf("%s: progress %v was answered %d times, want %d", name, tt.commits, got, tt.want)
		}
	}
	// One that has lost what it knew, by a restart, is served, a little later.
	m := behind()
	tell(m, 2000)
	m.now += resendAfter
	if got := tell(m, 2); got != 1 {
		t.Errorf("after %v, progress 2 was answered %d times, want 1",
			time.Duration(resendAfter), got)
	}
}

// TestTeachDoesNotMultiply is the same for those that want to lead and lack what was compacted.
func TestTeachDoesNotMultiply(t *testing.T) {
	m := inRole(t, follower)
	m.snap = &snapshot{index: 100, data: make([]byte, 3*burst*partBytes)}
	m.log.cut(100)
	m.Ready()
	sent := 0
	for range 5 {
		for _, part := range []int{0, burst} {
			m.onProgress(1, &progress{Have: have{Commit: 1, Snapshot: 100, Part: part}})
			sent += len(m.Ready().Messages)
		}
	}
	if want := 2 * burst; sent != want {
		t.Errorf("%d parts were sent, want %d", sent, want)
	}
}
