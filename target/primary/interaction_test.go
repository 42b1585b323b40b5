package primary

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/script"
)

// TestInteraction runs the scripts in testdata: who says what to whom, in an
// order that the script decides. If it fails, run
//
//	go test ./target/primary -run TestInteraction -rewrite
//
// and read the difference. Commit it only if you understand what caused it and
// it is what you want.
func TestInteraction(t *testing.T) {
	script.Run(t, script.Options{
		Protocol: "primary", Describe: Describe, Tokens: true,
		New: func(cfg protocol.Config, set script.Settings) (protocol.Machine, error) {
			name := "primary"
			if set.Has("mode") {
				name = set["mode"]
			}
			m, err := newMachine(cfg, modeNamed(name))
			if err == nil {
				m.checkpointEvery = uint64(set.Int("every", checkpointEntries))
				m.keep = uint64(set.Int("kept", keepEntries))
			}
			return m, err
		},
		Request: func(r *protocol.Request) {
			if r.Object == adminObject {
				r.Key, r.Value = "", strconv.Quote(r.Key) // whom to hand over to
			}
		},
		Record: func(m protocol.Machine, b []byte) string {
			var rec record
			if err := m.(*Machine).codec.mode.Unmarshal(b, &rec); err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%v%s", rec.View, describeEntries(rec.Prev, rec.Entries))
		},
		Checkpoint: func(m protocol.Machine, _ []byte) string {
			return fmt.Sprintf("up to %d", m.(*Machine).snap.index.Seq)
		},
		Noise: func(payload []byte) bool { return payload[0] == byte(kindPing) },
		Commands: map[string]func(*script.Script, *datadriven.TestData){
			// Lets the election timeout of nodes end now.
			"campaign": func(s *script.Script, d *datadriven.TestData) {
				for _, id := range s.Named(d) {
					m := s.Machine(id).(*Machine)
					m.electionAt = m.now
					s.Tell(id)
				}
			},
			// Shows what nodes believe, and their logs.
			"show": func(s *script.Script, d *datadriven.TestData) {
				for _, id := range s.Named(d) {
					show(s, id)
				}
			},
		},
	})
}

func show(s *script.Script, id protocol.NodeID) {
	m, up := s.Machine(id).(*Machine)
	if !up {
		s.Printf("%s: down", id)
		return
	}
	s.Printf("%s: %s of %q, joined %v, committed to %d, applied %d, forgotten to %d",
		id, m.role, m.primary, m.view, m.commit, m.applied, m.log.base)
	for k := m.log.base + 1; k <= m.log.last(); k++ {
		e := m.log.at(k)
		text := e.Command.String()
		if len(text) > 100 {
			text = fmt.Sprintf("%d bytes", len(text))
		}
		s.Printf("  %d@%v: %s", k, e.View, text)
	}
}

func modeNamed(name string) mode {
	return mode{
		name: name, copyReads: name == "primary-copy-reads",
		acks: map[string]acks{"primary-all": ackAll, "primary-async": ackSelf}[name],
	}
}
