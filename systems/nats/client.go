package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// stream is the name of the one stream, and what its subjects begin with.
const stream = "ordeal"

// Client makes sessions.
type Client struct {
	replicas int
	leader   bool // registers are read at the stream's leader
}

var (
	_ native.Client    = (*Client)(nil)
	_ native.Informant = (*Client)(nil)
	_ native.Prober    = (*Client)(nil)
)

// Has implements native.Client.
func (c *Client) Has(object string, f history.F) bool {
	switch object {
	case "register", "cas-register":
		return f == "read" || f == "write" || f == "cas"
	case "set":
		return f == "read" || f == "add"
	case "log":
		return f == "read" || f == "append"
	default:
		return false
	}
}

// Open implements native.Client. The session connects at its first operation.
func (c *Client) Open(
	_ context.Context, endpoints []string, object string,
) (native.Session, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("open a session: no endpoint")
	}
	return &session{client: c, object: object, endpoint: endpoints[0]}, nil
}

// Status implements native.Informant: a node leads that says that it leads the stream.
func (c *Client) Status(ctx context.Context, endpoint string) (native.Status, error) {
	l, err := dial(ctx, endpoint)
	if err != nil {
		return native.Status{}, err
	}
	defer l.close()
	info, err := l.info(ctx)
	if err != nil {
		return native.Status{}, err
	}
	own := l.conn.ConnectedServerName()
	return native.Status{Leads: info.Cluster == nil || info.Cluster.Leader == own}, nil
}

// Probe fails unless the stream has a leader, with which all replicas are in step, and the
// node at the endpoint answers.
func (c *Client) Probe(ctx context.Context, endpoint string) error {
	l, err := dial(ctx, endpoint)
	if err != nil {
		return err
	}
	defer l.close()
	info, err := l.ensure(ctx, c.replicas)
	if err != nil {
		return err
	}
	return inStep(info, c.replicas)
}

// inStep says what a stream lacks to be whole.
func inStep(info *jetstream.StreamInfo, replicas int) error {
	if info.Cluster == nil { // the only server there is
		return nil
	}
	if info.Cluster.Leader == "" {
		return errors.New("the stream has no leader")
	}
	if n := len(info.Cluster.Replicas) + 1; n != replicas {
		return fmt.Errorf("the stream has %d replicas, not %d", n, replicas)
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline || r.Lag > 0 {
			return fmt.Errorf("replica %s is not in step with %s", r.Name, info.Cluster.Leader)
		}
	}
	return nil
}

// link is one connection to one server. It is never made anew behind one's back.
type link struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

const dialTime = 2 * time.Second

func dial(ctx context.Context, endpoint string) (*link, error) {
	limit := dialTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	if limit <= 0 {
		return nil, context.DeadlineExceeded
	}
	conn, err := nats.Connect("nats://"+endpoint, nats.NoReconnect(), nats.Timeout(limit),
		nats.Name("ordeal"),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // by the operation
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &link{conn: conn, js: js}, nil
}

func (l *link) close() { l.conn.Close() }

// alive reports whether the connection has not ended yet, as far as anybody knows.
func (l *link) alive() bool { return l.conn.IsConnected() }

// info asks who leads the stream, and how its replicas are.
func (l *link) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return s.CachedInfo(), nil
}

// ensure makes the stream if there is none, as an application does when it starts. One that
// was lost with all that was in it is made again, and its messages are missed then.
func (l *link) ensure(ctx context.Context, replicas int) (*jetstream.StreamInfo, error) {
	if err := recent(l.conn.ConnectedServerVersion()); err != nil {
		return nil, err
	}
	info, err := l.info(ctx)
	if err == nil || !errors.Is(err, jetstream.ErrStreamNotFound) {
		return info, err
	}
	s, err := l.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{stream + ".>"}, Replicas: replicas,
		Storage: jetstream.FileStorage, AllowDirect: true,
	})
	if err != nil {
		return nil, fmt.Errorf("make the stream: %w", err)
	}
	return s.CachedInfo(), nil
}

// recent refuses servers that do not answer a read of many messages as it is asked for.
func recent(version string) error {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) == 3 {
		major, err1 := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(parts[1])
		if err1 == nil && err2 == nil && (major > 2 || major == 2 && minor >= 11) {
			return nil
		}
	}
	return operation.Brokenf("the server is nats-server %q: want 2.11 or newer", version)
}
