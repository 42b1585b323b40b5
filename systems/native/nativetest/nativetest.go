// Package nativetest runs systems that the checker knows by name, for the tests of their
// packages: the nodes on this machine, by the commands of their declaration.
package nativetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/expand"
	"github.com/ordeal-dev/ordeal/systems/native"
)

// Cluster is a system that runs until its test ends.
type Cluster struct {
	Client    native.Client
	Endpoints []string
	// Nodes are their processes.
	Nodes []*exec.Cmd
}

// Load returns the declaration and the client of a system. They have to be right.
func Load(
	t *testing.T, s native.System, chosen map[string]string,
) (*declare.Declaration, native.Client) {
	t.Helper()
	values, err := s.Choose(chosen)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Declare(values)
	if err != nil {
		t.Fatal(err)
	}
	client, err := s.Client(values)
	if err != nil {
		t.Fatal(err)
	}
	d, err := declare.LoadNative(s.Name, []byte(text), client)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d, client
}

// Start starts nodes n1, n2, … and waits until a read is served at each.
func Start(
	t *testing.T, s native.System, chosen map[string]string, n int, object string, read history.Event,
) *Cluster {
	t.Helper()
	d, client := Load(t, s, chosen)
	c := &Cluster{Client: client}
	members := reserve(t, n)
	for i := range n {
		node := expand.Node{Member: members[i], Nodes: members, Cluster: "test", Seed: 1}
		node.Bind = fmt.Sprintf("127.0.0.1:%d", node.Port)
		node.PeerBind = fmt.Sprintf("127.0.0.1:%d", node.PeerPort)
		node.Data = filepath.Join(t.TempDir(), "data")
		c.Endpoints = append(c.Endpoints, node.Bind)
		c.Nodes = append(c.Nodes, start(t, d, node))
	}
	for _, endpoint := range c.Endpoints {
		Await(t, endpoint+" serves", func() error { return once(t, client, endpoint, object, read) })
	}
	return c
}

// reserve finds free ports.
func reserve(t *testing.T, n int) []expand.Member {
	t.Helper()
	var taken []net.Listener
	port := func() int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, l)
		return l.Addr().(*net.TCPAddr).Port
	}
	members := make([]expand.Member, n)
	for i := range members {
		members[i] = expand.Member{
			Name: fmt.Sprintf("n%d", i+1), Index: i, Number: i + 1, Address: "127.0.0.1",
			Port: port(), PeerPort: port(),
		}
	}
	for _, l := range taken {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return members
}

// start installs and starts a node. At the end of the test it is told to stop.
func start(t *testing.T, d *declare.Declaration, node expand.Node) *exec.Cmd {
	t.Helper()
	if err := os.Mkdir(node.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	command := func(ctx context.Context, flag, text string) *exec.Cmd {
		script, err := expand.Text(text, node, true)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, "sh", flag, script)
		cmd.Dir, cmd.Env = node.Data, os.Environ()
		for name, value := range d.Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		return cmd
	}
	if d.Install != "" {
		if out, err := command(t.Context(), "-ec", d.Install).CombinedOutput(); err != nil {
			t.Fatalf("install %s: %v: %s", node.Name, err, out)
		}
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(context.WithoutCancel(t.Context()), "-c", d.Start)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.Stop != "" {
			_ = command(context.WithoutCancel(t.Context()), "-c", d.Stop).Run()
		} else {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		}
		kill := time.AfterFunc(d.StopWithin, crash.Guard(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}))
		_ = cmd.Wait() // by a signal
		kill.Stop()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("log of %s:\n%s", node.Name, text)
		}
		_ = log.Close()
	})
	return cmd
}

// patience is how long nodes may take for anything, first of all to serve.
const patience = 90 * time.Second

// Await asks again and again until there is no error.
func Await(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.After(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

func once(t *testing.T, c native.Client, endpoint, object string, read history.Event) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := c.Open(ctx, []string{endpoint}, object)
	if err != nil {
		return err
	}
	_, err = s.Invoke(ctx, read)
	return errors.Join(err, s.Close())
}

// Say does an operation in a session and tells what came of it: "ok" and the answer, "fail",
// or "unknown" and the error.
func Say(t *testing.T, s native.Session, f, key, value string) string {
	t.Helper()
	v, err := history.ParseValue([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	op, err := s.Invoke(ctx, history.Event{F: history.F(f), Key: history.Key(key), Value: v})
	switch {
	case history.IsDefinite(err):
		return "fail"
	case err != nil:
		return "unknown: " + err.Error()
	default:
		return "ok " + op.Value.String()
	}
}

// Open makes a session that ends with the test.
func Open(t *testing.T, c native.Client, object string, endpoints ...string) native.Session {
	t.Helper()
	s, err := c.Open(t.Context(), endpoints, object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Case is an operation and what comes of it.
type Case struct{ Object, F, Value, Want string }

// Run does operations on key k, each in a session of its own.
func Run(t *testing.T, c *Cluster, cases []Case) {
	t.Helper()
	for _, k := range cases {
		s := Open(t, c.Client, k.Object, c.Endpoints...)
		if got := Say(t, s, k.F, "k", k.Value); got != k.Want {
			t.Errorf("%s %s %s: %s, want %s", k.Object, k.F, k.Value, got, k.Want)
		}
	}
}

// Transactions are operations that every system with transactions answers in the same way.
func Transactions() []Case {
	return []Case{
		{"txn", "txn", `[["r","x",null],["w","x",5],["add","x",-2],["r","x",null]]`,
			`ok [["r","x",null],["w","x",5],["add","x",-2],["r","x",3]]`},
		{"txn", "txn", `[["w","y",1],["add","x",-4]]`, "fail"},
		{"txn", "txn", `[["r","y",null],["r","x",null]]`, `ok [["r","y",null],["r","x",3]]`},
		{"txn-list", "txn", `[["append","l",1],["append","l",2],["r","l",null]]`,
			`ok [["append","l",1],["append","l",2],["r","l",[1,2]]]`},
		{"txn-list", "txn", `[["r","none",null]]`, `ok [["r","none",[]]]`},
	}
}

// Registers are operations on registers and sets.
func Registers() []Case {
	return []Case{
		{"register", "read", "null", "ok null"}, {"register", "write", "3", "ok 3"},
		{"cas-register", "cas", "[3,4]", "ok [3,4]"}, {"cas-register", "cas", "[3,5]", "fail"},
		{"cas-register", "cas", "[4,4]", "ok [4,4]"}, {"register", "read", "null", "ok 4"},
		{"set", "read", "null", "ok []"}, {"set", "add", "7", "ok 7"}, {"set", "add", "8", "ok 8"},
		{"set", "read", "null", "ok [7,8]"},
	}
}

// Installed skips the test unless the program is there, in PATH or as a pattern of paths, and
// root has the user to run it.
func Installed(t *testing.T, user string, programs ...string) {
	t.Helper()
	found := false
	for _, p := range programs {
		if strings.Contains(p, "/") {
			m, err := filepath.Glob(p)
			found = found || err == nil && len(m) > 0
		} else if _, err := exec.LookPath(p); err == nil {
			found = true
		}
	}
	if !found {
		t.Skipf("not installed: %s", strings.Join(programs, ", "))
	}
	if os.Geteuid() == 0 && user != "" && exec.Command("id", user).Run() != nil {
		t.Skipf("root has no user %s to run it", user)
	}
}
