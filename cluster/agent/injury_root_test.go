//go:build linux && (amd64 || arm64)

package agent

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The record may be on the volume that is full: what ext4 keeps for itself is known all the
// same.
func TestFullDiskOfRecord(t *testing.T) {
	requireRoot(t)
	volume := t.TempDir()
	image := filepath.Join(t.TempDir(), "image")
	must := func(argv ...string) {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	must("truncate", "-s", "64M", image)
	must("mkfs.ext4", "-q", image)
	must("mount", "-o", "loop", image, volume)
	t.Cleanup(func() { must("umount", volume) })
	s := &scene{t: t, dir: volume, record: filepath.Join(volume, "record")}
	s.inflict(func() injury { return &fillDisk{Dir: volume, Most: 1 << 30} })
	v, err := statusOf(s.record)
	if err != nil || v.Volume.Free == 0 || v.Volume.Reserve != v.Volume.Free {
		t.Errorf("%+v, %v", v.Volume, err)
	}
}

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

// requireGroups skips the test where there are no control groups with a controller.
func requireGroups(t *testing.T, controller string) {
	t.Helper()
	_, err := procFS("/proc").hierarchy(controller)
	if err != nil && os.Getenv(requireVariable) == "required" {
		t.Fatalf("%v, but %s=required", err, requireVariable)
	}
	if err != nil {
		t.Skip(err)
	}
}

// A busy process gets its share and no more, and all of a CPU after the undoing, also if it
// is a child that does not carry the marker, as those of a script are.
func TestCPULimit(t *testing.T) {
	requireRoot(t)
	requireGroups(t, controllerCPU)
	marker := filepath.Join(t.TempDir(), "busy")
	cmd := exec.Command("/bin/sh", "-c", "sh -c 'while :; do :; done' & wait", "sh", marker)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	awaitFamily(t, marker, 2)
	s := &scene{t: t, record: filepath.Join(t.TempDir(), "record")}
	x := &limitCPU{}
	s.inflict(func() injury {
		x = &limitCPU{Marker: marker, Percent: 5, Proc: "/proc", Name: s.record}
		return x
	})
	for deadline := time.Now().Add(patience); ; {
		now, err := x.status()
		if err != nil || len(now.PIDs) != 2 || !slices.Contains(now.PIDs, cmd.Process.Pid) {
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

// hungry enters the group, has a file of 20 MiB in memory, and takes 40 MiB more for each
// line that it reads.
const hungry = `echo $$ >"$(cat "$0")" && head -c 20m /dev/zero >"$1" && sync "$1"
echo ready
while read line; do head -c 40m /dev/zero | tail -c 40m | wc -c; done`

// A process is squeezed into half of its memory without being killed, is killed when it
// wants more, and gets it when the limit is lifted.
func TestMemoryLimit(t *testing.T) {
	requireRoot(t)
	requireGroups(t, controllerMemory)
	s := &scene{t: t, record: filepath.Join(t.TempDir(), "record")}
	t.Cleanup(func() {
		if _, err := Undo(s.record); err != nil {
			t.Error(err)
		}
	})
	enter := filepath.Join(t.TempDir(), "enter")
	x := &limitMemory{}
	limit := func(set MemorySetting) MemoryStatus {
		t.Helper()
		s.inflict(func() injury {
			x = &limitMemory{MemorySetting: set, Enter: enter, Proc: "/proc", Name: s.record}
			return x
		})
		status, err := statusOf(s.record)
		if err != nil {
			t.Fatal(err)
		}
		return *status.Memory
	}
	limit(MemorySetting{})
	if err := inflict(s.record, &limitMemory{
		MemorySetting: MemorySetting{Percent: 50}, Enter: enter, Proc: "/proc", Name: s.record,
	}); err == nil {
		t.Error("half of what nobody uses")
	}
	cmd := exec.Command("/bin/sh", "-c", hungry, enter, filepath.Join(t.TempDir(), "cached"))
	in, err := cmd.StdinPipe()
	out, oerr := cmd.StdoutPipe()
	if err := errors.Join(err, oerr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	say := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("%q, want %q", lines.Text(), want)
		}
	}
	say("ready")
	got := limit(MemorySetting{Percent: 50})
	if got.Before < 20<<20 || got.Limit > got.Before*6/10 || got.Used > got.Limit ||
		got.Kills != 0 || len(got.PIDs) != 1 {
		t.Errorf("%+v", got)
	}
	_, err = in.Write([]byte("more\n"))
	say("0")
	if got := limit(MemorySetting{Percent: 50}); err != nil || got.Kills != 1 || got.Met == 0 {
		t.Errorf("it took what it must not have: %+v, %v", got, err)
	}
	if got := limit(MemorySetting{}); got.Limit != 0 || got.Met != 0 {
		t.Errorf("the limit is not lifted: %+v", got)
	}
	_, err = in.Write([]byte("more\n"))
	say("41943040")
	u := s.undo()
	_, group := os.Lstat(x.Group)
	if _, file := os.Lstat(enter); err != nil || u.Left != "" || group == nil || file == nil {
		t.Errorf("%+v, %v: %s or %s is left", u, err, x.Group, enter)
	}
}

// awaitFamily waits until so many processes belong to a marker.
func awaitFamily(t *testing.T, marker string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		all, err := procFS("/proc").family(marker, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d processes, want %d: %+v", len(all), n, all)
		}
		<-time.After(10 * ms)
	}
}
