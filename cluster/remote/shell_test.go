package remote_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
)

// A real shell reads back what CommandLine has quoted.
func TestCommandLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ -~\n\t'"$\\é]{0,12}`)
		words := rapid.SliceOfN(word, 1, 4).Draw(t, "words")
		out, err := exec.Command("sh", "-c",
			remote.CommandLine(append([]string{"printf", `%s\037`}, words...))).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(words, "\x1f") + "\x1f"; string(out) != want {
			t.Fatalf("a shell reads %q, want %q", out, want)
		}
	})
}

func TestErrors(t *testing.T) {
	cause := errors.New("connection lost")
	var not error = &remote.TransportError{Node: "n1", Doing: "true", Err: cause}
	var may error = &remote.TransportError{
		Node: "n1", Doing: "true", Ran: remote.MayHaveRun, Err: cause,
	}
	if !remote.DidNotRun(not) || remote.DidNotRun(may) || remote.DidNotRun(cause) {
		t.Error("DidNotRun does not tell the two apart")
	}
	if !remote.Unreachable(not) || !remote.Unreachable(may) || remote.Unreachable(cause) {
		t.Error("Unreachable is not about transports")
	}
	if !errors.Is(may, cause) || !strings.Contains(may.Error(), "may have run") {
		t.Errorf("the error says %q", may)
	}
}

// The recording shell answers as it is told and writes down every word.
func TestFake(t *testing.T) {
	sh := shelltest.NewFake(func(c shelltest.Call) (remote.Result, error) {
		if c.Argv[0] == "false" {
			return remote.Result{Status: 1, Stderr: []byte("no\n")}, nil
		}
		return remote.Result{Stdout: []byte("yes")}, nil
	})
	out, err := remote.Must(t.Context(), sh, "n1", remote.Command{
		Argv: []string{"cat", "a b"}, Stdin: []byte("in\n"),
	})
	if err != nil || string(out) != "yes" {
		t.Errorf("got %q, %v", out, err)
	}
	_, err = remote.Must(t.Context(), sh, "n2", remote.Command{Argv: []string{"false"}})
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Status != 1 || exit.Stderr != "no" {
		t.Errorf("got %v", err)
	}
	if err := sh.Upload(t.Context(), "n1", remote.File{
		Path: "/x/y", Content: []byte("z"), Mode: 0o755,
	}); err != nil {
		t.Error(err)
	}
	var got strings.Builder
	if err := sh.Download(t.Context(), "n1", "/x/y", &got); err != nil || got.String() != "z" {
		t.Errorf("downloaded %q, %v", got.String(), err)
	}
	want := "n1$ cat 'a b' <<EOF\nin\nEOF\n" +
		"n1$ upload /x/y -rwxr-xr-x <<EOF\nz\nEOF\nn1$ download /x/y\nn2$ false\n"
	if sh.Script() != want {
		t.Errorf("recorded:\n%s\nwant:\n%s", sh.Script(), want)
	}
}
