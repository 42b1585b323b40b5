package shelltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Conform tests that a transport keeps the contract of remote.Shell on one node. dir is
// a directory of the node, which need not exist, in which files can be made.
func Conform(t *testing.T, sh remote.Shell, node nemesis.Node, dir string) {
	t.Run("streams", func(t *testing.T) { streams(t, sh, node) })
	t.Run("words", func(t *testing.T) { words(t, sh, node) })
	t.Run("environment", func(t *testing.T) { environment(t, sh, node) })
	t.Run("status", func(t *testing.T) { statuses(t, sh, node) })
	t.Run("output has a bound", func(t *testing.T) { bounded(t, sh, node) })
	t.Run("background", func(t *testing.T) { background(t, sh, node) })
	t.Run("time limit", func(t *testing.T) { timeLimit(t, sh, node) })
	t.Run("dead context", func(t *testing.T) { deadContext(t, sh, node) })
	t.Run("together", func(t *testing.T) { together(t, sh, node) })
	t.Run("files", func(t *testing.T) { files(t, sh, node, dir) })
	t.Run("no file", func(t *testing.T) { noFile(t, sh, node, dir) })
}

func run(t *testing.T, sh remote.Shell, node nemesis.Node, stdin []byte, argv ...string,
) remote.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := sh.Run(ctx, node, remote.Command{Argv: argv, Stdin: stdin})
	if err != nil {
		t.Fatalf("%s: %v", remote.CommandLine(argv), err)
	}
	return r
}

func allBytes() []byte {
	all := make([]byte, 0, 64<<10)
	for i := range cap(all) {
		all = append(all, byte(i), byte(i>>8))
	}
	return all
}

func streams(t *testing.T, sh remote.Shell, node nemesis.Node) {
	in := allBytes()
	if r := run(t, sh, node, in, "cat"); !bytes.Equal(r.Stdout, in) {
		t.Errorf("cat gave back %d bytes of %d, or others", len(r.Stdout), len(in))
	}
	r := run(t, sh, node, nil, "sh", "-c", "cat; echo out; echo err >&2")
	if string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" || r.Status != 0 {
		t.Errorf("got %q, %q, status %d", r.Stdout, r.Stderr, r.Status)
	}
	if r := run(t, sh, node, in, "true"); r.Status != 0 {
		t.Errorf("a command that reads nothing: status %d", r.Status)
	}
}

