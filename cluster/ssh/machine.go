package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// machine is one machine and the connection to it, if there is one.
type machine struct {
	shell *Shell
	hop   Hop
	jump  *machine // nil when it is reached directly
	slots chan struct{}
	// lock is held while connecting and while killing what is left; a channel, so
	// that a context can end the waiting for it.
	lock chan struct{}

	loose posix.Loose

	mu   sync.Mutex
	link *link
}

func (s *Shell) newMachine(h Hop) *machine {
	return &machine{
		shell: s, hop: h,
		slots: make(chan struct{}, sessions), lock: make(chan struct{}, 1),
	}
}

// enter waits for its turn to run a command.
func (m *machine) enter(ctx context.Context) error {
	select {
	case m.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for one of %d sessions: %w", sessions, ctx.Err())
	}
}

func (m *machine) leave() { <-m.slots }

// current returns the living connection, or nil.
func (m *machine) current() *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.link != nil && m.link.err() != nil {
		m.link = nil
	}
	return m.link
}

// open returns a channel on which nothing runs yet. It connects if there is no
// connection, or one that turns out to be dead, and kills what may still run of
// earlier commands.
func (m *machine) open(ctx context.Context) (*channel, error) {
	for attempt := 1; ; attempt++ {
		ch, err := m.try(ctx)
		if err == nil || attempt >= m.shell.cfg.Attempts || !worthAgain(ctx, err) {
			return ch, err
		}
		m.shell.cfg.Logger.Debug("ssh: try again", "host", m.hop, "attempt", attempt, "err", err)
		pause := time.NewTimer(time.Duration(attempt) * 100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// worthAgain reports whether a failure may be a passing one.
func worthAgain(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrHostKey) && !errors.Is(err, ErrClosed)
}

func (m *machine) try(ctx context.Context) (*channel, error) {
	l, err := m.connected(ctx)
	if err != nil {
		return nil, err
	}
	return l.open(ctx)
}

// connected returns the connection, on a node where nothing is left running.
func (m *machine) connected(ctx context.Context) (*link, error) {
	select {
	case m.lock <- struct{}{}:
		defer func() { <-m.lock }()
	case <-ctx.Done():
		return nil, fmt.Errorf("connecting to %s: %w", m.hop, ctx.Err())
	}
	l := m.current()
	if l == nil {
		var err error
		if l, err = m.dial(ctx); err != nil {
			return nil, err
		}
		m.mu.Lock()
		m.link = l
		m.mu.Unlock()
	}
	return l, m.killLoose(ctx, l)
}

// dial connects and logs in.
func (m *machine) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, m.shell.cfg.DialTime)
	defer cancel()
	address := m.hop.address()
	algorithms, err := m.shell.known.algorithms(address)
	if err != nil {
		return nil, err
	}
	conn, err := m.reach(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", m.hop, err)
	}
	auth, done, err := m.shell.logIn(ctx, m.hop)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	defer done()
	// A handshake knows no context; closing the connection ends it.
	stop := context.AfterFunc(ctx, crash.Guard(func() { _ = conn.Close() }))
	c, chans, reqs, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: m.hop.user(), Auth: []ssh.AuthMethod{auth},
		HostKeyCallback: m.shell.known.verify, HostKeyAlgorithms: algorithms,
	})
	if !stop() && err == nil {
		err = c.Close()
	}
	if e := ctx.Err(); e != nil {
		err = errors.Join(e, err)
	}
	if err != nil {
		_ = conn.Close() // closed already, as a rule
		return nil, fmt.Errorf("log in to %s: %w", m.hop, err)
	}
	if m.shell.ctx.Err() != nil {
		return nil, errors.Join(ErrClosed, c.Close())
	}
	m.shell.cfg.Logger.Debug("ssh: connected", "host", m.hop)
	return m.shell.newLink(m.hop, ssh.NewClient(c, chans, reqs)), nil
}

// reach opens the stream on which SSH is spoken.
func (m *machine) reach(ctx context.Context, address string) (net.Conn, error) {
	if m.jump != nil {
		l, err := m.jump.connected(ctx)
		if err != nil {
			return nil, err
		}
		return l.client.DialContext(ctx, "tcp", address)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// What has not been delivered when the connection is given up must not be
		// delivered later: a command would start when nobody expects it any more.
		_ = tcp.SetLinger(0)
	}
	return conn, nil
}

// settle sees to the end of a command whose end was not seen: it is killed now if the
// node can be reached, else before anything else is run there. When its context has
// ended its caller is in a hurry, but a kill is quick.
func (m *machine) settle(l posix.Leash) {
	m.loose.Add(l)
	link := m.current()
	if link == nil || m.shell.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(m.shell.ctx, killTime)
	defer cancel()
	// One kill at a time, which is for all that are loose by then.
	select {
	case m.lock <- struct{}{}:
		defer func() { <-m.lock }()
	case <-ctx.Done():
		return
	}
	if err := m.killLoose(ctx, link); err != nil {
		m.shell.cfg.Logger.Debug("ssh: not killed yet", "host", m.hop, "err", err)
	}
}

// killLoose kills what may still run of commands whose end was not seen.
func (m *machine) killLoose(ctx context.Context, l *link) error {
	ids := m.loose.IDs()
	if len(ids) == 0 {
		return nil
	}
	r, err := m.kill(ctx, l, ids)
	if err == nil && r.Status != 0 {
		err = posix.Failed(r)
	}
	if err != nil {
		return fmt.Errorf("kill what is left of earlier commands: %w", err)
	}
	m.loose.Killed(ids)
	return nil
}

func (m *machine) kill(ctx context.Context, l *link, ids []string) (remote.Result, error) {
	ch, err := l.open(ctx)
	if err != nil {
		return remote.Result{}, err
	}
	argv := posix.KillCommand(ids).Argv
	r, _, err := ch.exec(ctx, task{
		leash: posix.NewLeash(killLimit), as: m.hop.as(), argv: argv, out: io.Discard,
		most: remote.MaxOutput,
	})
	return r, err
}

// hangUp ends the connection.
func (m *machine) hangUp(why error) {
	m.mu.Lock()
	l := m.link
	m.link = nil
	m.mu.Unlock()
	if l != nil {
		l.end(why)
	}
}
