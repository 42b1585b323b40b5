package netns

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// drainFor is how long a command that has ended may leave its output open.
const drainFor = 5 * time.Second

// Shell runs commands in the namespaces of a lab. Files are the machine's own: the
// nodes differ in their network only.
type Shell struct {
	lab string
	// anyway: commands for a node whose namespace is gone are run all the same.
	anyway bool
}

var _ remote.Shell = (*Shell)(nil)

// Attach returns the shell of a lab that somebody else made, for healing. Where a
// namespace is gone already, what its node has left is on the machine itself, and there
// the commands are run.
func Attach(lab string) *Shell { return &Shell{lab: lab, anyway: true} }

// bounded is an output that ends the command when there is too much of it.
type bounded struct {
	buffer bytes.Buffer // not embedded: its ReadFrom would go past the bound
	stop   func()
}

var errTooMuch = fmt.Errorf("it wrote more than %d bytes", remote.MaxOutput)

func (b *bounded) Write(p []byte) (int, error) {
	if b.buffer.Len()+len(p) > remote.MaxOutput {
		b.stop()
		return 0, errTooMuch
	}
	return b.buffer.Write(p)
}

// Run implements remote.Shell.
func (s *Shell) Run(
	ctx context.Context, node nemesis.Node, c remote.Command,
) (remote.Result, error) {
	failed := func(ran remote.Ran, err error) error {
		return &remote.TransportError{
			Node: node, Doing: remote.CommandLine(c.Argv), Ran: ran, Err: err,
		}
	}
	if err := ctx.Err(); err != nil {
		return remote.Result{}, failed(remote.NotRun, err)
	}
	argv := slices.Concat(remote.Environment(), c.Argv)
	space := filepath.Join(namespaceDir, namespace(s.lab, node))
	if _, err := os.Stat(space); err == nil {
		argv = append([]string{"nsenter", "--net=" + space, "--"}, argv...)
	} else if !s.anyway {
		return remote.Result{}, failed(remote.NotRun, fmt.Errorf("the node is gone: %w", err))
	}
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = drainFor
	cmd.Stdin = bytes.NewReader(c.Stdin)
	out := &bounded{stop: func() { stop(errTooMuch) }}
	errOut := &bounded{stop: func() { stop(errTooMuch) }}
	cmd.Stdout, cmd.Stderr = out, errOut
	if err := cmd.Start(); err != nil {
		return remote.Result{}, failed(remote.NotRun, err)
	}
	err := cmd.Wait()
	r := remote.Result{Stdout: out.buffer.Bytes(), Stderr: errOut.buffer.Bytes()}
	if cause := context.Cause(limited); cause != nil {
		return r, failed(remote.MayHaveRun, cause)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return r, failed(remote.MayHaveRun, err)
	}
	if exit != nil {
		r.Status = exit.ExitCode()
		if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			r.Status = 128 + int(w.Signal())
		}
	}
	return r, nil
}

// Upload implements remote.Shell.
func (s *Shell) Upload(ctx context.Context, node nemesis.Node, f remote.File) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("upload %s to %s: %w", f.Path, node, err)
	}
	if err := place(f); err != nil {
		return fmt.Errorf("upload %s to %s: %w", f.Path, node, err)
	}
	return nil
}

// place writes a file beside its place, reads it back, and moves it there.
func place(f remote.File) error {
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	next, err := write(dir, f)
	if err != nil {
		return err
	}
	back, err := os.ReadFile(next)
	if err == nil && sha256.Sum256(back) != sha256.Sum256(f.Content) {
		err = errors.New("what was written reads back otherwise")
	}
	if err == nil {
		err = os.Rename(next, f.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return nil
}

// write writes a new file into a directory and returns its path. No process is forked
// meanwhile: it would hold the file open for writing until it executes its own program,
// and nobody could execute this one.
func write(dir string, f remote.File) (string, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	next, err := os.CreateTemp(dir, ".upload-*")
	if err != nil {
		return "", err
	}
	_, err = next.Write(f.Content)
	if err = errors.Join(err, next.Chmod(f.Mode), next.Close()); err != nil {
		return "", errors.Join(err, os.Remove(next.Name()))
	}
	return next.Name(), nil
}

// Download implements remote.Shell.
func (s *Shell) Download(
	ctx context.Context, node nemesis.Node, path string, w io.Writer,
) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("download %s from %s: %w", path, node, err)
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("download from %s: %w", node, err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if _, err := io.Copy(w, in); err != nil {
		return fmt.Errorf("download %s from %s: %w", path, node, err)
	}
	return nil
}
