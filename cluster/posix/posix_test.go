package posix

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
)

// start starts a command on a leash in a shell, as a transport's other side would, and
// returns when the leash is there.
func start(t *testing.T, l Leash, argv ...string) (*exec.Cmd, func(string)) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", remote.CommandLine(l.Argv(nil, argv)))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len(l.Name())+1)
	if _, err := out.Read(said); err != nil || string(said) != l.Name()+"\n" {
		t.Fatalf("the leash says %q, %v", said, err)
	}
	return cmd, func(s string) {
		if _, err := in.Write([]byte(s)); err != nil {
			t.Error(err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
}

func runHere(t *testing.T, c remote.Command) remote.Result {
	t.Helper()
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), &out, &errs
	_ = cmd.Run() // the status says it
	return remote.Result{
		Status: cmd.ProcessState.ExitCode(), Stdout: out.Bytes(), Stderr: errs.Bytes(),
	}
}

// Without the word nothing is run, with it everything, and its input is what follows.
func TestGo(t *testing.T) {
	for _, c := range []struct {
		say  string
		runs bool
	}{
		{"", false}, {"g", false}, {"go", false}, {"no\n", false}, {"go \n", false},
		{Go, true}, {Go + "input\n", true},
	} {
		file := filepath.Join(t.TempDir(), "f")
		cmd, say := start(t, NewLeash(time.Minute), "sh", "-c", `cat >"$0"`, file)
		say(c.say)
		_ = cmd.Wait() // the status says it
		got, err := os.ReadFile(file)
		if (err == nil) != c.runs || c.runs && string(got) != strings.TrimPrefix(c.say, Go) {
			t.Errorf("%q: %q, %v", c.say, got, err)
		}
		if !c.runs && cmd.ProcessState.ExitCode() != NoGo {
			t.Errorf("%q: %v", c.say, cmd.ProcessState)
		}
	}
}

// The node ends a command at its limit though nobody is there any more.
func TestLimit(t *testing.T) {
	began := time.Now()
	cmd, say := start(t, NewLeash(time.Millisecond), "sh", "-c", "trap '' TERM; sleep 20; sleep 20")
	say(Go)
	_ = cmd.Wait()
	took := time.Since(began)
	if took < time.Second || took > 15*time.Second || cmd.ProcessState.Success() {
		t.Errorf("a limit of one second ended it after %v: %v", took, cmd.ProcessState)
	}
}

// A kill finds a command before and after it has begun, and no other.
func TestKill(t *testing.T) {
	waits, runs, other := NewLeash(time.Minute), NewLeash(time.Minute), NewLeash(time.Minute)
	first, _ := start(t, waits, "sleep", "20")
	second, say := start(t, runs, "sh", "-c", "sleep 20 & sleep 20")
	say(Go)
	third, sayThird := start(t, other, "cat")
	for range 2 {
		if r := runHere(t, KillCommand([]string{waits.ID, runs.ID, "ffff"})); r.Status != 0 {
			t.Errorf("status %d: %s", r.Status, r.Stderr)
		}
	}
	if first.Wait() == nil || second.Wait() == nil {
		t.Error("they were not killed")
	}
	sayThird(Go)
	if err := third.Wait(); err != nil {
		t.Errorf("another one was: %v", err)
	}
}

// A name is one word on the command line of a running command.
func TestName(t *testing.T) {
	l := NewLeash(0)
	if n := strings.Count(remote.CommandLine(l.Argv([]string{"sudo", "-n"}, []string{"x"})),
		l.Name()); n != 1 {
		t.Errorf("its name stands there %d times", n)
	}
	if NewLeash(0) == l {
		t.Error("two leashes have one name")
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	f := remote.File{Path: dir + "/a b/f", Content: []byte("new\n"), Mode: 0o750}
	const sum = "7aa7a5359173d05b63cfd682e3c38487f3cb4f7f1d60659fe59fab1505977d4c"
	l := NewLeash(0)
	if Same(runHere(t, SameCommand(f, sum))) {
		t.Error("nothing is the same as the file")
	}
	stage := func() {
		t.Helper()
		for _, c := range []remote.Command{ParentCommand(f), StageCommand(Staged(f, l), f.Content)} {
			if r := runHere(t, c); r.Status != 0 {
				t.Fatal(Failed(r))
			}
		}
	}
	stage()
	wrong := strings.Repeat("0", 64)
	if r := runHere(t, PlaceCommand(f, l, Staged(f, l), wrong)); r.Status != 45 ||
		!strings.Contains(Failed(r).Error(), "checksum") {
		t.Errorf("a wrong checksum: %v", Failed(r))
	}
	if names, _ := os.ReadDir(dir + "/a b"); len(names) != 0 {
		t.Errorf("left there: %v", names)
	}
	stage()
	if r := runHere(t, PlaceCommand(f, l, Staged(f, l), sum)); r.Status != 0 {
		t.Fatal(Failed(r))
	}
	if !Same(runHere(t, SameCommand(f, sum))) || Same(runHere(t, SameCommand(f, wrong))) {
		t.Error("the file is not the same as itself")
	}
	r := runHere(t, ReadCommand(f.Path))
	if err := ReadError(r); err != nil || string(r.Stdout) != "new\n" {
		t.Errorf("it reads %q, %v", r.Stdout, err)
	}
	if err := ReadError(runHere(t, ReadCommand(dir+"/no"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := ReadError(runHere(t, ReadCommand(dir))); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: %v", err)
	}
}

// What a shell tells of the status is taken off what the command says, whatever that is.
func TestTelling(t *testing.T) {
	for _, c := range []struct {
		script string
		status int
		says   string
	}{
		{"exit 0", 0, ""},
		{"echo bad >&2; exit 3", 3, "bad\n"},
		{"printf bad >&2; exit 255", 255, "bad"},
		{"kill -9 $$", 137, ""},
	} {
		l := NewLeash(time.Minute)
		r := runHere(t, remote.Command{
			Argv: []string{"sh", "-c", l.Telling(nil, []string{"sh", "-c", c.script})}, Stdin: []byte(Go),
		})
		stderr := bytes.NewReader(r.Stderr)
		if !l.Await(stderr, new(bytes.Buffer)) {
			t.Fatalf("%s: no leash in %q", c.script, r.Stderr)
		}
		rest, _ := io.ReadAll(stderr)
		status, said, ok := l.Status(rest)
		if !ok || status != c.status || string(said) != c.says {
			t.Errorf("%s: status %d, %q, %v", c.script, status, said, ok)
		}
	}
	l := Leash{ID: "1"}
	for _, broken := range []string{"", "ordeal-1", "ordeal-1 ", "ordeal-1 3", "ordeal-2 3\n"} {
		if _, rest, ok := l.Status([]byte(broken)); ok || string(rest) != broken {
			t.Errorf("%q is a status", broken)
		}
	}
}

func TestLoose(t *testing.T) {
	var o Loose
	o.Add(Leash{ID: "b", Limit: time.Minute})
	o.Add(Leash{ID: "a", Limit: time.Minute})
	o.Add(Leash{ID: "over", Limit: -time.Minute})
	if ids := o.IDs(); !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("got %q", ids)
	}
	o.Killed([]string{"a", "over"})
	if ids := o.IDs(); !slices.Equal(ids, []string{"b"}) {
		t.Errorf("got %q", ids)
	}
}
