//go:build linux

package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process with a marker on its command line.
func sleeper(t *testing.T, marker string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "while read line; do :; done", "sh", marker)
	cmd.Env = append(os.Environ(), "MARKER="+marker+"/in-environment")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = in.Close()
		_ = cmd.Wait()
	})
	return cmd
}

func TestFindProcesses(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "data")
	cmd := sleeper(t, marker)
	find := func(marker string, environment bool) []Process {
		t.Helper()
		all, err := procFS("/proc").find(marker, environment)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	await := func(what string, ok func(Process) bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; {
			all := find(marker, false)
			if len(all) == 1 && all[0].PID == cmd.Process.Pid && ok(all[0]) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, all)
			}
		}
	}
	await("runs", func(p Process) bool {
		return !p.Stopped && p.Parent == os.Getpid() && p.Started > 0 &&
			strings.HasSuffix(p.Command, marker)
	})
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await("stopped", func(p Process) bool { return p.Stopped && p.State == "T" })
	if all := find(filepath.Dir(marker), false); len(all) != 0 {
		t.Errorf("a part of the marker finds %+v", all)
	}
	if all := find(marker+"/in-environment", true); len(all) != 1 {
		t.Errorf("the environment's marker finds %+v", all)
	}
	if _, err := procFS("/proc").find("", false); err == nil {
		t.Error("an empty marker was taken")
	}
}

// Who asks carries the marker, too, and so does the shell that started it.
func TestFindDoesNotFindWhoAsks(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command("/bin/sh", "-c",
		`"$0" agent process find --marker "$1" && true`, self, marker)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "[]" {
		t.Errorf("%q, %v", out, err)
	}
}

// fakeProc is a /proc of which only what is asked for exists, and control groups that
// are plain files.
func TestCPUHierarchies(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	two := dir + "/two"
	v2 := "30 20 0:26 / " + two + " rw,nosuid - cgroup2 cgroup rw\n"
	v1 := "31 20 0:27 /docker/x " + dir + "/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	write("7/cgroup", "4:cpu,cpuacct:/docker/x/inner\n3:memory:/m\n0::/unified\n")
	for _, tc := range []struct{ name, mounts, controllers, want string }{
		{"v1 before v2", v2 + v1, "cpu memory", dir + "/cpu/inner"},
		{"v2", v2, "cpuset cpu", two + "/unified"},
		{"v2 without cpu", v2, "hugetlb", ""},
		{"none", "", "", ""},
	} {
		write("self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/root rw\n"+tc.mounts)
		write("two/cgroup.controllers", tc.controllers+"\n")
		got := ""
		h, err := procFS(dir).hierarchy(controllerCPU)
		if err == nil {
			got, err = procFS(dir).groupOf(7, h)
		}
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %q, %v", tc.name, got, err)
		}
	}
}

// The commands to cgroup v2, on files: the group stands beside all others.
func TestCPULimitOfVersion2(t *testing.T) {
	dir := t.TempDir()
	group := filepath.Join(dir, "ordeal")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"cgroup.subtree_control", "ordeal/cpu.max", "ordeal/cgroup.procs", "cgroup.procs",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	me, err := procFS("/proc").look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	x := &limitCPU{
		Percent: 25, Proc: "/proc",
		controlGroup: controlGroup{Unified: true, Group: group, Homes: []home{
			{PID: me.PID, Started: me.Started, Group: dir},
			{PID: me.PID, Started: me.Started + 1, Group: "/nowhere"}, // a pid used again
		}},
	}
	if err := x.apply(""); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"cgroup.subtree_control": "+cpu", "ordeal/cpu.max": "25000 100000",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if pids, err := groupMembers(group); err != nil || !slices.Equal(pids, []int{me.PID}) {
		t.Errorf("in the group: %v, %v", pids, err)
	}
}

// The commands to cgroup v2 that limit memory, on files: the kernel is asked to take away
// what is too much, and the limit is not lower than what is left.
func TestMemoryLimitOfVersion2(t *testing.T) {
	for _, tc := range []struct {
		name    string
		set     MemorySetting
		reclaim bool
		want    map[string]string
	}{
		{"bytes", MemorySetting{Bytes: 700}, true, map[string]string{
			"memory.reclaim": "300", "memory.max": "1000", "cgroup.subtree_control": "+memory",
		}},
		{"percent", MemorySetting{Percent: 80}, true, map[string]string{
			"memory.reclaim": "200", "memory.max": "1000",
		}},
		{"old kernel", MemorySetting{Bytes: 700}, false, map[string]string{
			"memory.high": "max", "memory.max": "1000",
		}},
		{"more than it has", MemorySetting{Bytes: 4000}, true, map[string]string{
			"memory.reclaim": "", "memory.max": "4000",
		}},
		{"none", MemorySetting{}, true, map[string]string{"memory.reclaim": "", "memory.max": "max"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			x := &limitMemory{
				MemorySetting: tc.set, Enter: filepath.Join(dir, "enter"), Proc: "/proc",
				controlGroup: controlGroup{Unified: true, Group: filepath.Join(dir, "ordeal")},
			}
			files := map[string]string{
				"cgroup.subtree_control": "", "memory.max": "", "memory.high": "", "cgroup.procs": "7\n",
				"memory.current": "1000\n", "memory.events": "low 0\nmax 5\noom 2\noom_kill 1\n",
			}
			if tc.reclaim {
				files["memory.reclaim"] = ""
			}
			if err := os.Mkdir(x.Group, 0o755); err != nil {
				t.Fatal(err)
			}
			place := func(name string) string {
				if name == "cgroup.subtree_control" {
					return filepath.Join(dir, name)
				}
				return filepath.Join(x.Group, name)
			}
			for name, text := range files {
				if err := os.WriteFile(place(name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := x.apply(""); err != nil {
				t.Fatal(err)
			}
			for name, want := range tc.want {
				if got, err := os.ReadFile(place(name)); err != nil || string(got) != want {
					t.Errorf("%s: %q, want %q, %v", name, got, want, err)
				}
			}
			where, err := os.ReadFile(x.Enter)
			if err != nil || string(where) != x.Group+"/cgroup.procs\n" {
				t.Errorf("%q, %v", where, err)
			}
			x.Base = memoryCounts{Met: 3}
			s, err := x.status()
			if err != nil || s.Met != 2 || s.Kills != 1 || s.Used != 1000 {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}
