package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
)

// Client makes sessions, and knows which Sentinels there are.
type Client struct {
	master      string
	wait        int // how many replicas have to have a write
	waitTimeout time.Duration
	waitReads   bool // and what is read
	local       bool // reads come from the session's own node

	mu        sync.Mutex // Protects fields below.
	sentinels []string   // host:port; nil until one was heard
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
	case "set", "counter":
		return f == "read" || f == "add"
	case "queue":
		return f == "enqueue" || f == "dequeue"
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
	return &session{client: c, object: object, endpoints: slices.Clone(endpoints)}, nil
}

// Status implements native.Informant: a node leads that thinks that it is a primary. After a
// partition these may be two.
func (c *Client) Status(ctx context.Context, endpoint string) (native.Status, error) {
	l := dial(endpoint)
	defer l.close()
	r, err := l.role(ctx)
	return native.Status{Leads: r.primary}, err
}

// connection is to one server; it is made at the first command. It never makes another one,
// and never sends anything twice.
type connection struct {
	db   *redis.Client
	conn *redis.Conn
}

// quiet takes go-redis's log away: what it says there comes back as errors, too.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf implements go-redis's logger.
func (silence) Printf(context.Context, string, ...any) {}

// options lead to one server, without anything that the library would do by itself.
func options(address string) *redis.Options {
	quiet()
	return &redis.Options{
		Addr: address, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: dialTime, ContextTimeoutEnabled: true, PoolSize: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

const dialTime = 2 * time.Second

func dial(address string) *connection {
	db := redis.NewClient(options(address))
	return &connection{db: db, conn: db.Conn()}
}

func (c *connection) close() { _ = errors.Join(c.conn.Close(), c.db.Close()) }

// role is what a server says that it is.
type role struct {
	primary bool
	// follows is the primary of a replica, host:port; connected says that it is in step
	// with that.
	follows   string
	connected bool
}

// role asks the server.
func (c *connection) role(ctx context.Context) (role, error) {
	words, err := c.conn.Do(ctx, "ROLE").Slice()
	if err != nil {
		return role{}, fmt.Errorf("role: %w", err)
	}
	if len(words) > 0 && words[0] == "master" {
		return role{primary: true}, nil
	}
	if len(words) < 4 || words[0] != "slave" {
		return role{}, fmt.Errorf("role: %v", words)
	}
	return role{
		follows:   net.JoinHostPort(fmt.Sprint(words[1]), fmt.Sprint(words[2])),
		connected: words[3] == "connected",
	}, nil
}
