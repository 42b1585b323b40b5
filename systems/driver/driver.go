// Package driver talks to a client that somebody wrote in any language: a program that
// reads one operation a line from its standard input and writes one answer a line to its
// standard output, as JSON. docs/driver-protocol.md is the whole protocol.
//
// Such a program is part of the harness that the harness did not write. What it may get
// wrong is told apart: one that crashes or does not answer leaves an operation of unknown
// outcome, as a system does; one whose answer cannot be an answer to what was asked is
// broken, and nothing else that it said is to be trusted.
package driver

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

const (
	// Version is that of the protocol.
	Version = 1
	// LineMax is the longest line that a driver may write, in bytes.
	LineMax = 16 << 20
	// HelloWithin is how long a driver may take to say hello if nothing else was said: an
	// interpreter or a virtual machine has to be loaded first.
	HelloWithin = 10 * time.Second
	// farewell is how long a driver may take to end after its standard input has ended.
	farewell = 500 * time.Millisecond
	// margin is the share of an operation's time that is kept back, so that the driver can
	// say itself that it had no answer.
	margin = 10
)

// Program is a driver that can be started.
type Program struct {
	// Argv is its command line, Dir the directory that it runs in, Env what is added to
	// the environment.
	Argv []string
	Dir  string
	Env  []string
	// HelloWithin is how long it may take from its start to its hello; 0 is HelloWithin.
	HelloWithin time.Duration
}

// Missing says why the program cannot be started.
func (p Program) Missing() error {
	cmd := exec.Command(p.Argv[0])
	cmd.Dir = p.Dir
	if cmd.Err != nil {
		return fmt.Errorf("driver %s: %w", p.Argv[0], cmd.Err)
	}
	if strings.Contains(cmd.Path, "/") && !strings.HasPrefix(cmd.Path, "/") && p.Dir != "" {
		cmd.Path = p.Dir + "/" + cmd.Path
	}
	if info, err := os.Stat(cmd.Path); err != nil {
		return fmt.Errorf("driver: %w", err)
	} else if info.Mode()&0o111 == 0 {
		return fmt.Errorf("driver %s: it is not executable", cmd.Path)
	}
	return nil
}

// hello is the first line to a driver.
type hello struct {
	Type      string   `json:"type"`
	Version   int      `json:"version"`
	Object    string   `json:"object"`
	Endpoint  string   `json:"endpoint"`
	Endpoints []string `json:"endpoints"`
}

// invoke is an operation.
type invoke struct {
	Type      string        `json:"type"`
	ID        int64         `json:"id"`
	Process   int64         `json:"process"`
	F         history.F     `json:"f"`
	Key       history.Key   `json:"key"`
	Value     history.Value `json:"value"`
	TimeoutMS int64         `json:"timeout_ms"`
}

// answer is any line of a driver. What may be left out is a pointer.
type answer struct {
	Type    string       `json:"type"`
	Version int          `json:"version"`
	ID      *int64       `json:"id"`
	F       *history.F   `json:"f"`
	Key     *history.Key `json:"key"`
	// Value is empty if it is not there, and not if it is null.
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// Session is one logical client, a process of the driver. It is used by one goroutine at
// a time.
type Session struct {
	program   Program
	object    string
	endpoints []string
	proc      *process  // nil: there is none
	coming    *greeting // nil: none has been started that has yet to say hello
	id        int64
}

// Open starts the driver for the node at endpoints[0] and waits for its hello, for as long
// as ctx allows.
func (p Program) Open(ctx context.Context, endpoints []string, object string) (*Session, error) {
	s := &Session{program: p, object: object, endpoints: endpoints}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start waits for a driver that has said hello. One that is still on its way when ctx ends
// is waited for again the next time: if each operation started another one, a driver that
// starts more slowly than an operation takes would never get there.
func (s *Session) start(ctx context.Context) error {
	if s.coming == nil {
		object, _ := operation.Named(s.object)
		s.coming = s.program.greet(ctx, hello{
			Type: "hello", Version: Version, Object: object.Name, Endpoint: s.endpoints[0],
			Endpoints: s.endpoints,
		})
	}
	select {
	case <-s.coming.over:
	case <-ctx.Done():
		return fmt.Errorf("hello: the driver has not said it yet: %w (%w)", ErrNoAnswer,
			context.Cause(ctx))
	}
	proc, err := s.coming.proc, s.coming.err
	s.coming, s.proc = nil, proc
	return err
}

// greeting is a driver that is being started.
type greeting struct {
	over   chan struct{} // closed when the rest is settled
	cancel context.CancelFunc
	proc   *process
	err    error
}

// greet starts a driver, which has its own time to say hello.
func (p Program) greet(ctx context.Context, h hello) *greeting {
	within := cmp.Or(p.HelloWithin, HelloWithin)
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), within,
		fmt.Errorf("it has %v for its hello", within))
	g := &greeting{over: make(chan struct{}), cancel: cancel}
	crash.Go(func() {
		defer close(g.over)
		defer cancel()
		g.proc, g.err = p.hello(ctx, h)
	})
	return g
}

