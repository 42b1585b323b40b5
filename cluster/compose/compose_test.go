package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const node nemesis.Node = "n1"

// fakeDocker is a docker whose containers are this machine: its exec has the other
// side of a broken or healthy docker, as a word says.
const fakeDocker = `#!/bin/sh
[ "$1 $2 $3 $4 $5" = "exec -i -u 0 box" ] || { echo "Error: No such container: $5" >&2; exit 1; }
shift 5
echo "$*" >>"$LOG"
case "$*" in
*dies-before*) echo "Error response from daemon: it is paused" >&2; exit 1 ;;
*dies-amid*)
  exec 4<&0
  mkfifo "$LOG.pipe"
  cat "$LOG.pipe" >&2 & relay=$!
  setsid "$@" <&4 >/dev/null 2>"$LOG.pipe" &
  sleep 0.5
  kill "$relay"
  exit 137 ;;
*dies-after*) "$@" >/dev/null 2>&1; exit 1 ;;
esac
exec setsid -w "$@"
`

// newFake returns a Shell over the fake docker, and the file with what that was asked.
func newFake(t *testing.T) (*Shell, string) {
	t.Helper()
	dir := t.TempDir()
	docker, log := filepath.Join(dir, "docker"), filepath.Join(dir, "log")
	if err := os.WriteFile(docker, []byte(fakeDocker), 0o755); err != nil {
		t.Fatal(err)
	}
	return NewShell([]string{"env", "LOG=" + log, docker}, map[nemesis.Node]string{
		node: "box", "gone": "no-box",
	}), log
}

func TestConform(t *testing.T) {
	sh, _ := newFake(t)
	shelltest.Conform(t, sh, node, filepath.Join(t.TempDir(), "files"))
}

// However docker fails, the error says what can be known, and nothing runs any more.
func TestBroken(t *testing.T) {
	for _, c := range []struct {
		word    string
		notRun  bool
		effects string
	}{
		{"dies-before", true, ""},
		{"dies-amid", false, "x"},
	} {
		sh, _ := newFake(t)
		file := filepath.Join(t.TempDir(), "effects")
		_, err := sh.Run(t.Context(), node, remote.Command{Argv: []string{
			"sh", "-c", `printf x >>"$1"; sleep 20; printf y >>"$1"`, c.word, file,
		}})
		if !errors.Is(err, ErrLost) && c.notRun || !remote.Unreachable(err) ||
			remote.DidNotRun(err) != c.notRun {
			t.Errorf("%s: got %v", c.word, err)
		}
		if out, err := exec.Command("pgrep", "-f", file).Output(); err == nil {
			t.Errorf("%s: it still runs: %s", c.word, out)
		}
		if got, _ := os.ReadFile(file); !strings.HasPrefix(c.effects, string(got)) {
			t.Errorf("%s: its effects are %q", c.word, got)
		}
	}
}

// A docker that says nothing of the end leaves it open; one that is not there, or has
// no such container, does not.
func TestStatusOpen(t *testing.T) {
	sh, log := newFake(t)
	file := filepath.Join(t.TempDir(), "effects")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := sh.Run(ctx, node, remote.Command{
		Argv: []string{"sh", "-c", `echo x >>"$1"`, "dies-after", file},
	})
	if !remote.DidNotRun(err) { // its leash was never heard of, so nobody said go
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(file); len(got) > 0 {
		t.Errorf("it ran without a word: %q", got)
	}
	if asked, _ := os.ReadFile(log); strings.Count(string(asked), "dies-after") != 1 {
		t.Errorf("docker was asked: %s", asked)
	}
	_, err = sh.Run(t.Context(), "gone", remote.Command{Argv: []string{"true"}})
	if !remote.DidNotRun(err) || !strings.Contains(err.Error(), "No such container") {
		t.Errorf("got %v", err)
	}
	none := NewShell([]string{"/no/such/docker"}, map[nemesis.Node]string{node: "box"})
	_, err = none.Run(t.Context(), node, remote.Command{Argv: []string{"true"}})
	if !remote.DidNotRun(err) {
		t.Errorf("got %v", err)
	}
	if _, err := sh.Run(t.Context(), "n9", remote.Command{Argv: []string{"true"}}); err == nil {
		t.Error("a node that nobody knows")
	}
}

// described is what docker says of a container.
func described(id, project, service, node string, networks map[string]string) string {
	labels := map[string]string{labelProject: project, labelService: service}
	if node != "" {
		labels[LabelNode] = node
	}
	nets := map[string]any{}
	for name, addr := range networks {
		nets[name] = map[string]string{"IPAddress": addr}
	}
	b, err := json.Marshal(map[string]any{
		"Id": id, "Config": map[string]any{"Labels": labels},
		"NetworkSettings": map[string]any{"Networks": nets},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestParse(t *testing.T) {
	two := func(i int) map[string]string {
		return map[string]string{
			"p_control": fmt.Sprintf("10.1.0.%d", i), "p_nodes": fmt.Sprintf("10.2.0.%d", i),
		}
	}
	one := map[string]string{"q_default": "10.3.0.1"}
	n1 := described("1", "p", "n1", "n1", two(1))
	n2 := described("2", "p", "n2", "n2", two(2))
	for _, c := range []struct {
		name  string
		list  string
		names []nemesis.Node
		want  string // nodes with their addresses, or part of the error
	}{
		{"by label", n2 + "," + n1, nil, "n1 [10.2.0.1] 10.1.0.1, n2 [10.2.0.2] 10.1.0.2"},
		{"by name", described("1", "q", "db", "", one) + "," + described("2", "q", "web", "", one),
			[]nemesis.Node{"db"}, "db [10.3.0.1] 10.3.0.1"},
		{"missing", n1, []nemesis.Node{"n1", "n3"}, "no container of the service n3 runs"},
		{"twice", n1 + "," + described("9", "p", "x", "n1", two(9)), nil, "two containers are node n1"},
		{"two projects", n1 + "," + described("9", "o", "x", "n9", two(9)), nil, "projects p and o"},
		{"no address", described("12345", "p", "n1", "n1", nil), nil, "n1 has no address"},
		{"bad address", described("1", "p", "n1", "n1", map[string]string{"p_nodes": "x"}), nil, "x"},
	} {
		got, err := parse([]byte("["+c.list+"]"), c.names)
		var said []string
		for _, g := range got {
			said = append(said, fmt.Sprintf("%s %v %v", g.Node, g.Addresses, g.Direct))
		}
		if err != nil {
			said = []string{err.Error()}
		}
		if s := strings.Join(said, ", "); s != c.want && (err == nil || !strings.Contains(s, c.want)) {
			t.Errorf("%s: got %s, want %s", c.name, s, c.want)
		}
	}
	six := `[{"Id":"1","Config":{"Labels":{"dev.ordeal.node":"n1"}},"NetworkSettings":
		{"Networks":{"p_nodes":{"IPAddress":"10.0.0.1","GlobalIPv6Address":"fd00::1"}}}}]`
	got, err := parse([]byte(six), nil)
	if err != nil || len(got[0].Addresses) != 2 ||
		got[0].Addresses[1] != netip.MustParseAddr("fd00::1") {
		t.Errorf("IPv6: %v, %v", got, err)
	}
}
