package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// open makes a client of a node with settings, name=value.
func open(t *testing.T, object, endpoint string, settings ...string) native.Session {
	t.Helper()
	chosen := map[string]string{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		chosen[name] = value
	}
	values, err := System().Choose(chosen)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(values)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Open(t.Context(), []string{endpoint}, object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// invoke does an operation with a value in JSON.
func invoke(t *testing.T, s native.Session, f history.F, value string) (string, error) {
	t.Helper()
	op := history.Event{F: f, Key: "k", Process: 3}
	if value != "" {
		v, err := history.ParseValue([]byte(value))
		if err != nil {
			t.Fatal(err)
		}
		op.Value = v
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := s.Invoke(ctx, op)
	return got.Value.String(), err
}

// TestObjects does a few operations on each kind of object, one client after the other.
func TestObjects(t *testing.T) {
	type step struct {
		f           history.F
		value, want string // want "fail": a definite one
	}
	for object, steps := range map[string][]step{
		"register": {
			{"read", "", "null"}, {"cas", "[null,4]", "[null,4]"}, {"cas", "[null,5]", "fail"},
			{"write", "6", "6"}, {"cas", "[6,-7]", "[6,-7]"}, {"cas", "[6,8]", "fail"}, {"read", "", "-7"},
		},
		"set":     {{"read", "", "[]"}, {"add", "7", "7"}, {"add", "3", "3"}, {"read", "", "[7,3]"}},
		"counter": {{"read", "", "0"}, {"add", "5", "5"}, {"add", "-2", "-2"}, {"read", "", "3"}},
		"queue": {
			{"dequeue", "", "null"}, {"enqueue", "5", "5"}, {"enqueue", "4", "4"}, {"dequeue", "", "5"},
			{"dequeue", "", "4"}, {"dequeue", "", "null"},
		},
		"log": {{"append", "9", "0"}, {"append", "8", "1"}, {"read", "", "[9,8]"}},
		"decide": {
			{"ask", "", "null"}, {"propose", "3", "3"}, {"propose", "4", "3"}, {"ask", "", "3"},
		},
		"ids": {{"generate", "", "2"}, {"generate", "", "3"}},
		"fenced": {
			{"read", "", "[0,null]"}, {"write", "[5,1]", "[5,1]"}, {"write", "[4,2]", "fail"},
			{"write", "[5,3]", "[5,3]"}, {"read", "", "[5,3]"},
		},
		"txn": {
			{"txn", `[["w","x",1],["r","x",null],["r","y",null]]`,
				`[["w","x",1],["r","x",1],["r","y",null]]`},
			{"txn", `[["r","x",null],["add","x",4],["r","x",null]]`,
				`[["r","x",1],["add","x",4],["r","x",5]]`},
			{"txn", `[["add","x",-6]]`, "fail"},
			{"txn", `[["r","x",null]]`, `[["r","x",5]]`},
		},
		"txn-list": {
			{"txn", `[["append","x",1],["r","x",null]]`, `[["append","x",1],["r","x",[1]]]`},
			{"txn", `[["append","x",2],["append","x",3]]`, `[["append","x",2],["append","x",3]]`},
			{"txn", `[["r","x",null],["r","y",null]]`, `[["r","x",[1,2,3]],["r","y",[]]]`},
		},
	} {
		t.Run(object, func(t *testing.T) {
			_, at := serveFake(t)
			s := open(t, object, at)
			for i, st := range steps {
				got, err := invoke(t, s, st.f, st.value)
				if history.IsDefinite(err) {
					got = "fail"
				} else if err != nil {
					t.Fatal(err)
				}
				if got != st.want {
					t.Errorf("step %d: %s %s: %s, want %s", i, st.f, st.value, got, st.want)
				}
			}
		})
	}
}

// TestWatch: a log is read by watching it, and what a watch should not do is seen.
func TestWatch(t *testing.T) {
	for name, c := range map[string]struct {
		logs  string
		wrong func(f *fake)
		want  string
	}{
		"to the newest":            {"watch", func(*fake) {}, "[9,8,7]"},
		"to a revision":            {"progress", func(*fake) {}, "[9,8,7]"},
		"a node that is behind":    {"progress", func(f *fake) { f.behind = 3 }, "[9,8,7]"},
		"an event is lost":         {"watch", func(f *fake) { f.hidden = 3 }, "[9,7]"},
		"one is lost to progress":  {"progress", func(f *fake) { f.hidden = 3 }, "[9,7]"},
		"progress before the past": {"progress", func(f *fake) { f.eager = true }, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			f, at := serveFake(t)
			s := open(t, "log", at, "logs="+c.logs)
			if got, err := invoke(t, s, "read", ""); err != nil || got != "[]" {
				t.Errorf("nothing was appended: %s, %v", got, err)
			}
			for _, value := range []string{"9", "8", "7"} {
				if _, err := invoke(t, s, "append", value); err != nil {
					t.Fatal(err)
				}
			}
			c.wrong(f)
			if got, err := invoke(t, s, "read", ""); err != nil || got != c.want {
				t.Errorf("%s, %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestGuard: the keys of a guard are made once, and whoever changes one keeps all from adding.
func TestGuard(t *testing.T) {
	f, at := serveFake(t)
	s := open(t, "set", at, "guard=250")
	for _, value := range []string{"5", "6"} {
		if _, err := invoke(t, s, "add", value); err != nil {
			t.Fatal(err)
		}
	}
	got, err := invoke(t, s, "read", "")
	if all := len(f.at(f.revision)); err != nil || got != "[5,6]" || all != 252 {
		t.Errorf("%s, %v; %d keys", got, err, all)
	}
	f.put(guardPrefix+"00000007", "1")
	if _, err := invoke(t, s, "add", "7"); !errors.Is(err, errChanged) {
		t.Errorf("it was not compared: %v", err)
	}
}

// TestConflict: what another client changes between the look and the write makes the
// operation fail, and it leaves nothing behind.
func TestConflict(t *testing.T) {
	for _, c := range []struct{ object, f, value, other string }{
		{"txn", "txn", `[["r","k",null],["w","y",5]]`, "ordeal/txn/k"},
		{"txn-list", "txn", `[["append","k",5]]`, "ordeal/txn-list/k"},
		{"fenced", "write", "[5,5]", "ordeal/fenced/k"},
	} {
		t.Run(c.object, func(t *testing.T) {
			f, at := serveFake(t)
			f.before = func() error {
				f.put(c.other, "1")
				return nil
			}
			got, err := invoke(t, open(t, c.object, at), history.F(c.f), c.value)
			if !history.IsDefinite(err) || !errors.Is(err, errChanged) {
				t.Errorf("%s, %v", got, err)
			}
			if all := f.at(f.revision); len(all) != 1 || string(all[0].Value) != "1" {
				t.Errorf("left behind: %v", all)
			}
		})
	}
	f, at := serveFake(t) // the oldest element is taken by somebody else
	s := open(t, "queue", at)
	if _, err := invoke(t, s, "enqueue", "5"); err != nil {
		t.Fatal(err)
	}
	key := string(f.at(f.revision)[0].Key)
	f.before = func() error {
		f.del(key)
		return nil
	}
	if got, err := invoke(t, s, "dequeue", ""); !history.IsDefinite(err) {
		t.Errorf("dequeued twice: %s, %v", got, err)
	}
}

// TestOutcomes holds the client against the table of errors in docs/systems/etcd.md.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		answer   error
		definite bool
	}{
		{rpctypes.ErrGRPCNoLeader, true},
		{rpctypes.ErrGRPCEmptyKey, true},
		{rpctypes.ErrGRPCTooManyOps, true},
		{rpctypes.ErrGRPCDuplicateKey, true},
		{rpctypes.ErrGRPCRequestTooLarge, true},
		{rpctypes.ErrGRPCRequestTooManyRequests, true},
		{rpctypes.ErrGRPCLeaseNotFound, true},
		{status.Error(codes.Unimplemented, "unknown service"), true},
		{rpctypes.ErrGRPCNoSpace, false},
		{rpctypes.ErrGRPCTimeout, false},
		{rpctypes.ErrGRPCTimeoutDueToLeaderFail, false},
		{rpctypes.ErrGRPCTimeoutDueToConnectionLost, false},
		{rpctypes.ErrGRPCLeaderChanged, false},
		{rpctypes.ErrGRPCStopped, false},
		{rpctypes.ErrGRPCUnhealthy, false},
		{rpctypes.ErrGRPCCorrupt, false},
		{rpctypes.ErrGRPCPermissionDenied, false},
		{rpctypes.ErrGRPCNotCapable, false},
		{status.Error(codes.Unknown, "raft proposal dropped"), false},
		{status.Error(codes.Unavailable, "transport is closing"), false},
		{status.Error(codes.Unavailable, "etcdserver: no leader, perhaps"), false},
		{status.Error(codes.Internal, "stream terminated"), false},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), false},
		{status.Error(codes.Canceled, "context canceled"), false},
	} {
		f, at := serveFake(t)
		f.before = func() error { return c.answer }
		_, err := invoke(t, open(t, "register", at), "write", "5")
		if err == nil || history.IsDefinite(err) != c.definite || operation.IsBroken(err) {
			t.Errorf("%v: definite %v: %v", c.answer, history.IsDefinite(err), err)
		}
		_, err = invoke(t, open(t, "log", at), "append", "5")
		if err == nil || history.IsDefinite(err) != c.definite {
			t.Errorf("%v of a transaction: definite %v: %v", c.answer, history.IsDefinite(err), err)
		}
	}
}

// TestUnreachable: where nobody listens nothing was sent; what was sent and then lost its
// connection may have happened.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := invoke(t, open(t, "register", at), "write", "5"); !history.IsDefinite(err) {
		t.Errorf("nobody listens: %v", err)
	}

	f, behind := serveFake(t)
	cut := make(chan struct{})
	at = relay(t, behind, cut)
	f.after = func() { close(cut) }
	if _, err := invoke(t, open(t, "register", at), "write", "5"); err == nil ||
		history.IsDefinite(err) {
		t.Errorf("the connection was lost: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.past) != 1 {
		t.Errorf("it happened %d times", len(f.past))
	}
}

// relay passes on connections until it is cut, and answers not any more from then on.
func relay(t *testing.T, to string, cut <-chan struct{}) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(out, in) }()
			go func() { _, _ = io.Copy(in, out) }()
			go func() {
				<-cut
				_ = in.Close()
				_ = out.Close()
			}()
		}
	}()
	return l.Addr().String()
}
