package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// client makes sessions. It remembers the keys of locks that are held, because who releases
// one may be another session.
type client struct {
	serializable, keepalive bool
	// logs is how logs are read.
	logs string
	// ttl is that of the leases of locks.
	ttl time.Duration
	// guard is how many keys are compared beside each element that is added. Who makes them
	// has guarding.
	guard     int
	guarding  sync.Mutex
	guardMade atomic.Bool

	mu    sync.Mutex
	locks map[lockID]string
}

// lockID is a lock with the token of who got it.
type lockID struct {
	lock  string
	token int64
}

var _ native.Operator = (*client)(nil)

// Has implements native.Client: all that workloads ask for.
func (c *client) Has(object string, f history.F) bool {
	o, ok := operation.Named(object)
	if !ok {
		return false
	}
	_, ok = o.Op(f)
	return ok
}

// Open implements native.Client. It connects at the first operation.
func (c *client) Open(
	_ context.Context, endpoints []string, object string,
) (native.Session, error) {
	o, ok := operation.Named(object)
	if !ok {
		return nil, operation.Brokenf("objects %s are not known", object)
	}
	if o.Name != "session" {
		endpoints = endpoints[:1]
	}
	s := &session{client: c, object: o.Name}
	for _, e := range endpoints {
		n, err := dial(e)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.nodes = append(s.nodes, n)
	}
	return s, nil
}

// node is a connection to one node.
type node struct {
	endpoint string
	conn     *grpc.ClientConn
	kv       clientv3.KV
}

// messageMost is how long an answer may be: sets and logs are read as a whole.
const messageMost = 64 << 20

// dial prepares a connection; nothing is sent yet.
func dial(endpoint string) (node, error) {
	again := backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5,
		MaxDelay: 500 * time.Millisecond}
	conn, err := grpc.NewClient("passthrough:///"+endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageMost)),
		grpc.WithDisableRetry())
	if err != nil {
		return node{}, operation.Brokenf("endpoint %s: %w", endpoint, err)
	}
	return node{
		endpoint: endpoint, conn: conn,
		kv: clientv3.NewKVFromKVClient(pb.NewKVClient(conn), nil),
	}, nil
}

// connect waits until there is a connection. Its error is a definite one: nothing has been
// sent.
func (n node) connect(ctx context.Context) error {
	for {
		state := n.conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return history.Definite(fmt.Errorf("%s is not reached", n.endpoint))
		case connectivity.Idle:
			n.conn.Connect()
		}
		if !n.conn.WaitForStateChange(ctx, state) {
			return history.Definite(fmt.Errorf("connect to %s: %w", n.endpoint, ctx.Err()))
		}
	}
}

// session is one logical client.
type session struct {
	client *client
	object string
	nodes  []node
	moves  int
}

// Close implements native.Session.
func (s *session) Close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.conn.Close())
	}
	return errors.Join(errs...)
}

// Invoke implements native.Session.
func (s *session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	n := s.nodes[s.moves%len(s.nodes)]
	s.moves++
	if err := n.connect(ctx); err != nil {
		return op, err
	}
	c := call{
		ctx: clientv3.WithRequireLeader(ctx), node: n, client: s.client, object: s.object,
		key: path(s.object, op.Key), process: op.Process,
	}
	value, err := c.perform(op)
	if err != nil {
		return op, outcome(err)
	}
	op.Value = value
	return op, nil
}

// path is where the object of a key is. Elements of collections are below it.
func path(object string, key history.Key) string {
	return "ordeal/" + object + "/" + string(key)
}

// call is one operation at one node.
type call struct {
	ctx     context.Context
	node    node
	client  *client
	object  string
	key     string
	process history.Process
}

// perform does the operation once. What is definite in its errors was never sent, or was
// decided by a comparison; the rest outcome tells.
func (c call) perform(op history.Event) (history.Value, error) {
	switch c.object {
	case "register", "session":
		return c.register(op)
	case "set":
		return c.set(op)
	case "counter":
		return c.counter(op)
	case "queue":
		return c.queue(op)
	case "log":
		return c.log(op)
	case "decide":
		return c.decide(op)
	case "ids":
		return c.generate()
	case "txn":
		return c.transact(op, registers{})
	case "txn-list":
		return c.transact(op, lists{})
	case "lock":
		return c.lock(op)
	case "fenced":
		return c.fenced(op)
	}
	return op.Value, operation.Brokenf("objects %s are not known", c.object)
}

// reads are the options of reads that workloads ask for. Those that prepare a transaction
// may be as old: it compares.
func (c call) reads(more ...clientv3.OpOption) []clientv3.OpOption {
	if c.client.serializable {
		more = append(more, clientv3.WithSerializable())
	}
	return more
}

// commit does a transaction that compares. One that found something else has failed.
func (c call) commit(ifs []clientv3.Cmp, then ...clientv3.Op) (*clientv3.TxnResponse, error) {
	got, err := c.node.kv.Txn(c.ctx).If(ifs...).Then(then...).Commit()
	if err != nil {
		return nil, err
	}
	if !got.Succeeded {
		return nil, history.Definite(errChanged)
	}
	return got, nil
}
