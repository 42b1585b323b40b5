package local

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// TestSettings writes the files of docs/target-api.md and takes them away.
func TestSettings(t *testing.T) {
	c := startFake(t, nil)
	ctx := testContext(t)
	dir := filepath.Dir(c.ClockPath("n1"))
	set := func(s nemesis.ClockSetting) error { return c.SetClock(ctx, "n1", s) }
	trouble := func(s nemesis.DiskSetting) error { return c.SetDisk(ctx, "n1", s) }
	for _, tc := range []struct {
		set        func() error
		file, want string
	}{
		{func() error {
			return set(nemesis.ClockSetting{Wall: nemesis.Bend{Offset: -time.Hour}})
		}, clockFile, `{"wall":{"offset":"-1h0m0s"},"monotonic":{}}`},
		{func() error {
			return set(nemesis.ClockSetting{
				Wall: nemesis.Bend{Freeze: true}, Monotonic: nemesis.Bend{Rate: 1.04},
			})
		}, clockFile, `{"wall":{"freeze":true},"monotonic":{"rate":1.04}}`},
		{func() error { return set(nemesis.ClockSetting{}) }, clockFile, ""},
		{func() error { return set(nemesis.ClockSetting{}) }, clockFile, ""},
		{func() error {
			return trouble(nemesis.DiskSetting{SyncDelay: 300 * time.Millisecond, Torn: true})
		}, diskFile, `{"sync_delay":"300ms","torn":true}`},
		{func() error { return trouble(nemesis.DiskSetting{SyncErrors: 1}) }, diskFile,
			`{"sync_errors":1}`},
		{func() error { return trouble(nemesis.DiskSetting{Full: true}) }, diskFile, `{"full":true}`},
		{func() error { return trouble(nemesis.DiskSetting{}) }, diskFile, ""},
	} {
		if err := tc.set(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, tc.file))
		if strings.TrimSpace(string(got)) != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("%s is %s, %v; want %s", tc.file, got, err, tc.want)
		}
	}
	if c.SetClock(ctx, "n9", nemesis.ClockSetting{}) == nil {
		t.Error("the clock of a node that does not exist")
	}
}

// logged gives a node a log of so many bytes, beside an older one.
func logged(t *testing.T, dataDir string, size int) (path string, content []byte) {
	t.Helper()
	wal := filepath.Join(dataDir, "wal")
	if err := os.MkdirAll(wal, 0o755); err != nil {
		t.Fatal(err)
	}
	content = bytes.Repeat([]byte("abcdefgh"), size/8)
	for _, name := range []string{"log-0000000000000001", "log-0000000000000002"} {
		path = filepath.Join(wal, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path, content
}

// differing returns the offsets at which two contents differ.
func differing(t *testing.T, path string, want []byte) (at []int) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for i := range got {
		if got[i] != want[i] {
			at = append(at, i)
		}
	}
	return at
}

// TestWipe takes everything from a node that is down.
func TestWipe(t *testing.T) {
	c := startFake(t, nil)
	ctx := testContext(t)
	data := filepath.Join(filepath.Dir(c.ClockPath("n1")), dataDirName)
	if _, err := c.Wipe(ctx, "n1"); err == nil {
		t.Error("wiped the disk of a node that runs")
	}
	if err := c.Kill(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	logged(t, data, 1000)
	for _, least := range []int64{1000, 0} {
		lost, err := c.Wipe(ctx, "n1")
		if err != nil || lost < least || least == 0 && lost != 0 {
			t.Errorf("lost %d bytes, %v, want %d", lost, err, least)
		}
		if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	if err := c.Start(ctx, "n1"); err != nil {
		t.Error(err)
	}
}

// TestFlip damages one bit in the first half of the newest log, only of a node that
// is down, and puts it back, also for a harness that was killed.
func TestFlip(t *testing.T) {
	c := startFake(t, nil)
	ctx := testContext(t)
	dir := filepath.Dir(c.ClockPath("n1"))
	data := filepath.Join(dir, dataDirName)
	if _, err := c.FlipBit(ctx, "n1", 0.5); err == nil {
		t.Error("flipped a bit of a node that runs")
	}
	if err := c.Kill(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	logged(t, data, cluster.LeastLog-8)
	if _, err := c.FlipBit(ctx, "n1", 0.5); !errors.Is(err, nemesis.ErrLogTooSmall) {
		t.Errorf("flipped a bit of a small log: %v", err)
	}
	path, content := logged(t, data, 2*cluster.LeastLog)
	undo := func() error { return Undo(filepath.Dir(filepath.Dir(dir)), []string{"unflip n1"}) }
	for i, unflip := range []func() error{
		func() error { return c.Unflip(ctx, "n1") }, undo,
	} {
		where, err := c.FlipBit(ctx, "n1", 0.999)
		if at := differing(t, path, content); err != nil || len(at) != 1 || at[0] >= cluster.LeastLog {
			t.Errorf("%d: %s, %v: differs at %v", i, where, err, at)
		}
		for range 2 {
			if err := unflip(); err != nil {
				t.Error(err)
			}
			if at := differing(t, path, content); len(at) != 0 {
				t.Errorf("%d: still differs at %v", i, at)
			}
		}
	}
	if _, err := c.FlipBit(ctx, "n1", 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil { // as a node does that has made a checkpoint
		t.Fatal(err)
	}
	if err := c.Unflip(ctx, "n1"); err != nil {
		t.Error(err)
	}
}

// TestUndo takes back settings, and touches nothing outside of the run.
func TestUndo(t *testing.T) {
	dir := t.TempDir()
	node := filepath.Join(dir, "nodes", "n1")
	outside := filepath.Join(dir, "clock")
	if err := os.MkdirAll(node, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(node, clockFile), filepath.Join(node, diskFile), outside,
	} {
		if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		err := Undo(dir, []string{
			"true-clock n1", "sound-disk n1", "unflip n1", "start n1", "true-clock ../..",
			"true-clock ..", "true-clock n9", "clear fault-3",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(node)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}
