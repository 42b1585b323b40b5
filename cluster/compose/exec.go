package compose

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// client is a docker exec that runs.
type client struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	stderr bytes.Buffer // not to be read before its stream is over
	// ready tells whether the leash is there.
	ready chan bool
	// streams has one entry for each stream that is over, if the leash was there.
	streams chan error
	pipes   []io.Closer
	done    chan struct{} // closed when docker has ended
}

// exec runs one command to its end.
func (s *Shell) exec(ctx context.Context, n *container, l posix.Leash, c remote.Command,
	out io.Writer, most int64,
) (remote.Result, remote.Ran, error) {
	gate := posix.NewGate(out)
	defer gate.Shut()
	argv := append(append([]string{}, s.docker...), "exec", "-i", "-u", "0", n.id,
		"sh", "-c", l.Telling(nil, c.Argv))
	d, err := start(argv, l, gate, most)
	if err != nil {
		return remote.Result{}, remote.NotRun, fmt.Errorf("docker: %w", err)
	}
	defer d.end()
	select {
	case there := <-d.ready:
		if !there { // and nobody writes to stderr any more
			return remote.Result{}, remote.NotRun, d.lost(d.stderr.Bytes())
		}
	case <-ctx.Done():
		return remote.Result{}, remote.NotRun, ctx.Err()
	}
	crash.Go(func() {
		// A command that does not want its input ends early, which is no error.
		_, _ = d.in.Write(append([]byte(posix.Go), c.Stdin...))
		_ = d.in.Close()
	})
	for range 2 {
		select {
		case err := <-d.streams:
			if err != nil {
				return remote.Result{}, remote.MayHaveRun, err
			}
		case <-ctx.Done():
			return remote.Result{}, remote.MayHaveRun, ctx.Err()
		}
	}
	status, rest, ok := l.Status(d.stderr.Bytes())
	if !ok {
		return remote.Result{}, remote.MayHaveRun, d.lost(rest)
	}
	return remote.Result{Status: status, Stderr: rest}, remote.MayHaveRun, nil
}

// start starts docker.
func start(argv []string, l posix.Leash, out io.Writer, most int64) (*client, error) {
	d := &client{
		cmd: exec.Command(argv[0], argv[1:]...), ready: make(chan bool, 1),
		streams: make(chan error, 2), done: make(chan struct{}),
	}
	// A Ctrl-C in the terminal is not for it.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	d.pipes = []io.Closer{stdout, stderr}
	var reading sync.WaitGroup
	reading.Go(crash.Guard(func() { d.streams <- posix.Take(out, stdout, most) }))
	reading.Go(crash.Guard(func() {
		there := l.Await(stderr, &d.stderr)
		d.ready <- there
		if there {
			d.streams <- posix.Take(&d.stderr, stderr, remote.MaxOutput)
		}
	}))
	crash.Go(func() {
		defer close(d.done)
		reading.Wait()
		_ = d.cmd.Wait() // the status is told by the other side
	})
	return d, nil
}

// lost says what docker said instead.
func (d *client) lost(said []byte) error {
	return fmt.Errorf("%w: %s", ErrLost, strings.TrimSpace(string(said)))
}

// end ends docker, whatever it is doing, and all that it has started, and waits until
// it is gone.
func (d *client) end() {
	_ = d.in.Close()
	select {
	case <-d.done:
		return // its number may be somebody else's by now
	default:
	}
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	for _, p := range d.pipes {
		_ = p.Close() // somebody else may hold the other end
	}
	<-d.done
}
