//go:build linux && (amd64 || arm64)

package agent

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The power of a volume fails under a process: what was synced is there afterwards, the
// rest is gone, twice, and in the end the directory is what it was, with the data.
func TestPowerLoss(t *testing.T) {
	requireRoot(t)
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			if _, err := exec.LookPath("mkfs." + filesystem); err != nil && filesystem != "ext4" {
				t.Skip(err)
			}
			testPowerLoss(t, filesystem)
		})
	}
}

func testPowerLoss(t *testing.T, filesystem string) {
	s := newScene(t)
	t.Cleanup(func() {
		if _, err := Undo(s.record); err != nil {
			t.Error(err)
		}
	})
	power := func(p VolumePower) PowerStatus {
		t.Helper()
		s.inflict(func() injury {
			return &volume{
				Dir: s.dir, Filesystem: filesystem, Marker: s.dir, Power: p, Proc: "/proc",
			}
		})
		status, err := statusOf(s.record)
		if err != nil {
			t.Fatal(err)
		}
		return *status.Power
	}
	if err := inflict(s.record, &volume{
		Dir: s.dir, Filesystem: filesystem, Power: PowerOff, Proc: "/proc",
	}); !errors.Is(err, ErrUsage) {
		t.Errorf("power off without a volume: %v", err)
	}
	power(PowerOn)
	synced, unsynced := filepath.Join(s.dir, "synced"), filepath.Join(s.dir, "unsynced")
	for round := 1; round <= 2; round++ {
		process := sleeper(t, s.dir)
		if err := writeWhole(synced, []byte("kept")); err != nil {
			t.Fatal(err)
		}
		s.write(unsynced, []byte("lost"))
		power(PowerOff)
		if p, err := procFS("/proc").look(process.Process.Pid); err != nil || !p.Stopped {
			t.Errorf("the process goes on: %+v, %v", p, err)
		}
		err := inflict(s.record, &volume{
			Dir: s.dir, Filesystem: filesystem, Marker: s.dir, Power: PowerOn, Proc: "/proc",
		})
		if err == nil {
			t.Error("the power came back while the process was there")
		}
		if err := process.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = process.Wait()
		if got := power(PowerOn); !got.Kept || !got.Lost || got.Failures != round ||
			got.Before-got.After != 4 {
			t.Errorf("round %d: %+v", round, got)
		}
		if text, err := os.ReadFile(synced); err != nil || string(text) != "kept" {
			t.Errorf("what was synced is %q, %v", text, err)
		}
		// Of a slow machine the kernel may have written the name meanwhile.
		if text, err := os.ReadFile(unsynced); !errors.Is(err, fs.ErrNotExist) && len(text) > 0 {
			t.Errorf("what was not synced is there: %q, %v", text, err)
		}
	}
	testPowerUndone(t, s, synced)
}

// testPowerUndone takes the volume away: the data is where it was.
func testPowerUndone(t *testing.T, s *scene, synced string) {
	t.Helper()
	if u := s.undo(); u.Left != "" {
		t.Errorf("%+v", u)
	}
	if text, err := os.ReadFile(synced); err != nil || string(text) != "kept" {
		t.Errorf("in the end: %q, %v", text, err)
	}
	var there, here syscall.Stat_t
	err := errors.Join(syscall.Stat(s.dir, &there), syscall.Stat(filepath.Dir(s.dir), &here))
	if err != nil || there.Dev != here.Dev {
		t.Errorf("the directory is still on its own volume: %v", err)
	}
	if _, err := os.Stat(aside(s.record)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the volume is left: %v", err)
	}
}