func (p Program) hello(ctx context.Context, h hello) (*process, error) {
	proc, err := p.spawn()
	if err != nil {
		return nil, err
	}
	a, err := proc.exchange(ctx, h)
	switch {
	case err != nil:
		err = fmt.Errorf("hello: %w", err)
	case a.Type == "error":
		err = fmt.Errorf("the driver refuses: %s", a.Error)
	case a.Type != "hello":
		err = operation.Brokenf(`the driver answered hello by type %q: want "hello"`, a.Type)
	case a.Version != Version:
		err = operation.Brokenf("the driver speaks version %d of the protocol, this is %d",
			a.Version, Version)
	}
	if err != nil {
		proc.end(0)
		return nil, err
	}
	return proc, nil
}

// Invoke has the driver perform the operation.
func (s *Session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if s.proc == nil {
		if err := s.start(ctx); err != nil {
			if operation.IsBroken(err) {
				return op, err
			}
			return op, history.Definite(err) // the operation was not sent
		}
	}
	result, err := s.perform(ctx, op)
	if operation.IsBroken(err) || errors.Is(err, ErrNoAnswer) {
		// What it says from now on may be about an operation that is over.
		s.proc.end(0)
		s.proc = nil
	}
	if err != nil && !operation.IsBroken(err) && !operation.Changes(op) {
		err = history.Definite(err) // it had no effect, whatever became of it
	}
	return result, err
}

func (s *Session) perform(ctx context.Context, op history.Event) (history.Event, error) {
	s.id++
	a, err := s.proc.exchange(ctx, invoke{
		Type: "invoke", ID: s.id, Process: int64(op.Process), F: op.F, Key: op.Key, Value: op.Value,
		TimeoutMS: left(ctx).Milliseconds(),
	})
	if operation.IsBroken(err) {
		return op, err
	}
	if err != nil {
		return op, fmt.Errorf("%s: %w", op.F, err)
	}
	if err := s.concerns(a, op); err != nil {
		return op, err
	}
	switch a.Type {
	case "ok":
		return s.ok(a, op)
	case "fail":
		return op, history.Definite(errors.New(cmp.Or(a.Error, "failed")))
	case "info":
		return op, errors.New(cmp.Or(a.Error, "unknown"))
	default:
		return op, operation.Brokenf(`the driver answered %s by type %q: want "ok", "fail" or "info"`,
			op.F, a.Type)
	}
}

// concerns wants an answer to this operation.
func (s *Session) concerns(a answer, op history.Event) error {
	switch {
	case a.ID == nil:
		return operation.Brokenf("the driver answered %s without an id", op.F)
	case *a.ID != s.id:
		return operation.Brokenf("the driver answered operation %d when asked for %d", *a.ID, s.id)
	case a.F != nil && *a.F != op.F:
		return operation.Brokenf("the driver answered %s when asked for %s", *a.F, op.F)
	case a.Key != nil && *a.Key != op.Key:
		return operation.Brokenf("the driver answered for key %s when asked for %s", *a.Key, op.Key)
	}
	return nil
}

func (s *Session) ok(a answer, op history.Event) (history.Event, error) {
	object, _ := operation.Named(s.object)
	kind, known := object.Op(op.F)
	if !known {
		return op, operation.Brokenf(`the driver answered %s by "ok", which no %s has: want "fail"`,
			op.F, object.Name)
	}
	if kind.Answers() && len(a.Value) == 0 {
		return op, operation.Brokenf("the driver answered %s by ok without a value; "+
			"null stands for nothing", op.F)
	}
	v := history.Nil()
	if len(a.Value) > 0 {
		var err error
		if v, err = history.ParseValue(a.Value); err != nil {
			return op, operation.Brokenf("the driver answered %s by a value that is none: %w", op.F, err)
		}
	}
	return operation.Result(s.object, op, v)
}

// Close ends the driver, also one that has not said hello yet.
func (s *Session) Close() error {
	if s.coming != nil {
		s.coming.cancel()
		<-s.coming.over
		if s.coming.proc != nil {
			s.coming.proc.end(farewell)
		}
		s.coming = nil
	}
	if s.proc != nil {
		s.proc.end(farewell)
		s.proc = nil
	}
	return nil
}

// left is the time that the driver has for an operation.
func left(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	d := time.Until(deadline)
	return max(time.Millisecond, d-d/margin)
}

