package nemesis

import (
	"encoding/json"
	"testing"
	"time"
)

// TestMatrix writes down what probes find whenever that changes, and reads it again.
func TestMatrix(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.run(t, t.Context(), Step{
			Fault: "partition", Shape: ShapeMute, Nodes: []Node{"n2"}, At: time.Second, For: time.Second,
		})
		s, err := LoadSummary(b.ledger)
		must(t, err)
		if len(s.Matrices) != 3 {
			t.Fatalf("%d matrices: %+v", len(s.Matrices), s.Matrices)
		}
		whole, cut, again := s.Matrices[0], s.Matrices[1], s.Matrices[2]
		want := []Link{{From: "n2", To: "n1"}, {From: "n2", To: "n3"}}
		if whole.Links != 12 || len(whole.Dead) != 0 || len(again.Dead) != 0 ||
			len(cut.Dead) != 2 || cut.Dead[0] != want[0] || cut.Dead[1] != want[1] {
			t.Errorf("%+v", s.Matrices)
		}
		if time.Duration(cut.At) < time.Second || again.At <= cut.At {
			t.Errorf("at %v and %v", cut.At, again.At)
		}
	})
}

// TestLinkText writes links as words and reads them again.
func TestLinkText(t *testing.T) {
	text, err := json.Marshal(Matrix{Links: 1, Dead: []Link{{From: "n1", To: Clients}}})
	if err != nil || string(text) != `{"links":1,"dead":["n1\u003eclients"]}` {
		t.Errorf("%s, %v", text, err)
	}
	var m Matrix
	if err := json.Unmarshal(text, &m); err != nil || m.Dead[0] != (Link{From: "n1", To: Clients}) {
		t.Errorf("%+v, %v", m, err)
	}
}
