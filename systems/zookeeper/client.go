package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

type client struct{ sync bool }

// Has implements native.Client.
func (c *client) Has(object string, f history.F) bool {
	switch object {
	case "register", "cas-register":
		return f == "read" || f == "write" || f == "cas"
	case "set":
		return f == "read" || f == "add"
	case "ids":
		return f == "generate"
	case "txn", "txn-list":
		return f == "txn"
	default:
		return false
	}
}

// sessionTimeout is how long a server keeps a session of which it hears nothing. It limits how
// long a server may be silent, too; operations give up sooner.
const sessionTimeout = 6 * time.Second

// Open implements native.Client. It connects at the first operation, to one server and to no
// other.
func (c *client) Open(
	_ context.Context, endpoints []string, object string,
) (native.Session, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("open a client: no endpoint")
	}
	return &session{client: c, endpoint: endpoints[0], object: object}, nil
}

// session is one logical client. It has one session of ZooKeeper after the other: whatever
// interrupts one ends it, so that no request waits in the library for a connection.
type session struct {
	client           *client
	endpoint, object string
	link             *link // nil: there is none
}

// Close implements native.Session.
func (s *session) Close() error {
	if s.link != nil {
		s.link.conn.Close() // tells the server
		s.link.end()
		s.link = nil
	}
	return nil
}

// Invoke implements native.Session.
func (s *session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if !s.client.Has(s.object, op.F) {
		return op, operation.Brokenf("%s of a %s is not known", op.F, s.object)
	}
	if err := s.connect(ctx); err != nil {
		return op, history.Definite(fmt.Errorf("connect: %w", err)) // nothing was sent
	}
	link := s.link
	stop := context.AfterFunc(ctx, crash.Guard(link.end))
	defer stop()
	out, err := work{link.conn, s.client.sync}.perform(s.object, op)
	if err != nil {
		return op, err
	}
	return operation.Result(s.object, op, out)
}

// connect makes a session of ZooKeeper unless there is one, and waits for it.
func (s *session) connect(ctx context.Context) error {
	if s.link != nil && s.link.conn.State() == zk.StateHasSession {
		return nil
	}
	if s.link != nil {
		s.link.end()
		s.link = nil
	}
	l := &link{changed: make(chan struct{}, 1)}
	conn, _, err := zk.Connect([]string{s.endpoint}, sessionTimeout, zk.WithLogInfo(false),
		zk.WithLogger(silent{}), zk.WithDialer(l.dial), zk.WithHostProvider(&host{}),
		zk.WithEventCallback(l.tell))
	if err != nil {
		return err
	}
	l.conn = conn
	for conn.State() != zk.StateHasSession {
		select {
		case <-l.changed:
		case <-ctx.Done():
			l.end()
			return ctx.Err()
		}
	}
	s.link = l
	return nil
}

// silent drops what the library logs of connections: operations tell it by their errors.
type silent struct{}

func (silent) Printf(string, ...any) {}

// host is a list of one server, which is not looked up.
type host struct {
	server string
	tried  bool
}

func (h *host) Init(servers []string) error { h.server = servers[0]; return nil }
func (h *host) Len() int                    { return 1 }
func (h *host) Connected()                  {}

// Next says from the second time on that the whole list was gone through, which makes the
// library wait a little.
func (h *host) Next() (server string, again bool) {
	again, h.tried = h.tried, true
	return h.server, again
}

// link is a session of ZooKeeper.
type link struct {
	conn    *zk.Conn
	changed chan struct{}

	mu     sync.Mutex // guards the rest
	socket net.Conn
	ended  bool
}

// tell wakes who waits for the session.
func (l *link) tell(zk.Event) {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// dial remembers the connection: the library waits long for a server that does not answer, and
// does not close what it waits for.
func (l *link) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	socket, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errors.Join(zk.ErrClosing, socket.Close())
	}
	l.socket = socket
	return socket, nil
}

// end ends the session without the server's help: whoever waits for an answer gets an error.
// It does not wait.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	crash.Go(l.conn.Close) // it would wait for the server
	if l.socket != nil {
		_ = l.socket.Close()
	}
}

// Status tells whether the server leads.
func (c *client) Status(ctx context.Context, endpoint string) (native.Status, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return native.Status{}, err
	}
	stop := context.AfterFunc(ctx, crash.Guard(func() { _ = socket.Close() }))
	defer stop()
	defer func() { _ = socket.Close() }()
	if _, err := socket.Write([]byte("srvr")); err != nil {
		return native.Status{}, err
	}
	answer, err := io.ReadAll(io.LimitReader(socket, 1<<16))
	if err != nil {
		return native.Status{}, err
	}
	return parseStatus(answer)
}

func parseStatus(answer []byte) (native.Status, error) {
	for line := range bytes.Lines(answer) {
		if mode, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "Mode: "); ok {
			return native.Status{Leads: mode == "leader" || mode == "standalone"}, nil
		}
	}
	return native.Status{}, fmt.Errorf("no mode in %.200q", answer)
}