func words(t *testing.T, sh remote.Shell, node nemesis.Node) {
	odd := []string{
		"", " ", "a b", "'", `"`, `\`, "$HOME", "`id`", "*", "a\nb", "-n", "é", "~", ";", "#", "!",
		"%s", "a=b",
	}
	r := run(t, sh, node, nil, append([]string{"printf", `%s\037`}, odd...)...)
	if want := strings.Join(odd, "\x1f") + "\x1f"; string(r.Stdout) != want {
		t.Errorf("got %q, want %q", r.Stdout, want)
	}
}

func environment(t *testing.T, sh remote.Shell, node nemesis.Node) {
	r := run(t, sh, node, nil, "sh", "-c", `echo "$LC_ALL $PATH"; id -u`)
	// A node that is this machine, in a test that is not root's, cannot give root.
	own := fmt.Sprintf("\n%d\n", os.Geteuid())
	if !strings.HasPrefix(string(r.Stdout), "C ") ||
		!strings.Contains(string(r.Stdout), "/usr/sbin") ||
		!strings.HasSuffix(string(r.Stdout), "\n0\n") && !strings.HasSuffix(string(r.Stdout), own) {
		t.Errorf("LC_ALL, PATH and user are %q", r.Stdout)
	}
}

func statuses(t *testing.T, sh remote.Shell, node nemesis.Node) {
	for _, want := range []int{0, 1, 2, 77, 255} {
		r := run(t, sh, node, nil, "sh", "-c", fmt.Sprintf("exit %d", want))
		if r.Status != want {
			t.Errorf("exit %d gave status %d", want, r.Status)
		}
	}
	if r := run(t, sh, node, nil, "sh", "-c", "kill -9 $$"); r.Status != 128+9 {
		t.Errorf("SIGKILL gave status %d, want 137", r.Status)
	}
	if r := run(t, sh, node, nil, "no-such-program"); r.Status != 127 {
		t.Errorf("a program that is not there gave status %d, want 127", r.Status)
	}
	_, err := remote.Must(t.Context(), sh, node, remote.Command{
		Argv: []string{"sh", "-c", "echo because >&2; exit 3"},
	})
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Status != 3 || exit.Stderr != "because" {
		t.Errorf("Must gave %v", err)
	}
}

func bounded(t *testing.T, sh remote.Shell, node nemesis.Node) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := sh.Run(ctx, node, remote.Command{Argv: []string{"cat", "/dev/zero"}})
	if err == nil || ctx.Err() != nil {
		t.Errorf("endless output: %d bytes, error %v", len(r.Stdout), err)
	}
	if remote.DidNotRun(err) {
		t.Errorf("it did run: %v", err)
	}
}

// background: what has given its streams away does not hold up the command.
func background(t *testing.T, sh remote.Shell, node nemesis.Node) {
	began := time.Now()
	r := run(t, sh, node, nil, "sh", "-c",
		"setsid sleep 20 </dev/null >/dev/null 2>&1 & echo $!")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("starting something in the background took %v", took)
	}
	pid := strings.TrimSpace(string(r.Stdout))
	if r := run(t, sh, node, nil, "kill", "-9", pid); r.Status != 0 {
		t.Errorf("process %s did not outlive the command that started it: %s", pid, r.Stderr)
	}
}

func timeLimit(t *testing.T, sh remote.Shell, node nemesis.Node) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := sh.Run(ctx, node, remote.Command{Argv: []string{"sleep", "20"}})
	var transport *remote.TransportError
	if !errors.As(err, &transport) || transport.Node != node ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a limit of 0.5 s was kept after %v", took)
	}
	if r := run(t, sh, node, nil, "echo", "again"); string(r.Stdout) != "again\n" {
		t.Errorf("afterwards the node says %q", r.Stdout)
	}
}

func deadContext(t *testing.T, sh remote.Shell, node nemesis.Node) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sh.Run(ctx, node, remote.Command{Argv: []string{"true"}})
	if !remote.DidNotRun(err) {
		t.Errorf("a command on a context that was over: %v", err)
	}
}

func together(t *testing.T, sh remote.Shell, node nemesis.Node) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(crash.Guard(func() {
			want := strings.Repeat(fmt.Sprint(i), 5000)
			r, err := sh.Run(t.Context(), node, remote.Command{
				Argv: []string{"cat"}, Stdin: []byte(want),
			})
			if err != nil || string(r.Stdout) != want {
				t.Errorf("of eight commands at once: %v, %d bytes", err, len(r.Stdout))
			}
		}))
	}
	wg.Wait()
}

func files(t *testing.T, sh remote.Shell, node nemesis.Node, dir string) {
	path := dir + "/a dir/it's here"
	for _, f := range []remote.File{
		{Path: path, Content: allBytes(), Mode: 0o644},
		{Path: path, Content: allBytes(), Mode: 0o755},
		{Path: path, Content: []byte("short\n"), Mode: 0o600},
		{Path: path, Content: nil, Mode: 0o600},
	} {
		if err := sh.Upload(t.Context(), node, f); err != nil {
			t.Fatalf("upload %d bytes: %v", len(f.Content), err)
		}
		var got bytes.Buffer
		if err := sh.Download(t.Context(), node, path, &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), f.Content) {
			t.Errorf("%d bytes came back of %d, or others", got.Len(), len(f.Content))
		}
		r := run(t, sh, node, nil, "stat", "-c", "%a", path)
		if want := fmt.Sprintf("%o\n", f.Mode); string(r.Stdout) != want {
			t.Errorf("mode is %s, want %s", r.Stdout, want)
		}
		if r := run(t, sh, node, nil, "ls", "-A", dir+"/a dir"); string(r.Stdout) != "it's here\n" {
			t.Errorf("beside the file there is %q", r.Stdout)
		}
	}
	// A program that runs can be replaced.
	run(t, sh, node, nil, "cp", "/bin/sleep", path)
	run(t, sh, node, nil, "sh", "-c", remote.CommandLine([]string{path, "20"})+
		" </dev/null >/dev/null 2>&1 & echo $! > "+remote.Quote(dir+"/pid"))
	if err := sh.Upload(t.Context(), node, remote.File{
		Path: path, Content: []byte("new"), Mode: 0o755,
	}); err != nil {
		t.Errorf("replace a program that runs: %v", err)
	}
	run(t, sh, node, nil, "sh", "-c", "kill -9 $(cat "+remote.Quote(dir+"/pid")+")")
	run(t, sh, node, nil, "rm", "-rf", dir)
}

func noFile(t *testing.T, sh remote.Shell, node nemesis.Node, dir string) {
	var got bytes.Buffer
	err := sh.Download(t.Context(), node, dir+"/nothing", &got)
	if !errors.Is(err, fs.ErrNotExist) || got.Len() > 0 {
		t.Errorf("download of nothing: %d bytes, %v", got.Len(), err)
	}
	if err := sh.Upload(t.Context(), node, remote.File{
		Path: "/proc/nobody/can/write", Content: []byte("x"), Mode: 0o644,
	}); err == nil {
		t.Error("upload to where nothing can be written succeeded")
	}
}
