package etcd

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// fake is a node of etcd in this process: its keys with all of their past, transactions,
// leases that never end by themselves, and a lock service that grants what it is told to.
type fake struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedClusterServer

	mu       sync.Mutex
	revision int64
	past     []change
	// before is called without the lock before a write, and may write or refuse.
	before func() error
	// after is called after a put, before it is answered.
	after func()
	// lock is called for each call of Lock, and returns the key that is granted.
	lock func(name string, lease int64) (string, error)
	// kept counts keepalives; moved is to whom leadership went.
	kept  int
	moved uint64
	// hidden is the revision of an event that watchers do not get. An eager fake tells of
	// progress and sends no event at all. It says so many times that it is behind, and sends
	// its events then.
	hidden int64
	eager  bool
	behind int
}

// change is one change of a key.
type change struct {
	revision   int64
	key, value string
	deleted    bool
}

// serveFake starts a fake and returns its address.
func serveFake(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{revision: 1}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, f)
	pb.RegisterLeaseServer(s, f)
	pb.RegisterWatchServer(s, f)
	pb.RegisterMaintenanceServer(s, f)
	pb.RegisterClusterServer(s, f)
	s.RegisterService(lockService(), f)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return f, l.Addr().String()
}

// at returns the keys as they were at a revision, sorted.
func (f *fake) at(revision int64) []*mvccpb.KeyValue {
	now := map[string]*mvccpb.KeyValue{}
	for _, c := range f.past {
		switch old := now[c.key]; {
		case c.revision > revision:
		case c.deleted:
			delete(now, c.key)
		default:
			kv := &mvccpb.KeyValue{Key: []byte(c.key), Value: []byte(c.value),
				CreateRevision: c.revision, ModRevision: c.revision}
			if old != nil {
				kv.CreateRevision = old.CreateRevision
			}
			now[c.key] = kv
		}
	}
	var all []*mvccpb.KeyValue
	for _, kv := range now {
		all = append(all, kv)
	}
	slices.SortFunc(all, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return all
}

// put and del change a key as another client would.
func (f *fake) put(key, value string) int64 { return f.change(change{key: key, value: value}) }
func (f *fake) del(key string) int64        { return f.change(change{key: key, deleted: true}) }

func (f *fake) change(c change) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	c.revision = f.revision
	f.past = append(f.past, c)
	return c.revision
}

func (f *fake) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{MemberId: 2, Revision: f.revision}
}

func (f *fake) search(r *pb.RangeRequest) *pb.RangeResponse {
	revision := cmp.Or(r.Revision, f.revision)
	var found []*mvccpb.KeyValue
	for _, kv := range f.at(revision) {
		in := bytes.Equal(kv.Key, r.Key)
		if len(r.RangeEnd) > 0 {
			in = bytes.Compare(kv.Key, r.Key) >= 0 && bytes.Compare(kv.Key, r.RangeEnd) < 0
		}
		if in && (r.MaxCreateRevision == 0 || kv.CreateRevision <= r.MaxCreateRevision) {
			found = append(found, kv)
		}
	}
	got := &pb.RangeResponse{Header: f.header(), Count: int64(len(found))}
	switch r.SortTarget {
	case pb.RangeRequest_CREATE:
		slices.SortFunc(found, func(a, b *mvccpb.KeyValue) int {
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		})
	case pb.RangeRequest_MOD:
		slices.SortFunc(found, func(a, b *mvccpb.KeyValue) int {
			return cmp.Compare(a.ModRevision, b.ModRevision)
		})
	}
	if r.SortOrder == pb.RangeRequest_DESCEND {
		slices.Reverse(found)
	}
	if r.Limit > 0 {
		found = found[:min(int(r.Limit), len(found))]
	}
	if !r.CountOnly {
		got.Kvs = found
	}
	return got
}

func (f *fake) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.search(r), nil
}

func (f *fake) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := f.interfere(); err != nil {
		return nil, err
	}
	f.put(string(r.Key), string(r.Value))
	if f.after != nil {
		f.after()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &pb.PutResponse{Header: f.header()}, nil
}

// interfere lets a test do something before a write.
func (f *fake) interfere() error {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before == nil {
		return nil
	}
	return before()
}

