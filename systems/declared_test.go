package systems

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

const someClient = `
claim: {text: none, workloads: {register: linearizable}}
client:
  http:
    objects:
      register:
        read: {url: "http://{{ .Endpoint }}/{{ .Key }}", ok: {value: body | json}}
        write: {method: PUT, url: "http://{{ .Endpoint }}/{{ .Key }}", body: "{{ .Value }}"}
`

// declaration makes a system of a declaration's text.
func declaration(t *testing.T, text string) System {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mykv.yaml")
	if err := os.WriteFile(path, []byte(text+someClient), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{System: path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spec is a node with a directory of its own.
func spec(t *testing.T) NodeSpec {
	t.Helper()
	data := filepath.Join(t.TempDir(), "n1", "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	return NodeSpec{
		Name: "n1", DataDir: data, Bind: "127.0.0.1:8000", PeerBind: "127.0.0.1:9000", Here: true,
		Files: "/files", Members: []Member{
			{"n1", "127.0.0.1:8000", "127.0.0.1:9000"}, {"n2", "127.0.0.1:8001", "127.0.0.1:9001"},
		},
	}
}

// node is the process of a node that runs.
type scriptNode struct {
	t    *testing.T
	cmd  *exec.Cmd
	data string
	gone chan struct{}
}

func startNode(t *testing.T, s System, spec NodeSpec) *scriptNode {
	t.Helper()
	argv, err := s.Command(spec)
	if err != nil {
		t.Fatal(err)
	}
	n := &scriptNode{t: t, cmd: exec.Command(argv[0], argv[1:]...), data: spec.DataDir,
		gone: make(chan struct{})}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	n.cmd.Stdout, n.cmd.Stderr = out, out
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.gone)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
		<-n.gone
		if text, err := os.ReadFile(out.Name()); t.Failed() && err == nil {
			t.Logf("the node said: %s", text)
		}
	})
	return n
}

// file waits for a file in the data directory and returns what is in it.
func (n *scriptNode) file(name string) string {
	n.t.Helper()
	var text []byte
	n.await(name, func() bool {
		var err error
		text, err = os.ReadFile(filepath.Join(n.data, name))
		return err == nil && strings.HasSuffix(string(text), "\n")
	})
	return strings.TrimSpace(string(text))
}

func (n *scriptNode) await(what string, ok func() bool) {
	n.t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			n.t.Fatalf("waited too long for %s", what)
		}
	}
}

// needSetsid: the nodes of some tests put processes into sessions of their own.
func needSetsid(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("the machine has no setsid")
	}
}

func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && syscall.Kill(n, 0) == nil
}

