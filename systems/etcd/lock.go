package etcd

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// A lock is etcd's own: the calls Lock and Unlock, which wait on the server. Who waits has a
// key under the lock's name with a lease, and holds the lock while no older key is there; the
// revision at which its key was created is the token.
//
// A tenure counts from the call, as the client may count: its lease cannot end before its
// time is over since it was asked for, or since the last keepalive was sent that was
// answered. The keepalives end with the wait.
//
// Where the key is gone when the grant arrives, the client looks up what became of it, which
// etcd remembers. If an older key was there for all the time that it was, the lock was never
// held, whatever the lease: the grant says so.

// lock acquires or releases.
func (c call) lock(op history.Event) (history.Value, error) {
	name := c.key
	if c.object == "fenced" {
		name = c.below() + "lock"
	}
	if op.F == "release" {
		return op.Value, c.release(name, op.Value)
	}
	return c.acquire(name)
}

// acquire gets a lease, waits for the lock, and looks at the key that it has got.
func (c call) acquire(name string) (history.Value, error) {
	leases := pb.NewLeaseClient(c.node.conn)
	seconds := int64(c.client.ttl / time.Second)
	lease, err := leases.LeaseGrant(c.ctx, &pb.LeaseGrantRequest{TTL: seconds})
	if err != nil {
		// A lease alone is no lock, and ends by itself.
		return history.Nil(), history.Definite(fmt.Errorf("grant a lease: %w", err))
	}
	var kept atomic.Int64
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	if c.client.keepalive {
		crash.Go(func() { keepAlive(ctx, leases, lease, &kept) })
	}
	key, err := lockCall(c.ctx, c.node.conn, name, lease.ID)
	stop()
	if err != nil {
		return history.Nil(), fmt.Errorf("lock: %w", err)
	}
	ttl := time.Duration(kept.Load()) + time.Duration(lease.TTL)*time.Second
	return c.granted(name, key, lease, ttl)
}

// keepAlive asks for a lease to be kept until the context ends, and notes how long after its
// beginning it asked the last time that it was. It counts the ticks before that, of which
// some may be left out, but none comes early.
func keepAlive(
	ctx context.Context, leases pb.LeaseClient, lease *pb.LeaseGrantResponse, kept *atomic.Int64,
) {
	stream, err := leases.LeaseKeepAlive(ctx)
	if err != nil {
		return // what was not kept is not counted
	}
	interval := time.Duration(lease.TTL) * time.Second / 4
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if stream.Send(&pb.LeaseKeepAliveRequest{ID: lease.ID}) != nil {
			return
		}
		got, err := stream.Recv()
		if err != nil || got.TTL < lease.TTL {
			return
		}
		kept.Store(n * int64(interval))
	}
}

// granted is the answer to a lock that etcd says was got.
func (c call) granted(
	name, key string, lease *pb.LeaseGrantResponse, ttl time.Duration,
) (history.Value, error) {
	got, err := c.node.kv.Get(c.ctx, key)
	if err != nil {
		return history.Nil(), fmt.Errorf("look at the key of the lock: %w", err)
	}
	fields := []history.Field{{Name: "ttl_ms", Value: history.Int(ttl.Milliseconds())}}
	var token int64
	if len(got.Kvs) == 1 {
		token = got.Kvs[0].CreateRevision
	} else {
		t, held, err := c.lost(name, key, lease.Header.Revision)
		if err != nil {
			return history.Nil(), fmt.Errorf("look for the key of the lock: %w", err)
		}
		if token = t; !held {
			fields = append(fields, history.Field{Name: "held", Value: history.Bool(false)})
		}
	}
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	c.client.locks[lockID{name, token}] = key
	fields = append(fields, history.Field{Name: "token", Value: history.Int(token)})
	return history.Map(fields...), nil
}

// lost finds out what was of a key that is gone: when it was created, and whether there was
// a moment in which it was the oldest one of the lock.
func (c call) lost(name, key string, after int64) (created int64, held bool, err error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	w, err := c.watch(ctx, &pb.WatchCreateRequest{Key: []byte(key), StartRevision: after + 1})
	if err != nil {
		return 0, false, err
	}
	var deleted int64
	for deleted == 0 {
		got, err := w.next()
		if err != nil {
			return 0, false, err
		}
		for _, ev := range got.Events {
			if ev.Type == mvccpb.DELETE {
				deleted = ev.Kv.ModRevision
			} else if created == 0 {
				created = ev.Kv.CreateRevision
			}
		}
	}
	if created == 0 {
		return 0, false, operation.Brokenf("key %s was deleted and never created", key)
	}
	// Who is older than the key stays so until it is gone: one look at the end tells of all
	// the time before.
	older, err := c.node.kv.Get(c.ctx, name+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithRev(deleted-1), clientv3.WithMaxCreateRev(created-1))
	if err != nil {
		return 0, false, err
	}
	return created, len(older.Kvs) == 0, nil
}

// release deletes the key of whoever got the lock with this token.
func (c call) release(name string, v history.Value) error {
	token, _ := v.AsInt()
	id := lockID{name, token}
	c.client.mu.Lock()
	key, ok := c.client.locks[id]
	delete(c.client.locks, id)
	c.client.mu.Unlock()
	if !ok {
		return history.Definite(fmt.Errorf("token %d was granted to nobody here", token))
	}
	if err := unlockCall(c.ctx, c.node.conn, key); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}
