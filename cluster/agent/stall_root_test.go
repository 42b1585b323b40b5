//go:build linux && (amd64 || arm64)

package agent

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// syncer is a process that writes to a file in a directory and syncs it, for ever.
func syncer(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c",
		`while :; do dd if=/dev/zero of="$0/written" bs=64k count=1 conv=fsync 2>/dev/null; done`, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
}

// onVolume puts the scene's directory on a volume of its own, and returns its record.
func (s *scene) onVolume(filesystem string) string {
	s.t.Helper()
	record := s.record + "-volume"
	err := inflict(record, &volume{
		Dir: s.dir, Filesystem: filesystem, Marker: s.dir, Power: PowerOn, Proc: "/proc",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if _, err := Undo(record); err != nil {
			s.t.Error(err)
		}
	})
	return record
}

// await looks at an injury until it is as it should be.
func (s *scene) await(what string, so func(InjuryStatus) bool) InjuryStatus {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		status, err := statusOf(s.record)
		if err != nil {
			s.t.Fatal(err)
		}
		if so(status) {
			return status
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %+v %+v", what, status.Stall, status.Writes)
		}
		<-time.After(50 * ms)
	}
}

// A volume stands still again and again: whoever syncs waits, and is seen to; in the end a
// sync returns. Nothing else is ever frozen.
func TestSlowVolume(t *testing.T) {
	requireRoot(t)
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			if _, err := exec.LookPath("mkfs." + filesystem); err != nil && filesystem != "ext4" {
				t.Skip(err)
			}
			s := newScene(t)
			slow := func() injury {
				return &stall{
					Volume: s.record + "-volume", Delay: 200 * ms, Gap: 100 * ms, Lease: DefaultLease,
					Proc: "/proc",
				}
			}
			if err := inflict(s.record, slow()); err == nil {
				t.Fatal("what is on no volume of its own was frozen")
			}
			s.onVolume(filesystem)
			syncer(t, s.dir)
			s.inflict(slow)
			got := s.await("slow syncs", func(i InjuryStatus) bool {
				return i.Stall.Slow > 1 && i.Stall.Waiting > 1
			})
			if got.Stall.State != Running || got.Stall.Slowest < 100*ms || got.Stall.Failed != "" {
				t.Errorf("%+v", got.Stall)
			}
			s.undo()
			thawed(t, s.dir)
		})
	}
}

// thawed syncs a file in a directory; who waits for ever cannot be killed, so a process
// does it.
func thawed(t *testing.T, dir string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- exec.Command("dd", "if=/dev/zero", "of="+dir+"/after", "bs=1k", "count=1",
			"conv=fsync").Run()
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the volume is still frozen")
	}
}

// However the daemon ends, the volume does not stay frozen: nobody asks for it any more, it is
// killed, or it is killed with its guard and there is a healer.
func TestThawed(t *testing.T) {
	requireRoot(t)
	for _, end := range []string{"lease", "killed", "both"} {
		t.Run(end, func(t *testing.T) {
			s := newScene(t)
			s.onVolume("ext4")
			x := &stall{
				Volume: s.record + "-volume", Delay: 20 * time.Second, Gap: 100 * ms, Lease: DefaultLease,
				Proc: "/proc",
			}
			if end == "lease" {
				x.Lease = time.Second
			}
			if err := inflict(s.record, x); err != nil {
				t.Fatal(err)
			}
			if end != "lease" {
				s.await("a freeze", func(i InjuryStatus) bool { return i.Stall.Freezes > 0 })
				kill(t, aside(s.record), end == "both")
			}
			if end == "both" {
				s.undo()
			}
			thawed(t, s.dir)
			if end != "both" {
				s.undo()
			}
		})
	}
}

// kill ends the daemon of a directory by SIGKILL, and its guard before it.
func kill(t *testing.T, dir string, guardToo bool) {
	t.Helper()
	begun, err := readStatus(files(dir).begun())
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{begun.PID}
	all, err := procFS("/proc").all()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if guardToo && strings.Contains(p.Command, "volume guard --dir "+dir+" ") {
			pids = append([]int{p.PID}, pids...)
		}
	}
	if guardToo != (len(pids) == 2) {
		t.Fatalf("processes %v", pids)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

// Processes write to a disk as slowly as they are told, which the kernel counts.
func TestWriteLimit(t *testing.T) {
	requireRoot(t)
	const rate = 256 << 10
	s := newScene(t)
	s.onVolume("ext4")
	syncer(t, s.dir)
	x := &limitWrites{}
	s.inflict(func() injury {
		x = &limitWrites{
			Dir: s.dir, Marker: s.dir, Rate: rate, Name: s.record, Proc: "/proc", Sys: "/sys",
		}
		return x
	})
	if _, err := procFS("/proc").hierarchy("blkio"); err != nil {
		t.Skip(err)
	}
	got := s.await("a second's writes", func(i InjuryStatus) bool { return i.Writes.Written > rate })
	if took := got.Writes.Since.Seconds(); float64(got.Writes.Written) > 1.5*rate*(took+0.5) {
		t.Errorf("%d bytes in %.1f s", got.Writes.Written, took)
	}
	s.undo()
	if _, err := os.Lstat(x.Group); err == nil {
		t.Error("the group is left")
	}
	err := inflict(s.record, &limitWrites{
		Dir: "/proc", PIDs: []int{os.Getpid()}, Rate: rate, Proc: "/proc", Sys: "/sys",
	})
	if err == nil || !strings.Contains(err.Error(), "is on no disk whose writes could be limited") {
		t.Errorf("files that are on no disk: %v", err)
	}
}

// The commands to cgroup v2 that limit writes, on files; a part of a disk is limited as the
// whole.
func TestWriteLimitOfVersion2(t *testing.T) {
	dir := t.TempDir()
	var here syscall.Stat_t
	if err := syscall.Stat(dir, &here); err != nil {
		t.Fatal(err)
	}
	major, minor := deviceNumbers(here.Dev)
	device := strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10)
	for name, text := range map[string]string{
		"devices/disk/dev": "8:16\n", "devices/disk/part/partition": "1\n", "cgroup.subtree_control": "",
		"ordeal/io.max": "", "ordeal/cgroup.procs": "",
		"ordeal/io.stat": "8:0 rbytes=1 wbytes=2 rios=1\n8:16 rbytes=5 wbytes=4096 rios=1 wios=1\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := os.Symlink("../../devices/disk/part", filepath.Join(dir, "dev/block", device))
	if err != nil {
		t.Fatal(err)
	}
	x := &limitWrites{
		Dir: dir, Rate: 1000, Sys: dir, Proc: "/proc",
		controlGroup: controlGroup{Unified: true, Group: filepath.Join(dir, "ordeal")},
	}
	if x.Device, err = x.disk(); err != nil || x.Device != "8:16" {
		t.Fatalf("%q, %v", x.Device, err)
	}
	if err := x.apply(""); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(x.Group, "io.max"))
	if err != nil || !bytes.Equal(got, []byte("8:16 wbps=1000")) {
		t.Errorf("%q, %v", got, err)
	}
	if s, err := x.status(); err != nil || s.Written != 4096 {
		t.Errorf("%+v, %v", s, err)
	}
}
