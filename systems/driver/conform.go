package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// Finding is what one part of the conformance test found.
type Finding struct {
	Name string
	// OK: as it should be. Detail says what was seen.
	OK     bool
	Detail string
}

// Trial is a conformance test of a driver.
type Trial struct {
	Program Program
	// Object is the kind of object, "register" if empty.
	Object string
	// Endpoint is a node of a system that runs, host:port; without one only nodes are
	// tried that do not work.
	Endpoint string
	// Key is one that was never used there.
	Key string
	// Patience is what a driver has for an operation, Greeting what it has for its start.
	Patience, Greeting time.Duration
}

// probeValue and probeKey are found again in what a driver has sent.
const (
	probeValue = 90817263
	probeKey   = "ordealprobe"
)

// Run tries everything, one after the other, and tells each finding at once. It reports
// whether all is as it should be.
func (t Trial) Run(ctx context.Context, tell func(Finding)) bool {
	object, known := operation.Named(t.Object)
	if !known {
		tell(Finding{Name: "object", Detail: fmt.Sprintf("there is no object %q", t.Object)})
		return false
	}
	all := true
	do := func(name string, try func(context.Context) (string, error)) bool {
		detail, err := try(ctx)
		if err != nil {
			detail = err.Error()
		}
		tell(Finding{Name: name, OK: err == nil, Detail: detail})
		all = all && err == nil
		return err == nil
	}
	if !do("hello", t.hello) {
		return false // nothing else would tell more
	}
	do("end", t.end)
	do("unknown operation", t.unknownOperation)
	for _, node := range badNodes() {
		for _, op := range samples(object) {
			do(fmt.Sprintf("%s: %s", node.name, op.F), func(ctx context.Context) (string, error) {
				return t.bad(ctx, node, op)
			})
		}
	}
	if t.Endpoint != "" {
		do("a node that works", t.live)
	}
	return all
}

// with runs an operation's share of a trial on a fresh driver.
func (t Trial) with(
	ctx context.Context, endpoint string, f func(context.Context, *Session) (string, error),
) (string, error) {
	greeting, cancel := context.WithTimeout(ctx, t.Greeting)
	defer cancel()
	s, err := t.Program.Open(greeting, []string{endpoint}, t.Object)
	if err != nil {
		return "", err
	}
	detail, err := f(ctx, s)
	return detail, errors.Join(err, s.Close())
}

// nowhere is an endpoint at which nobody listens: port 1 needs root to be used.
const nowhere = "127.0.0.1:1"

func (t Trial) hello(ctx context.Context) (string, error) {
	return t.with(ctx, nowhere, func(context.Context, *Session) (string, error) {
		return fmt.Sprintf("it speaks version %d", Version), nil
	})
}

// end wants a driver that ends when its standard input does.
func (t Trial) end(ctx context.Context) (string, error) {
	return t.with(ctx, nowhere, func(_ context.Context, s *Session) (string, error) {
		_ = s.proc.in.Close()
		timer := time.NewTimer(2 * time.Second)
		defer timer.Stop()
		select {
		case <-s.proc.gone:
		case <-timer.C:
			return "", errors.New("it still runs two seconds after its standard input ended")
		}
		if state := s.proc.cmd.ProcessState; !state.Success() {
			return "", fmt.Errorf("it ended with %s when its standard input did: %s", state,
				s.proc.words)
		}
		return "it ends with its standard input", nil
	})
}

// try invokes an operation and says how that ended, as a worker would record it.
func (t Trial) try(ctx context.Context, s *Session, op history.Event) (
	got history.Event, kind history.Type, err error,
) {
	ctx, cancel := context.WithTimeout(ctx, t.Patience)
	defer cancel()
	got, err = s.Invoke(ctx, op)
	switch {
	case err == nil:
		return got, history.OK, nil
	case operation.IsBroken(err) || errors.Is(err, ErrNoAnswer):
		return got, history.Info, err
	case history.IsDefinite(err):
		return got, history.Fail, nil
	default:
		return got, history.Info, nil
	}
}