// TestNodeScript: install happens once, before the first start, with what the node is told;
// a stop command ends it; the script's status is the system's.
func TestNodeScript(t *testing.T) {
	s := declaration(t, `
name: mykv
env: {WHO: "{{ .Name }} it's"}
wipe: echo wiped >>{{ .Data }}/../once
install: echo installed >>{{ .Data }}/../once
start: |
  echo "$WHO {{ .Bind }} {{ .Files }} {{ each "$name=$peer" "," .Peers }}" >began
  trap 'exit 7' USR1
  echo $$ >pid
  while :; do sleep 0.01; done
stop: kill -USR1 $(cat {{ .Data }}/pid)
`)
	sp := spec(t)
	for range 2 {
		n := startNode(t, s, sp)
		want := "n1 it's 127.0.0.1:8000 /files n2=127.0.0.1:9001"
		if got := n.file("began"); got != want {
			t.Errorf("it was told %q, want %q", got, want)
		}
		n.file("pid")
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
		<-n.gone
		if got := n.cmd.ProcessState.ExitCode(); got != 7 {
			t.Errorf("exit status %d", got)
		}
		for _, name := range []string{"began", "pid"} {
			if err := os.Remove(filepath.Join(sp.DataDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	once, err := os.ReadFile(filepath.Join(filepath.Dir(sp.DataDir), "once"))
	if err != nil || string(once) != "wiped\ninstalled\n" {
		t.Errorf("once: %q, %v", once, err)
	}
}

// TestInstallFails: the node says which command it was, and does not start.
func TestInstallFails(t *testing.T) {
	s := declaration(t, "name: mykv\ninstall: |\n  false\n  echo on\nstart: touch started\n")
	n := startNode(t, s, spec(t))
	<-n.gone
	_, err := os.Stat(filepath.Join(n.data, "started"))
	if err == nil || n.cmd.ProcessState.Success() {
		t.Errorf("it was started: %v, %v", err, n.cmd.ProcessState)
	}
}

// TestTether: a node does not outlive whoever started it, in whatever session its
// processes are.
func TestTether(t *testing.T) {
	needSetsid(t)
	s := declaration(t, `
name: mykv
process: {pid_file: "{{ .Data }}/pid"}
start: |
  setsid sh -c 'sleep 0.3; echo $$ >pid; exec sleep 100' &
`)
	sp := spec(t)
	sp.Tethered = true
	argv, err := s.Command(sp)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &scriptNode{t: t, data: sp.DataDir}
	pid := n.file("pid")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	n.await("the end of the daemon", func() bool { return !alive(pid) })
}

// TestDaemon: a node lives as long as its daemon, which may be slow to begin.
func TestDaemon(t *testing.T) {
	needSetsid(t)
	s := declaration(t, `
name: mykv
process: {pid_file: "{{ .Data }}/pid"}
start: |
  setsid sh -c 'sleep 0.3; echo $$ >pid; exec sleep 100' &
`)
	n := startNode(t, s, spec(t))
	pid, err := strconv.Atoi(n.file("pid"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.gone:
		t.Error("the node ended before its daemon")
	case <-time.After(300 * time.Millisecond): // longer than it looks for it
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-n.gone
}

// TestOthers: what is not in the node's group is found: children in sessions of their own,
// and daemons by a file or a pattern.
func TestOthers(t *testing.T) {
	needSetsid(t)
	for name, text := range map[string]string{
		"child": `
name: mykv
start: |
  setsid sh -c 'echo $$ >pid; while :; do sleep 0.05; done' &
  wait
`,
		"pid file": `
name: mykv
process: {pid_file: "{{ .Data }}/pid"}
start: |
  setsid sh -c 'setsid sh -c "echo \$\$ >pid; exec sleep 100" & exit'
`,
		"pattern": `
name: mykv
process: {pattern: "sleep 10[0].*"}
start: |
  setsid sh -c 'setsid sh -c "echo \$\$ >pid; exec sleep 100.$PPID" & exit'
`,
	} {
		t.Run(name, func(t *testing.T) {
			s, sp := declaration(t, text), spec(t)
			n := startNode(t, s, sp)
			pid := n.file("pid")
			t.Cleanup(func() {
				if p, err := strconv.Atoi(pid); err == nil && p > 1 {
					_ = syscall.Kill(p, syscall.SIGKILL)
				}
			})
			script, err := s.Others(sp)
			if err != nil {
				t.Fatal(err)
			}
			n.await("the process to be found", func() bool {
				out, err := exec.Command("sh", "-c", script, "sh",
					fmt.Sprint(n.cmd.Process.Pid)).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				return strings.Contains("\n"+string(out), "\n"+pid+"\n")
			})
		})
	}
}

// TestDeclaredStatus: who leads and who belongs to it is read as the declaration says, and
// orders go where it says.
func TestDeclaredStatus(t *testing.T) {
	var orders []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "n3"):
			w.WriteHeader(http.StatusConflict)
		case r.Method == http.MethodPost:
			orders = append(orders, r.URL.Path)
		default:
			fmt.Fprint(w, `{"role":"leader","members":["n1","n2"]}`)
		}
	}))
	defer server.Close()
	s := declaration(t, `
name: mykv
status: {url: "http://{{ .Endpoint }}/", primary: {json: {$.role: leader}}, members: $.members}
admin:
  transfer:
    method: POST
    url: http://{{ .Endpoint }}/lead/{{ .To }}
    fail: {status: 409}
  add-member: {run: 'test "{{ .To }}" = n2'}
  remove-member: {run: "exit 3"}
`)
	at := strings.TrimPrefix(server.URL, "http://")
	status, err := s.Status(t.Context(), at)
	if err != nil || !status.Primary || strings.Join(status.Members, " ") != "n1 n2" {
		t.Errorf("%+v, %v", status, err)
	}
	op := s.(Operator)
	if got := strings.Join(op.Orders(), " "); got != "add-member remove-member transfer" {
		t.Errorf("orders %q", got)
	}
	if err := op.Transfer(t.Context(), at, "n2"); err != nil || orders[0] != "/lead/n2" {
		t.Errorf("%v: %v", orders, err)
	}
	if err := op.Transfer(t.Context(), at, "n3"); !history.IsDefinite(err) {
		t.Errorf("a refusal is %v", err)
	}
	if err := op.Add(t.Context(), at, "n2"); err != nil {
		t.Error(err)
	}
	if err := op.Remove(t.Context(), at, "n2"); err == nil || history.IsDefinite(err) {
		t.Errorf("a command that failed proves nothing: %v", err)
	}
	if err := op.Move(t.Context(), at, 1, "n2"); !history.IsDefinite(err) {
		t.Errorf("move: %v", err)
	}
}

// TestElsewhere: a template that would ask the checker's machine for its addresses is
// refused for nodes that have others.
func TestElsewhere(t *testing.T) {
	s := declaration(t, "name: mykv\nstart: server {{ GetPrivateIP }}\n")
	sp := spec(t)
	sp.Here = false
	if _, err := s.Command(sp); err == nil || !strings.Contains(err.Error(), "{{ .Address }}") {
		t.Errorf("%v", err)
	}
}

// TestVersionFails: what the shell says of a command that prints no version is told.
func TestVersionFails(t *testing.T) {
	s := declaration(t, "name: mykv\nversion: no-such-program-here -v\n")
	_, err := s.Version(t.Context())
	if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "not found") {
		t.Errorf("%v, want what is not found", err)
	}
}
