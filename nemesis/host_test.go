package nemesis

import (
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// TestFileRefused damages a file on which the node then does not start: it is put back,
// and only then the node starts. What a node has accepted stays its own.
func TestFileRefused(t *testing.T) {
	flip := Step{
		Fault: "file-flip", Nodes: []Node{"n1", "n2"}, At: time.Second, For: time.Second,
		Params: Params{"path": "wal/log-*"},
	}
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.hosts["n1"].refuses = true
		s := b.run(t, t.Context(), flip)
		f := s.Faults[0]
		if !f.Bit || !strings.Contains(f.Evidence.Why, "n1, wal/log-* of n1: refuses to start") ||
			!strings.Contains(f.Evidence.Why, "n2, wal/log-* of n2: started with it") {
			t.Errorf("record %+v", f)
		}
		if b.count("mend n1") != 1 || b.count("mend n2") != 0 {
			t.Errorf("mended what runs, or did not mend what does not:\n%s", b.script())
		}
	})
}

// TestCPUIdle limits a process that wants nothing: that proves nothing.
func TestCPUIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		s := b.run(t, t.Context(), Step{
			Fault: "cpu", Nodes: []Node{"n1"}, At: time.Second, For: 5 * time.Second,
		})
		wantUnknown(t, s, "nobody was throttled")
	})
}

// TestMemory squeezes nodes: one of them ends by it, as is expected, and runs in the end;
// the group that has no limit any more stays.
func TestMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		s := b.run(t, t.Context(),
			Step{
				Fault: "memory", Nodes: []Node{"n1", "n2"}, At: time.Second, For: 2 * time.Second,
				Params: Params{"percent": "70"},
			},
			Step{
				Fault: "memory", Nodes: []Node{"n3"}, At: 4 * time.Second, For: 2 * time.Second,
				Params: Params{"bytes": "4096"},
			})
		for i, want := range []string{"n1 met its limit of 734003 bytes 100 times", "(out of memory)"} {
			if f := s.Faults[i]; !f.Bit || !strings.Contains(f.Evidence.Why, want) {
				t.Errorf("record %+v, want %q", f, want)
			}
		}
		if r := s.Result(); r.Verdict != check.Valid {
			t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
		}
		if b.count("mend") != 0 || b.count("start n3") != 1 {
			t.Error(b.script())
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		s := b.run(t, t.Context(), Step{
			Fault: "memory", Nodes: []Node{"n1"}, At: time.Second, For: 5 * time.Second,
		})
		wantUnknown(t, s, "no process wanted more memory than it was left")
	})
}

// TestSlowVolumes lets nodes wait for their disks, in both ways: what they write has to be
// enough to notice, and who writes nothing proves nothing and disproves nothing.
func TestSlowVolumes(t *testing.T) {
	for _, tc := range []struct {
		fault   string
		traffic int64
		bit     bool
		want    string
	}{
		{"volume-slow", 100, true, "up to 300 ms, and the node waited in 5"},
		{"volume-slow", 0, false, "nothing was written: n1: 8 syncs"},
		{"write-limit", 100, true, "n1 wrote all that it may in 6 of 6 stretches"},
		{"write-limit", 50, false, "no node wanted to write more than it may: n1"},
		{"write-limit", 0, false, "nothing was written: n1"},
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3)
			b.traffic = tc.traffic
			s := b.run(t, t.Context(), Step{
				Fault: tc.fault, Nodes: []Node{"n1"}, At: time.Second, For: 5 * time.Second,
			})
			f := s.Faults[0]
			if f.Bit != tc.bit || !strings.Contains(f.Evidence.Why, tc.want) ||
				f.Evidence.Idle != (tc.traffic == 0) {
				t.Errorf("%+v, want %q", f, tc.want)
			}
			// A run in which no fault met anything proves nothing, whatever the reason.
			if r := s.Result(); (r.Verdict == check.Unknown) != !tc.bit ||
				strings.Contains(r.Reason, "no fault met anything") != f.Evidence.Idle {
				t.Errorf("%s, %d: %v, %s", tc.fault, tc.traffic, r.Verdict, r.Reason)
			}
			if b.count("mend n1") != 1 {
				t.Error(b.script())
			}
		})
	}
}

// TestHostMendFails tries again to take an injury back, and says what is left.
func TestHostMendFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.failing["mend n1"] = 2
		s := b.run(t, t.Context(), Step{
			Fault: "cpu", Nodes: []Node{"n1"}, At: time.Second, For: time.Second,
		})
		if r := s.Result(); r.Verdict != check.Valid || s.Faults[0].HealError == "" {
			t.Errorf("verdict %v: %s, %+v", r.Verdict, r.Reason, s.Faults[0])
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.failing["mend n1"] = 100
		s, err := Run(t.Context(), b.env, []Step{{
			ID: 1, Fault: "cpu", Nodes: []Node{"n1"}, At: time.Second, For: time.Second,
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, s, "was not healed: mend n1: mend n1 does not work")
		left := b.env.Ledger.Outstanding()
		if len(left.Faults) != 1 || left.Faults[0].Undo[0] != "mend n1" {
			t.Errorf("outstanding %+v", left)
		}
	})
}

// TestHostsOverlap lets faults of hosts meet: one host is hurt by one at a time, and
// nothing durable is taken from two nodes.
func TestHostsOverlap(t *testing.T) {
	second := time.Second
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		s := b.run(t, t.Context(),
			Step{Fault: "cpu", Nodes: []Node{"n1", "n2"}, At: second, For: 6 * second},
			Step{Fault: "rollback", Nodes: []Node{"n2", "n3"}, At: 2 * second, For: 4 * second},
			Step{Fault: "volume-full", Nodes: []Node{"n1"}, At: 3 * second, For: second})
		if f := s.Faults[1]; !f.Bit || !strings.HasSuffix(f.Evidence.Why,
			"; left to another fault: n2") {
			t.Errorf("record %+v", f)
		}
		if f := s.Faults[2]; f.Skipped == "" {
			t.Errorf("a host that is taken was hurt: %+v", f)
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		s := b.run(t, t.Context(),
			Step{Fault: "file-truncate", Nodes: []Node{"n1"}, At: second, For: 4 * second},
			Step{Fault: "rollback", Nodes: []Node{"n2"}, At: 2 * second, For: 2 * second})
		if f := s.Faults[1]; !strings.Contains(f.Skipped, "taken something from a disk") {
			t.Errorf("two at a time: %+v", f)
		}
	})
}
