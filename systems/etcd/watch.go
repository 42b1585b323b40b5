package etcd

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// How the client reads a log.
const (
	// byRange reads all elements at one revision.
	byRange = "range"
	// byWatch watches from the first revision on, until the newest element that a read has
	// shown before has come: what etcd says of watches (ordered, unique, reliable, atomic,
	// resumable) makes that the same list.
	byWatch = "watch"
	// byProgress watches until a notification of progress to the revision of that read, which
	// says that all events up to it have come (bookmarkable).
	byProgress = "progress"
)

// progressPause is how long a node that is behind may take until it is asked again.
const progressPause = 20 * time.Millisecond

// watcher is a stream with one watch.
type watcher struct{ stream pb.Watch_WatchClient }

// watch begins a watch, which ends with the context.
func (c call) watch(ctx context.Context, ask *pb.WatchCreateRequest) (watcher, error) {
	stream, err := pb.NewWatchClient(c.node.conn).Watch(ctx)
	if err != nil {
		return watcher{}, err
	}
	return watcher{stream}, stream.Send(&pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: ask},
	})
}

// next waits for what comes next.
func (w watcher) next() (*pb.WatchResponse, error) {
	got, err := w.stream.Recv()
	if err == nil && got.Canceled {
		err = fmt.Errorf("the watch was canceled: %s", got.CancelReason)
	}
	return got, err
}

// askProgress asks how far the node is.
func (w watcher) askProgress() error {
	return w.stream.Send(&pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}},
	})
}

// isProgress reports whether a response is one of those that tell nothing else.
func isProgress(r *pb.WatchResponse) bool { return !r.Created && len(r.Events) == 0 }

// watched reads a log as somebody who watches it sees it.
func (c call) watched(how string) (history.Value, error) {
	newest, err := c.node.kv.Get(c.ctx, c.below(), c.reads(clientv3.WithPrefix(),
		clientv3.WithKeysOnly(), clientv3.WithLimit(1),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))...)
	if err != nil {
		return history.Nil(), err
	}
	if len(newest.Kvs) == 0 {
		return history.List(), nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	w, err := c.watch(ctx, &pb.WatchCreateRequest{
		Key: []byte(c.below()), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(c.below())),
		StartRevision: 1,
	})
	if err != nil {
		return history.Nil(), fmt.Errorf("watch: %w", err)
	}
	var seen []*mvccpb.KeyValue
	for over := false; !over; {
		got, err := w.next()
		if err != nil {
			return history.Nil(), fmt.Errorf("watch: %w", err)
		}
		for _, ev := range got.Events {
			if ev.Type != mvccpb.PUT {
				return history.Nil(), operation.Brokenf("%s was deleted from a log", ev.Kv.Key)
			}
			seen = append(seen, ev.Kv)
			over = over || how == byWatch && ev.Kv.ModRevision >= newest.Kvs[0].ModRevision
		}
		if how != byProgress {
			continue
		}
		if isProgress(got) {
			if over = got.Header.Revision >= newest.Header.Revision; over {
				continue
			}
			select { // the node is behind
			case <-ctx.Done():
				return history.Nil(), fmt.Errorf("watch: %w", ctx.Err())
			case <-time.After(progressPause):
			}
		}
		// Newer nodes do not answer while events are on their way: ask after each.
		if err := w.askProgress(); err != nil {
			return history.Nil(), fmt.Errorf("watch: %w", err)
		}
	}
	list, err := values(seen)
	return history.List(list...), err
}
