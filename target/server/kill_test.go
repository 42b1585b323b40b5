package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
)

// childEnv, when set, makes the test program one node: the value is a child as
// JSON. It ends when its standard input does, so that it cannot outlive the test.
const childEnv = "ORDEAL_TARGET_CHILD"

type child struct {
	Dir, Ready string
	Volatile   bool
	Bug        bug.ID
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		os.Exit(runChild(spec))
	}
	os.Exit(m.Run())
}

func runChild(spec string) int {
	var c child
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	n, err := Open(ctx, Config{
		Protocol: "toy", New: newToy, ID: "n1", DataDir: c.Dir, ReadyFile: c.Ready,
		Bind: "127.0.0.1:0", PeerBind: "127.0.0.1:0", ClusterID: "test",
		Volatile: c.Volatile, Bugs: bug.Set{c.Bug: true}, RequestTimeout: time.Second,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err == nil {
		err = n.Serve(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// spawn starts a node as a process and waits until it serves.
func spawn(t *testing.T, c child) (url string, kill func()) {
	t.Helper()
	spec, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := false
	kill = func() {
		if !dead {
			dead = true
			cmd.Process.Kill()
			cmd.Wait()
			stdin.Close()
		}
	}
	t.Cleanup(kill)
	var ready Ready
	await(t, "the child serves", func() bool {
		content, err := os.ReadFile(c.Ready)
		return err == nil && json.Unmarshal(content, &ready) == nil &&
			ready.PID == cmd.Process.Pid
	})
	return "http://" + ready.HTTP + "/v1/op", kill
}

// Acknowledged writes survive SIGKILL, unless syncs are left out and the disk is
// volatile: only then does the kill lose what a power cut would.
func TestKill(t *testing.T) {
	for _, tc := range []struct {
		name     string
		volatile bool
		bug      bug.ID
		want     string
	}{
		{"correct on volatile disk", true, "", "200 ok 2"},
		{"correct on real disk", false, "", "200 ok 2"},
		{"no fsync on volatile disk", true, bug.NoFsync, "200 ok null"},
		{"no fsync on real disk keeps the page cache", false, bug.NoFsync, "200 ok 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			c := child{
				Dir: filepath.Join(dir, "data"), Ready: filepath.Join(dir, "ready"),
				Volatile: tc.volatile, Bug: tc.bug,
			}
			url, kill := spawn(t, c)
			for _, value := range []string{"1", "2"} {
				a, err := call(t.Context(), "POST", url, writeOp(value))
				if err != nil {
					t.Fatal(err)
				}
				expect(t, "write", a.String(), "200 ok null")
			}
			kill()
			url, _ = spawn(t, c)
			a, err := call(t.Context(), "POST", url, readOp)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "read after SIGKILL", a.String(), tc.want)
		})
	}
}
