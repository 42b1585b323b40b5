package ssh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// drainTime is how long output is waited for after a command's end: something that
// it left running may hold its streams for ever.
const drainTime = 2 * time.Second

// channel is a channel of a connection, on which one command runs.
type channel struct {
	link *link
	ch   ssh.Channel
	reqs <-chan *ssh.Request
}

// request asks the server to start a command or subsystem. The error is nil when
// the server has said yes.
func (c *channel) request(
	ctx context.Context, kind, what string,
) (ran remote.Ran, err error) {
	payload := ssh.Marshal(struct{ Value string }{what})
	type answer struct {
		ok  bool
		err error
	}
	answers := make(chan answer, 1)
	c.background(func() {
		ok, err := c.ch.SendRequest(kind, true, payload)
		answers <- answer{ok, err}
	})
	select {
	case a := <-answers:
		switch {
		case a.err != nil:
			return remote.MayHaveRun, fmt.Errorf("%w: %w", ErrLost, a.err)
		case !a.ok:
			return remote.NotRun, fmt.Errorf("%s refuses to start it", c.link.hop)
		}
		return remote.MayHaveRun, nil
	case <-c.link.dead:
		return remote.MayHaveRun, c.link.why
	case <-ctx.Done():
		return remote.MayHaveRun, ctx.Err()
	}
}

func (c *channel) background(f func()) {
	c.link.shell.helper.Add(1)
	crash.Go(func() {
		defer c.link.shell.helper.Done()
		f()
	})
}

// drop closes the channel, without waiting for that: a write to a dead connection
// takes until it is given up.
func (c *channel) drop() {
	c.background(func() { _ = c.ch.Close() })
}

// task is a command to run.
type task struct {
	leash posix.Leash
	as    []string
	argv  []string
	stdin []byte
	// out gets the standard output, up to most bytes.
	out  io.Writer
	most int64
}

// exec runs one command to its end. The channel is used up afterwards.
func (c *channel) exec(ctx context.Context, t task) (remote.Result, remote.Ran, error) {
	defer c.drop()
	door := posix.NewGate(t.out)
	defer door.Shut()
	// Somebody has to hear the channel's requests before the first can come.
	status := make(chan int, 1)
	c.background(func() { hear(c.reqs, status) })
	line := remote.CommandLine(t.leash.Argv(t.as, t.argv))
	if _, err := c.request(ctx, "exec", line); err != nil {
		return remote.Result{}, remote.NotRun, err // nobody has said go
	}
	var (
		stderr  bytes.Buffer
		streams = make(chan error, 2)
		ready   = make(chan bool, 1)
	)
	c.background(func() { streams <- posix.Take(door, c.ch, t.most) })
	c.background(func() {
		there := t.leash.Await(c.ch.Stderr(), &stderr)
		ready <- there
		if there {
			streams <- posix.Take(&stderr, c.ch.Stderr(), remote.MaxOutput)
		}
	})
	if err := c.ready(ctx, ready, status, &stderr); err != nil {
		return remote.Result{}, remote.NotRun, err
	}
	c.background(func() {
		// A command that does not want its input ends early, which is no error.
		_, _ = c.ch.Write(append([]byte(posix.Go), t.stdin...))
		_ = c.ch.CloseWrite()
	})
	r, err := c.await(ctx, status, streams)
	if err != nil {
		return remote.Result{}, remote.MayHaveRun, err
	}
	r.Stderr = stderr.Bytes()
	return r, remote.MayHaveRun, nil
}

// ready waits until the leash is there. What it says instead, such as sudo's complaint,
// is the error.
func (c *channel) ready(
	ctx context.Context, ready <-chan bool, status <-chan int, said *bytes.Buffer,
) error {
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
	case <-c.link.dead:
		return c.link.why
	case <-ctx.Done():
		return ctx.Err()
	}
	// Its streams are over, and nobody writes to said any more.
	select {
	case n, ok := <-status:
		if ok {
			return fmt.Errorf("it cannot be started: status %d: %s", n,
				strings.TrimSpace(said.String()))
		}
		return c.lost()
	case <-c.link.dead:
		return c.link.why
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await waits for the end of a command and of its two streams.
func (c *channel) await(
	ctx context.Context, status <-chan int, streams <-chan error,
) (remote.Result, error) {
	var (
		r       remote.Result
		drained <-chan time.Time
		ended   bool
	)
	for open := 2; open > 0 || !ended; {
		select {
		case n, ok := <-status:
			if !ok {
				return r, c.lost()
			}
			r.Status, ended, status = n, true, nil
			timer := time.NewTimer(drainTime)
			defer timer.Stop()
			drained = timer.C
		case err := <-streams:
			if err != nil {
				return r, err
			}
			open--
		case <-drained:
			return r, c.silence(ctx, streams, open)
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
	return r, nil
}

// silence ends streams that something in the background holds, so that nobody writes
// to their buffers any more when they are read.
func (c *channel) silence(ctx context.Context, streams <-chan error, open int) error {
	_ = c.ch.Close()
	for ; open > 0; open-- {
		select {
		case <-streams:
		case <-c.link.dead:
			return c.link.why
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// lost is why no status came.
func (c *channel) lost() error {
	select {
	case <-c.link.dead:
		return c.link.why
	case <-time.After(drainTime):
		return fmt.Errorf("%w: it ended without a status", ErrLost)
	}
}

// hear waits for a command's exit status.
func hear(reqs <-chan *ssh.Request, status chan<- int) {
	defer close(status)
	told := false
	for req := range reqs {
		n, known := statusOf(req)
		if known && !told {
			told = true
			status <- n
		}
		if req.WantReply {
			_ = req.Reply(known, nil) // nobody waits for it
		}
	}
}

// statusOf reads an exit status from a request: 128+N for signal N, as shells do.
func statusOf(req *ssh.Request) (int, bool) {
	switch req.Type {
	case "exit-status":
		var m struct{ Status uint32 }
		return int(m.Status), ssh.Unmarshal(req.Payload, &m) == nil
	case "exit-signal":
		var m struct {
			Signal      string
			CoreDumped  bool
			Error, Lang string
		}
		if ssh.Unmarshal(req.Payload, &m) != nil {
			return 0, false
		}
		// A signal without a name of the standard, such as SIGSTKFLT, is unknown,
		// but certainly no success.
		return 128 + signals[ssh.Signal(m.Signal)], true
	default:
		return 0, false
	}
}

// signals are the signals that SSH has names for, with their numbers on Linux.
var signals = map[ssh.Signal]int{
	ssh.SIGHUP: 1, ssh.SIGINT: 2, ssh.SIGQUIT: 3, ssh.SIGILL: 4, ssh.SIGABRT: 6, ssh.SIGFPE: 8,
	ssh.SIGKILL: 9, ssh.SIGUSR1: 10, ssh.SIGSEGV: 11, ssh.SIGUSR2: 12, ssh.SIGPIPE: 13,
	ssh.SIGALRM: 14, ssh.SIGTERM: 15,
}