func (t Trial) unknownOperation(ctx context.Context) (string, error) {
	return t.with(ctx, nowhere, func(ctx context.Context, s *Session) (string, error) {
		for range 2 {
			_, kind, err := t.try(ctx, s, history.Event{F: "frobnicate", Key: probeKey})
			if err != nil {
				return "", err
			}
			if kind != history.Fail {
				return "", fmt.Errorf("an operation that it cannot know is answered by %q: want "+
					`"fail"`, kind)
			}
		}
		return "fail, and it goes on", nil
	})
}

// badNode is a node that does not do what a node should.
type badNode struct {
	name string
	// serve gets a connection and what the driver sends over it; nil: nobody listens.
	serve func(conn net.Conn)
}

func badNodes() []badNode {
	return []badNode{
		{name: "nobody listens"},
		{name: "never answers", serve: func(conn net.Conn) {
			_, _ = io.Copy(io.Discard, conn) // until the driver gives up
		}},
		{name: "hangs up", serve: func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64<<10))
		}},
		{name: "talks nonsense", serve: func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64<<10))
			_, _ = io.WriteString(conn, "\x00\xffnonsense\r\n\r\n")
		}},
	}
}

// samples are one operation that changes something and one that does not.
func samples(object operation.Object) []history.Event {
	steps := history.Steps(history.Step{F: "w", Key: probeKey, Value: history.Int(probeValue)})
	if object.Name == "txn-list" {
		steps = history.Steps(history.Step{F: "append", Key: probeKey, Value: history.Int(probeValue)})
	}
	var out []history.Event
	for _, op := range object.Ops {
		ev := history.Event{F: op.F, Key: probeKey, Value: history.Int(probeValue)}
		switch op.F {
		case "cas", "release":
			continue
		case "txn":
			ev.Value = steps
		case "read", "ask", "dequeue", "generate":
			ev.Value = history.Nil()
		}
		out = append(out, ev)
	}
	return out
}

// bad tries an operation at a node that cannot have done it, or not for certain.
func (t Trial) bad(ctx context.Context, node badNode, op history.Event) (string, error) {
	endpoint, heard := nowhere, func() string { return "" }
	if node.serve != nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		ear := &ear{}
		done := make(chan struct{})
		crash.Go(func() {
			defer close(done)
			ear.listen(l, node.serve)
		})
		defer func() {
			_ = l.Close()
			ear.hangUp()
			<-done
		}()
		endpoint, heard = l.Addr().String(), ear.String
	}
	return t.with(ctx, endpoint, func(ctx context.Context, s *Session) (string, error) {
		_, kind, err := t.try(ctx, s, op)
		if err != nil {
			return "", err
		}
		switch {
		case kind == history.OK:
			return "", errors.New(`it says "ok", and no node has answered`)
		case kind == history.Fail && operation.Changes(op) &&
			strings.Contains(heard(), fmt.Sprint(probeValue)):
			return "", errors.New(`it says "fail", but the request had been sent: the node may have ` +
				`done it, so "info" is the honest answer`)
		}
		return kind.String(), nil
	})
}

// ear hears what a driver sends.
type ear struct {
	mu    sync.Mutex
	text  strings.Builder
	conns []net.Conn
	wg    sync.WaitGroup
}

func (e *ear) listen(l net.Listener, serve func(net.Conn)) {
	defer e.wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		e.mu.Lock()
		e.conns = append(e.conns, conn)
		e.mu.Unlock()
		e.wg.Go(crash.Guard(func() {
			serve(heard{conn, e})
			_ = conn.Close()
		}))
	}
}

func (e *ear) hangUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.conns {
		_ = c.Close()
	}
}

// String is all that was heard, as text.
func (e *ear) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.String()
}

// heard is a connection that is listened to.
type heard struct {
	net.Conn
	ear *ear
}

func (h heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.ear.mu.Lock()
	defer h.ear.mu.Unlock()
	h.ear.text.Write(b[:n])
	return n, err
}
