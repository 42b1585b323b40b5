//go:build linux && (amd64 || arm64)

package agent

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A small volume is filled to the last block, a program gets ENOSPC, and the undoing
// gives it all back.
func TestFullDisk(t *testing.T) {
	requireRoot(t)
	volume := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "ordeal", volume).
		CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(volume, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	before, err := freeBytes(volume)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, dir: volume, record: filepath.Join(t.TempDir(), "record")}
	write := func() error {
		return os.WriteFile(filepath.Join(volume, "data"), make([]byte, 10_000), 0o600)
	}
	full := func() injury { return &fillDisk{Dir: volume, Most: 1 << 30} }
	s.inflict(full)
	if v, err := statusOf(s.record); err != nil || v.Volume.Free != 0 || v.Volume.Took < 7<<20 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := write(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing to a full disk: %v", err)
	}
	if u := s.undo(); u.Left != "" {
		t.Errorf("%+v", u)
	}
	if err := write(); err != nil {
		t.Errorf("writing after the undoing: %v", err)
	}
	_ = os.Remove(filepath.Join(volume, "data"))
	if after, err := freeBytes(volume); err != nil || after != before {
		t.Errorf("%d bytes free, %d before, %v", after, before, err)
	}
	s.inflict(func() injury { return &fillDisk{Dir: volume, Most: 1 << 30, Leave: 1 << 20} })
	if free, err := freeBytes(volume); err != nil || free < 1<<20 || free > 1<<20+4096 {
		t.Errorf("%d bytes free, 1 MiB was to be left, %v", free, err)
	}
	s.undo()
	// The record may be on the volume itself.
	s.record = filepath.Join(volume, "record")
	s.inflict(full)
	s.undo()
	if err := inflict(s.record, &fillDisk{Dir: volume, Most: 1 << 20}); !errors.Is(err, ErrUsage) {
		t.Errorf("a volume that is too large: %v", err)
	}
}

// A busy process gets its share and no more, and all of a CPU after the undoing.
func TestCPULimit(t *testing.T) {
	requireRoot(t)
	if _, err := procFS("/proc").cpuHierarchy(); err != nil {
		t.Skip(err)
	}
	marker := filepath.Join(t.TempDir(), "busy")
	cmd := exec.Command("/bin/sh", "-c", "while :; do :; done", "sh", marker)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s := &scene{t: t, record: filepath.Join(t.TempDir(), "record")}
	x := &limitCPU{}
	s.inflict(func() injury {
		x = &limitCPU{Marker: marker, Percent: 5, Proc: "/proc", Name: s.record}
		return x
	})
	for deadline := time.Now().Add(patience); ; {
		now, err := x.status()
		if err != nil || len(now.PIDs) != 1 || now.PIDs[0] != cmd.Process.Pid {
			t.Fatalf("%+v, %v", now, err)
		}
		if now.Throttled >= 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not throttled: %+v", now)
		}
		<-time.After(50 * ms)
	}
	if u := s.undo(); u.Left != "" {
		t.Errorf("%+v", u)
	}
	if _, err := os.Lstat(x.Group); err == nil {
		t.Error("the group is left")
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "cgroup"))
	if err != nil || strings.Contains(string(text), "ordeal-") {
		t.Errorf("%q, %v", text, err)
	}
}