func (f *fake) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	writes := slices.ContainsFunc(r.Success, func(op *pb.RequestOp) bool {
		return op.GetRequestRange() == nil
	})
	if writes {
		if err := f.interfere(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	got := &pb.TxnResponse{Succeeded: !slices.ContainsFunc(r.Compare, f.differs)}
	ops := r.Success
	if !got.Succeeded {
		ops = r.Failure
	}
	if writes && got.Succeeded {
		f.revision++
	}
	for _, op := range ops {
		one := &pb.ResponseOp{}
		switch {
		case op.GetRequestRange() != nil:
			one.Response = &pb.ResponseOp_ResponseRange{ResponseRange: f.search(op.GetRequestRange())}
		case op.GetRequestPut() != nil:
			p := op.GetRequestPut()
			f.past = append(f.past, change{f.revision, string(p.Key), string(p.Value), false})
		default:
			key := string(op.GetRequestDeleteRange().Key)
			f.past = append(f.past, change{f.revision, key, "", true})
		}
		got.Responses = append(got.Responses, one)
	}
	got.Header = f.header()
	return got, nil
}

// differs reports whether a comparison fails.
func (f *fake) differs(c *pb.Compare) bool {
	if len(c.RangeEnd) > 0 { // all of them have to be so, if there are any
		return slices.ContainsFunc(
			f.search(&pb.RangeRequest{Key: c.Key, RangeEnd: c.RangeEnd}).Kvs,
			func(kv *mvccpb.KeyValue) bool {
				return f.differs(&pb.Compare{Target: c.Target,
					Key: kv.Key, TargetUnion: c.TargetUnion})
			})
	}
	kv := &mvccpb.KeyValue{}
	if found := f.search(&pb.RangeRequest{Key: c.Key}).Kvs; len(found) > 0 {
		kv = found[0]
	}
	switch c.Target {
	case pb.Compare_VALUE:
		return kv.CreateRevision == 0 || !bytes.Equal(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		return kv.CreateRevision != c.GetCreateRevision()
	default:
		return kv.ModRevision != c.GetModRevision()
	}
}

func (f *fake) LeaseGrant(
	_ context.Context, r *pb.LeaseGrantRequest,
) (*pb.LeaseGrantResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &pb.LeaseGrantResponse{Header: f.header(), ID: 7, TTL: r.TTL}, nil
}

func (f *fake) LeaseKeepAlive(s pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.kept++
		f.mu.Unlock()
		if err := s.Send(&pb.LeaseKeepAliveResponse{ID: r.ID, TTL: 1}); err != nil {
			return err
		}
	}
}

// Watch sends the past of the keys, and answers whoever asks for progress.
func (f *fake) Watch(s pb.Watch_WatchServer) error {
	r, err := s.Recv()
	if err != nil {
		return err
	}
	ask := r.GetCreateRequest()
	f.mu.Lock()
	header := f.header()
	f.mu.Unlock()
	if err := s.Send(&pb.WatchResponse{Header: header, Created: true}); err != nil {
		return err
	}
	for sent := f.eager; ; {
		f.mu.Lock()
		late := f.behind > 0
		f.mu.Unlock()
		if !sent && !late {
			if err := f.tell(s, ask); err != nil {
				return err
			}
			sent = true
		}
		if r, err = s.Recv(); err != nil {
			return err
		}
		if r.GetProgressRequest() == nil {
			return fmt.Errorf("want a request for progress: %v", r)
		}
		f.mu.Lock()
		header = f.header()
		if f.behind > 0 {
			f.behind--
			header.Revision = 1
		}
		f.mu.Unlock()
		if err := s.Send(&pb.WatchResponse{Header: header, WatchId: -1}); err != nil {
			return err
		}
	}
}

// tell sends the events, each in a response of its own.
func (f *fake) tell(s pb.Watch_WatchServer, ask *pb.WatchCreateRequest) error {
	all := f.events(ask)
	for _, ev := range all.Events {
		one := &pb.WatchResponse{Header: all.Header, Events: []*mvccpb.Event{ev}}
		if err := s.Send(one); err != nil {
			return err
		}
	}
	return nil
}

// events are those of the keys that are asked for, but the one that is hidden.
func (f *fake) events(ask *pb.WatchCreateRequest) *pb.WatchResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &pb.WatchResponse{Header: f.header()}
	for _, c := range f.past {
		one := len(ask.RangeEnd) == 0 && c.key == string(ask.Key)
		among := len(ask.RangeEnd) > 0 && c.key >= string(ask.Key) && c.key < string(ask.RangeEnd)
		if c.revision < ask.StartRevision || c.revision == f.hidden || !one && !among {
			continue
		}
		kv := &mvccpb.KeyValue{Key: []byte(c.key), ModRevision: c.revision}
		ev := &mvccpb.Event{Type: mvccpb.DELETE, Kv: kv}
		if !c.deleted {
			ev.Type, kv.CreateRevision, kv.Value = mvccpb.PUT, c.revision, []byte(c.value)
		}
		r.Events = append(r.Events, ev)
	}
	return r
}

func (f *fake) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: f.header(), Leader: 2}, nil
}

func (f *fake) MemberList(
	context.Context, *pb.MemberListRequest,
) (*pb.MemberListResponse, error) {
	return &pb.MemberListResponse{Members: []*pb.Member{{ID: 2, Name: "n1"}, {ID: 3, Name: "n2"}}}, nil
}

func (f *fake) MoveLeader(
	_ context.Context, r *pb.MoveLeaderRequest,
) (*pb.MoveLeaderResponse, error) {
	f.moved = r.TargetID
	return &pb.MoveLeaderResponse{}, nil
}

// lockService has the calls of etcd's lock service. Its messages are those of others that
// look the same on the wire: bytes 1 and number 2; a header and bytes 2.
func lockService() *grpc.ServiceDesc {
	type decode = func(any) error
	lock := func(
		srv any, _ context.Context, into decode, _ grpc.UnaryServerInterceptor,
	) (any, error) {
		var r mvccpb.KeyValue
		if err := into(&r); err != nil {
			return nil, err
		}
		f := srv.(*fake)
		key, err := f.lock(string(r.Key), r.CreateRevision)
		if err != nil {
			return nil, err
		}
		return &pb.AuthenticateResponse{Header: f.header(), Token: key}, nil
	}
	unlock := func(
		srv any, _ context.Context, into decode, _ grpc.UnaryServerInterceptor,
	) (any, error) {
		var r pb.RangeRequest
		if err := into(&r); err != nil {
			return nil, err
		}
		srv.(*fake).del(string(r.Key))
		return &pb.AuthEnableResponse{}, nil
	}
	return &grpc.ServiceDesc{
		ServiceName: "v3lockpb.Lock", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Lock", Handler: lock}, {MethodName: "Unlock", Handler: unlock},
		},
	}
}

// leaseKey is where a waiting client has its key.
func leaseKey(name string, lease int64) string {
	return strings.TrimSuffix(name, "/") + "/" + strconv.FormatInt(lease, 16)
}
