package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native/nativetest"
)

// TestClaims: reads without sync are claimed to be fresh only if somebody asks for it.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		set       map[string]string
		first     string
		registers bool
	}{
		{nil, "register linearizable", true},
		{map[string]string{"sync": "false"}, "list-append strict-serializable", false},
		{map[string]string{"sync": "false", "claim": "linearizable"}, "register linearizable", true},
	} {
		d, _ := nativetest.Load(t, System(), c.set)
		var got []string
		for _, p := range d.Claim.Workloads {
			got = append(got, p.Workload+" "+p.Consistency)
		}
		set := map[bool]string{true: "set-full linearizable", false: "set-full eventual"}[c.registers]
		if got[0] != c.first || slices.Contains(got, "cas-register linearizable") != c.registers ||
			!slices.Contains(got, set) || !slices.Contains(got, "unique-ids linearizable") {
			t.Errorf("%v: %q", c.set, got)
		}
	}
}

// TestRefused is the table of errors: which prove that a request had no effect.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{zk.ErrNoNode, true}, {zk.ErrNodeExists, true}, {zk.ErrBadVersion, true},
		{zk.ErrNoAuth, true}, {zk.ErrNoServer, true}, // it was never sent
		{zk.ErrConnectionClosed, false}, {zk.ErrSessionExpired, false}, {zk.ErrSessionMoved, false},
		{zk.ErrClosing, false}, {zk.ErrUnknown, false}, {zk.ErrAPIError, false},
		{errors.New("unknown error: -4"), false}, // the server's own connection loss
		{errors.New("EOF"), false}, {context.DeadlineExceeded, false},
	} {
		if got := told("write", c.err); history.IsDefinite(got) != c.want {
			t.Errorf("%v proves it: %t", c.err, !c.want)
		}
	}
	if told("write", nil) != nil {
		t.Error("no error is one")
	}
}

// TestNobody: what cannot be sent has failed, soon.
func TestNobody(t *testing.T) {
	_, client := nativetest.Load(t, System(), nil)
	s := nativetest.Open(t, client, "register", "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := s.Invoke(ctx, history.Event{F: "write", Key: "k", Value: history.Int(1)})
	if !history.IsDefinite(err) {
		t.Error(err)
	}
}

// TestSilence: of a server that takes a connection and says nothing, nothing was asked.
func TestSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, client := nativetest.Load(t, System(), nil)
	s := nativetest.Open(t, client, "register", l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = s.Invoke(ctx, history.Event{F: "write", Key: "k", Value: history.Int(1)})
	if !history.IsDefinite(err) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestParseStatus(t *testing.T) {
	for text, leads := range map[string]bool{
		"Zookeeper version: 3.8.0\nMode: leader\nNode count: 5\n": true, "Mode: follower\n": false,
		"Mode: standalone\n": true,
	} {
		if got, err := parseStatus([]byte(text)); err != nil || got.Leads != leads {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	silent := "This ZooKeeper instance is not currently serving requests\n"
	if _, err := parseStatus([]byte(silent)); err == nil {
		t.Error("who does not serve has a status")
	}
}

// TestServers runs an ensemble of three, where ZooKeeper is installed.
func TestServers(t *testing.T) {
	nativetest.Installed(t, "", "/usr/share/java/zookeeper.jar")
	nativetest.Installed(t, "", "java")
	read := history.Event{F: "read", Key: "probe"}
	c := nativetest.Start(t, System(), nil, 3, "register", read)
	var leaders []string
	for _, endpoint := range c.Endpoints {
		status, err := c.Client.(*client).Status(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if status.Leads {
			leaders = append(leaders, endpoint)
		}
	}
	if len(leaders) != 1 {
		t.Errorf("%q lead", leaders)
	}
	nativetest.Run(t, c, slices.Concat(nativetest.Registers(), nativetest.Transactions(),
		[]nativetest.Case{{Object: "ids", F: "generate", Value: "null", Want: "ok 0"},
			{Object: "ids", F: "generate", Value: "null", Want: "ok 1"}}))

	// Of two transactions that have read the same, one is refused as a whole.
	s := nativetest.Open(t, c.Client, "txn", c.Endpoints...).(*session)
	got := nativetest.Say(t, s, "txn", "k", `[["w","p",1],["w","q",1]]`)
	if !strings.HasPrefix(got, "ok") {
		t.Fatal(got)
	}
	w := work{conn: s.link.conn}
	p, err := w.made("/r.p")
	if err != nil {
		t.Fatal(err)
	}
	q, err := w.made("/r.q")
	if err != nil {
		t.Fatal(err)
	}
	if got := nativetest.Say(t, s, "txn", "k", `[["w","q",2]]`); !strings.HasPrefix(got, "ok") {
		t.Fatal(got)
	}
	err = w.multi([]any{&zk.SetDataRequest{Path: p.path, Data: []byte("3"), Version: p.version},
		&zk.CheckVersionRequest{Path: q.path, Version: q.version}})
	if !history.IsDefinite(err) {
		t.Errorf("a multi on what has changed: %v", err)
	}
	want := `ok [["r","p",1],["r","q",2]]`
	if got := nativetest.Say(t, s, "txn", "k", `[["r","p",null],["r","q",null]]`); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	// What was sent when the time is up may have happened.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("time is up"))
	_, err = s.Invoke(ctx, history.Event{F: "txn", Value: history.Steps(history.Step{
		F: history.StepWrite, Key: "p", Value: history.Int(7),
	})})
	if err == nil {
		t.Error("no error after the time was up")
	}
}
