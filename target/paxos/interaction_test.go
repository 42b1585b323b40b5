package paxos

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/script"
)

// TestInteraction runs the scripts in testdata: who says what to whom, in an
// order that the script decides. If it fails, run
//
//	go test ./target/paxos -run TestInteraction -rewrite
//
// and read the difference. Commit it only if you understand what caused it and
// it is what you want.
func TestInteraction(t *testing.T) {
	script.Run(t, script.Options{
		Protocol: "paxos", Describe: Describe, Wall: 1e18,
		New: func(cfg protocol.Config, set script.Settings) (protocol.Machine, error) {
			mode := Mode{Protocol: "paxos"}
			if set["mode"] == "lease-read" {
				mode = Mode{Protocol: "lease-read", Leases: true}
			}
			m, err := NewMode(cfg, mode)
			if err == nil {
				m.checkpointEvery = uint64(set.Int("every", checkpointSlots))
				m.keep, m.ahead = uint64(set.Int("kept", keepSlots)), uint64(set.Int("ahead", maxAhead))
			}
			return m, err
		},
		Record: func(m protocol.Machine, b []byte) string {
			var rec record
			if err := m.(*Machine).codec.mode.Unmarshal(b, &rec); err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%v%s", rec.Ballot, describeSlots(rec.Votes))
		},
		Checkpoint: func(m protocol.Machine, _ []byte) string {
			return fmt.Sprintf("up to %d", m.(*Machine).snap.index)
		},
		Noise: func(payload []byte) bool { return payload[0] == byte(kindPing) },
		Commands: map[string]func(*script.Script, *datadriven.TestData){
			// Lets the election timeout of nodes end now.
			"campaign": onEach(func(s *script.Script, id protocol.NodeID, m *Machine) {
				m.electionAt = m.now
				s.Tell(id)
			}),
			// Shows whom nodes take for voters and for learners.
			"members": onEach(func(s *script.Script, id protocol.NodeID, m *Machine) {
				voters, learners := m.split(m.latest())
				s.Printf("%s: voters %v, learners %v", id, voters, learners)
			}),
			// Shows what nodes hold and have promised.
			"leases": onEach(func(s *script.Script, id protocol.NodeID, m *Machine) {
				l := m.Status().Details.(Details)
				s.Printf("%s: holds=%t %d ms, promised to %q %d ms", id, l.LeaseHeld, l.LeaseLeft,
					l.PromisedTo, l.PromiseLeft)
			}),
			// Shows what nodes believe, and their logs; if brief, only how far they go.
			"show": showAll,
		},
	})
}

// onEach makes a command about the nodes that are up.
func onEach(
	do func(*script.Script, protocol.NodeID, *Machine),
) func(*script.Script, *datadriven.TestData) {
	return func(s *script.Script, d *datadriven.TestData) {
		for _, id := range s.Named(d) {
			if m, up := s.Machine(id).(*Machine); up {
				do(s, id, m)
			}
		}
	}
}

func showAll(s *script.Script, d *datadriven.TestData) {
	for _, id := range s.Named(d) {
		m, up := s.Machine(id).(*Machine)
		if !up {
			s.Printf("%s: down", id)
			continue
		}
		s.Printf("%s: %s of %q, promised %v, chosen to %d, applied %d, compacted to %d",
			id, m.role, m.leader, m.promised, m.commit, m.applied, m.log.base)
		if d.HasArg("brief") {
			s.Printf("  log to %d", m.log.last())
			continue
		}
		for k := max(m.log.base+1, 2); k <= m.log.last(); k++ {
			showSlot(s, k, m.log.at(k))
		}
	}
}

func showSlot(s *script.Script, k uint64, e *slotState) {
	switch {
	case !e.known():
		s.Printf("  %d: hole", k)
	case e.cmd.Kind == kv.Op && len(e.cmd.Value) > 100:
		s.Printf("  %d: %d bytes @%v%s", k, len(e.cmd.Value), e.vote, flag(e.chosen, "chosen"))
	default:
		s.Printf("  %d: %v @%v%s", k, e.cmd, e.vote, flag(e.chosen, "chosen"))
	}
}
