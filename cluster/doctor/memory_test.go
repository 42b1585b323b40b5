package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// memoryTrial runs the trial of memory with a program as the agent, in a directory of its
// own.
func memoryTrial(t *testing.T, dir string) (string, error) {
	t.Helper()
	i := slices.IndexFunc(mechanisms(), func(m Mechanism) bool { return m.Name == MemoryGroups })
	out, err := exec.Command("sh", "-c", mechanisms()[i].whole(),
		"doctor", "C", dir).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// The trial of memory tells the truth of what the agent says, and always takes back what
// it did.
func TestMemoryTrial(t *testing.T) {
	for _, tc := range []struct {
		name, limit, injury, enter string
		ok                         bool
		want                       string
	}{
		{"the kernel keeps it", "", `{"kind":"memory","memory":{"met":7}}`, "/dev/null", true,
			"a process met its limit 7 times"},
		{"nobody met it", "", `{"memory":{"met":0,"limit":8388608}}`, "/dev/null", false,
			"a process that wants 32 MiB did not meet a limit of 8"},
		{"no group", "echo no memory controller >&2; exit 255", "", "/dev/null", false,
			"no memory controller"},
		{"nobody enters it", "", `{"memory":{"met":7}}`, "/nowhere/procs", false,
			"no process can be moved"},
		{"nobody knows", "", "", "/dev/null", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			agent := "#!/bin/sh\necho \"$*\" >>" + dir + "/calls\ncase \"$2\" in\n" +
				"memory) " + tc.limit + "\n echo " + tc.enter + " >" + dir + "/group ;;\n" +
				"injury) echo '" + tc.injury + "'; [ '" + tc.injury + "' ] || exit 255 ;;\nesac\n"
			if err := os.WriteFile(filepath.Join(dir, agentFile), []byte(agent), 0o755); err != nil {
				t.Fatal(err)
			}
			got, err := memoryTrial(t, dir)
			if (err == nil) != tc.ok || tc.want != "" && !strings.HasSuffix(got, tc.want) {
				t.Errorf("%v: %q", err, got)
			}
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil || !strings.HasSuffix(strings.TrimSpace(string(calls)),
				"agent undo --record "+dir+"/memory.json") {
				t.Errorf("the last call is no undo: %s, %v", calls, err)
			}
		})
	}
}

// The same with the agent itself, where there is a kernel that limits memory: what it made
// is gone after it.
func TestMemoryTrialForReal(t *testing.T) {
	at := "/sys/fs/cgroup/memory"
	if _, err := os.Stat(at); err != nil {
		at = "/sys/fs/cgroup"
	}
	probe := filepath.Join(at, "ordeal-doctor-test")
	if err := os.Mkdir(probe, 0o755); err != nil {
		t.Skipf("no control groups can be made here: %v", err)
	}
	if err := os.Remove(probe); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent"), self(t), 0o755); err != nil {
		t.Fatal(err)
	}
	// Before all is taken back somebody looks which group there is.
	wrapped := "#!/bin/sh\ncp " + dir + "/group " + dir + "/seen 2>/dev/null\nexec " + dir +
		"/agent \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, agentFile), []byte(wrapped), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := memoryTrial(t, dir)
	if err != nil || !strings.HasPrefix(got, "a process met its limit ") ||
		strings.HasSuffix(got, " 0 times") {
		t.Errorf("%v: %s", err, got)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	group := filepath.Dir(strings.TrimSpace(string(seen)))
	if err != nil || !strings.HasPrefix(group, at+"/") {
		t.Fatalf("the group was %s, %v", group, err)
	}
	if _, err := os.Stat(group); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", group, err)
	}
}