// process is a driver that runs.
type process struct {
	cmd    *exec.Cmd
	in     *os.File // its standard input
	out    *os.File // its standard output
	lines  *bufio.Reader
	words  *lastWords
	gone   chan struct{} // closed when it has ended
	ending sync.Once
}

func (p Program) spawn() (*process, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), in.Close())
	}
	d := &process{
		cmd: exec.Command(p.Argv[0], p.Argv[1:]...), in: in, out: out,
		lines: bufio.NewReaderSize(out, 64<<10), words: &lastWords{}, gone: make(chan struct{}),
	}
	d.cmd.Dir, d.cmd.Env = p.Dir, append(os.Environ(), p.Env...)
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = stdin, stdout, d.words
	d.cmd.WaitDelay = farewell
	// A group of its own: Ctrl-C in the terminal is not for it, and what it has started
	// ends with it.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = d.cmd.Start()
	_, _ = stdin.Close(), stdout.Close() // the driver has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the driver: %w", err), in.Close(), out.Close())
	}
	crash.Go(func() {
		_ = d.cmd.Wait() // the status says more
		// Whatever the driver has started ends with it.
		_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
		close(d.gone)
	})
	return d, nil
}

// end ends the process: gently within the grace, then by force. It waits until it is
// gone.
func (d *process) end(grace time.Duration) {
	d.ending.Do(func() {
		_ = d.in.Close()
		if grace > 0 {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			select {
			case <-d.gone:
			case <-timer.C:
			}
		}
		select {
		case <-d.gone:
		default:
			_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
			<-d.gone
		}
		_ = d.out.Close()
	})
}

// ErrNoAnswer is why nothing is known of an operation: the driver was silent or is gone.
var ErrNoAnswer = errors.New("no answer")

// exchange writes a line and reads one.
func (d *process) exchange(ctx context.Context, message any) (answer, error) {
	line, err := json.Marshal(message)
	if err != nil {
		return answer{}, err
	}
	defer d.until(ctx)()
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return answer{}, d.silent(ctx, err)
	}
	b, err := d.line()
	if operation.IsBroken(err) {
		return answer{}, err
	}
	if err != nil {
		return answer{}, d.silent(ctx, err)
	}
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return answer{}, operation.Brokenf("the driver wrote %s, which is no answer in JSON (%w); "+
			"what is not an answer belongs to standard error", quoted(b), err)
	}
	return a, nil
}

// until ends what waits on the pipes when ctx ends, until it is told that nothing does.
func (d *process) until(ctx context.Context) (over func()) {
	deadline := func(t time.Time) { _, _ = d.in.SetWriteDeadline(t), d.out.SetReadDeadline(t) }
	deadline(time.Time{})
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, crash.Guard(func() {
		defer close(done)
		deadline(time.Unix(1, 0)) // long past
	}))
	return func() {
		if !stop() {
			<-done // or it would end what waits next
		}
	}
}

// line reads one line that is not empty.
func (d *process) line() ([]byte, error) {
	var long []byte
	for {
		part, err := d.lines.ReadSlice('\n')
		if len(long)+len(part) > LineMax {
			return nil, operation.Brokenf("the driver wrote a line of more than %d bytes, "+
				"which begins with %s", LineMax, quoted(append(long, part...)))
		}
		long = append(long, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		case strings.TrimSpace(string(long)) == "":
			long = long[:0]
		default:
			return long, nil
		}
	}
}

// silent says why there is no answer.
func (d *process) silent(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the driver did not answer in time: %w (%w)", ErrNoAnswer, context.Cause(ctx))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) {
		_ = d.in.Close() // it cannot be used any more
		timer := time.NewTimer(2 * farewell)
		defer timer.Stop()
		select {
		case <-d.gone:
			return fmt.Errorf("the driver ended (%s): %s: %w", d.cmd.ProcessState, d.words, ErrNoAnswer)
		case <-timer.C:
			return fmt.Errorf("the driver closed its output: %w", ErrNoAnswer)
		}
	}
	return fmt.Errorf("talk to the driver: %w (%w)", ErrNoAnswer, err)
}

// quoted shows the beginning of a line.
func quoted(b []byte) string {
	const most = 80
	s := strings.TrimSpace(strings.ToValidUTF8(string(b[:min(len(b), 4*most)]), "\uFFFD"))
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// lastWords keeps the end of what a driver writes to its standard error.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

// Write never fails.
func (w *lastWords) Write(b []byte) (int, error) {
	const most = 4 << 10
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	if len(w.text) > most {
		w.text = append(w.text[:0], w.text[len(w.text)-most:]...)
	}
	return len(b), nil
}

// String returns the last line.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(w.text), "\uFFFD")), "\n")
	return cmp.Or(strings.TrimSpace(lines[len(lines)-1]), "it said nothing")
}
