package netns_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// clockProgram is a program of libc that is not ours: Perl, which is on every Debian. It
// tells its time of day in a file, over and over.
const clockProgram = `my $d = $ARGV[0];
sub put { open(my $f, ">", "$_[0].new"); print $f $_[1]; close $f; rename "$_[0].new", $_[0]; }
put("$d/../ready.json", "{}");
while (1) { put("$d/now", time); select(undef, undef, undef, 0.02); }`

// faked starts a node that runs a program under libfaketime, if that is here.
func faked(t *testing.T) (*remote.Cluster, string) {
	t.Helper()
	lab, ledger := up(t, 1)
	libraries, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if _, err := os.Stat("/usr/bin/perl"); err != nil || len(libraries) == 0 {
		t.Skip("there is no libfaketime, or no perl")
	}
	root := t.TempDir()
	c, err := remote.Start(t.Context(), remote.Config{
		Shell: lab.Shell(), Hosts: lab.Hosts(), Run: "fake", Root: root, Dir: t.TempDir(),
		Ledger: ledger, Faketime: true, Controls: lab.Hosts()[0].Addrs[:1],
		Command: func(s cluster.NodeSpec) []string {
			return []string{"perl", "-e", clockProgram, s.DataDir}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, filepath.Join(root, "fake", "n1", "data", "now")
}

// The time of day of a program that is not ours is bent and measured, over a restart, too,
// and true again in the end. What the program itself says agrees with what is measured.
func TestFaketime(t *testing.T) {
	c, file := faked(t)
	says := func() time.Duration {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		now, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(time.Unix(now, 0))
	}
	// awaits compares what is measured, and what the program says, in whole seconds.
	awaits := func(want time.Duration) {
		t.Helper()
		near := func(d, by time.Duration) bool { return (d - want).Abs() < by }
		for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
			r, err := c.ReadClock(t.Context(), "n1")
			if err != nil {
				t.Fatal(err)
			}
			if near(r.WallError, 900*time.Millisecond) && near(says(), 5*time.Second) {
				if r.Running <= 0 || r.Running != r.Monotonic || r.Start == 0 {
					t.Errorf("%+v", r)
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("measured %v ahead, the program says %v, want %v", r.WallError, says(), want)
			}
		}
	}
	set := func(s nemesis.ClockSetting) {
		t.Helper()
		if err := c.SetClock(t.Context(), "n1", s); err != nil {
			t.Fatal(err)
		}
	}
	awaits(0)
	set(nemesis.ClockSetting{Wall: nemesis.Bend{Offset: time.Hour}})
	awaits(time.Hour)
	if err := c.Kill(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	awaits(time.Hour)
	set(nemesis.ClockSetting{Wall: nemesis.Bend{Offset: -90 * time.Second}})
	awaits(-90 * time.Second)
	set(nemesis.ClockSetting{})
	awaits(0)
	for _, refused := range []nemesis.ClockSetting{
		{Monotonic: nemesis.Bend{Offset: time.Second}}, {Wall: nemesis.Bend{Rate: 1.5}},
	} {
		if err := c.SetClock(t.Context(), "n1", refused); err == nil {
			t.Errorf("%+v was taken", refused)
		}
	}
}

// The nemesis's own faults of clocks, with their evidence and verified healing.
func TestFaketimeFaults(t *testing.T) {
	c, _ := faked(t)
	ledger, err := nemesis.OpenLedger(filepath.Join(t.TempDir(), "faults.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := nemesis.ReadSchedule("faults", strings.NewReader(
		`{"at":"0s","for":"500ms","fault":"clock-jump","params":{"clock":"wall","offset":"-1m"}}
{"when":"step 1 over","for":"1s","fault":"clock-freeze","params":{"clock":"wall"}}`))
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := history.Create(filepath.Join(t.TempDir(), "history.jsonl"), history.Header{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := nemesis.Run(t.Context(), nemesis.Env{
		Nodes: c.Nodes(), Processes: c, Clocks: c, Ledger: ledger, Log: recorder.NewLog(),
		Clock: recorder,
	}, steps)
	if err := errors.Join(err, recorder.Close()); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Faults {
		if !f.Bit || !f.Healed {
			t.Errorf("%s: %+v, healed %t: %s", f.Step.Fault, f.Evidence, f.Healed, f.HealError)
		}
	}
	if err := ledger.Close(); err != nil {
		t.Error(err)
	}
}
