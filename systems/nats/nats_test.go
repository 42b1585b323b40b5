package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

func client(t *testing.T, settings map[string]string) *Client {
	t.Helper()
	v, err := System().Choose(settings)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(v)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// opTime is long for a busy machine, and what a test takes that waits for its end.
const opTime = 2 * time.Second

// invoke does one operation in a session of its own.
func invoke(t *testing.T, c *Client, endpoint, object string, op history.Event) (
	history.Event, error,
) {
	t.Helper()
	s, err := c.Open(t.Context(), []string{endpoint}, object)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), opTime)
	defer cancel()
	return s.Invoke(ctx, op)
}

const (
	isOK      = "ok"
	isFail    = "fail"
	isUnknown = "unknown"
)

func outcome(err error) string {
	switch {
	case err == nil:
		return isOK
	case history.IsDefinite(err):
		return isFail
	default:
		return isUnknown
	}
}

// answering answers what is published to one subject.
func answering(subject string, answers []reply) func(string, string) []reply {
	return func(s, _ string) []reply {
		if s == subject {
			return answers
		}
		return nil
	}
}

// TestPublish: a message was not taken for certain only if nobody was there to take it, or it
// was not the one that was expected. It is sent once, whatever becomes of it.
func TestPublish(t *testing.T) {
	refusal := func(code int) []reply {
		return body(fmt.Sprintf(`{"error":{"code":400,"err_code":%d,"description":"no"}}`, code))
	}
	for _, tt := range []struct {
		name    string
		answers []reply
		want    string
	}{
		{"acknowledged", body(`{"stream":"ordeal","seq":12}`), isOK},
		{"nobody is there", status("503"), isFail},
		{"wrong last sequence", refusal(10071), isFail},
		{"wrong last sequence, unnamed", refusal(10164), isFail},
		{"JetStream is not available", refusal(10008), isUnknown},
		{"could not be stored", refusal(10077), isUnknown},
		{"no acknowledgement", body("+OK"), isUnknown},
		{"hangs up", hangUp(), isUnknown},
		{"silence", mute(), isUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, answering("ordeal.set.k.7", tt.answers))
			_, err := invoke(t, client(t, nil), f.address, "set",
				history.Event{F: "add", Key: "k", Value: history.Int(7)})
			if got := outcome(err); got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
			if n := f.count("ordeal.set.k.7"); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// TestConnect: as long as there is no connection, or no stream, nothing was published.
func TestConnect(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	noLeader := newFake(t, answering("$JS.API.STREAM.INFO.ordeal",
		body(`{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}`)))
	silent := newFake(t, answering("$JS.API.STREAM.INFO.ordeal", mute()))
	for _, address := range []string{gone.Addr().String(), noLeader.address, silent.address} {
		_, err := invoke(t, client(t, nil), address, "set",
			history.Event{F: "add", Key: "k", Value: history.Int(7)})
		if outcome(err) != isFail || !strings.Contains(err.Error(), "connect") {
			t.Errorf("%s: %v", outcome(err), err)
		}
	}
}

// TestMakesStream: a stream that is not there is made, once, by whoever misses it.
func TestMakesStream(t *testing.T) {
	f := newFake(t, func(subject, request string) []reply {
		switch subject {
		case "$JS.API.STREAM.INFO.ordeal":
			return body(`{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`)
		case "$JS.API.STREAM.CREATE.ordeal":
			if !strings.Contains(request, `"num_replicas":5`) {
				t.Errorf("it asked for %s", request)
			}
			return body(`{"config":{"name":"ordeal"},"state":{}}`)
		default:
			return body(`{"stream":"ordeal","seq":1}`)
		}
	})
	_, err := invoke(t, client(t, map[string]string{"replicas": "5"}), f.address, "log",
		history.Event{F: "append", Key: "k", Value: history.Int(7)})
	if err != nil || f.count("$JS.API.STREAM.CREATE.ordeal") != 1 {
		t.Error(err)
	}
}

// message is one that was asked for, and end comes after them.
func message(n int) reply { return reply{"NATS/1.0\r\nNats-Sequence: 1\r\n\r\n", fmt.Sprint(n)} }

func end(pending int) reply {
	return reply{header: fmt.Sprintf("NATS/1.0 204 EOB\r\nNats-Num-Pending: %d\r\n\r\n", pending)}
}

// TestReadAll: all elements are read in the order of the stream; what does not end as it
// should has failed, however much was read.
func TestReadAll(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []reply
		want    string
		list    history.Value
	}{
		{"some", []reply{message(5), message(3), end(0)}, isOK, history.Ints(5, 3)},
		{"nothing there", status("404 No Results"), isOK, history.Ints()},
		{"no replica there", status("503"), isFail, history.Nil()},
		{"too many", status("413 Too Many Results"), isFail, history.Nil()},
		{"hangs up", hangUp(), isFail, history.Nil()},
		{"without an end", []reply{message(1)}, isFail, history.Nil()},
		{"an end before the last one", []reply{message(1), end(1)}, isFail, history.Nil()},
		{
			"one that cannot be read", append([]reply{message(1)}, status("404 Message Not Found")...),
			isFail, history.Nil(),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(subject, request string) []reply {
				if subject != "$JS.API.DIRECT.GET.ordeal" {
					return nil
				}
				if request != `{"multi_last":["ordeal.set.k.*"]}` {
					t.Errorf("it asked for %s", request)
				}
				return tt.answers
			})
			got, err := invoke(t, client(t, nil), f.address, "set", history.Event{F: "read", Key: "k"})
			if outcome(err) != tt.want || !got.Value.Equal(tt.list) {
				t.Errorf("%s, %s (%v); want %s, %s", outcome(err), got.Value, err, tt.want, tt.list)
			}
		})
	}
}

// TestRegister: a register is the last message of its subject; compare-and-set publishes what
// comes after the message that it has compared.
func TestRegister(t *testing.T) {
	atLeader := func(subject, _ string) []reply {
		switch subject {
		case "$JS.API.STREAM.MSG.GET.ordeal":
			return body(`{"message":{"subject":"x","seq":31,"data":"OA=="}}`) // 8
		case "ordeal.register.k":
			return body(`{"stream":"ordeal","seq":32}`)
		default:
			return nil
		}
	}
	f := newFake(t, atLeader)
	c := client(t, map[string]string{"reads": "leader"})
	got, err := invoke(t, c, f.address, "cas-register", history.Event{F: "read", Key: "k"})
	if n, _ := got.Value.AsInt(); err != nil || n != 8 {
		t.Errorf("read %s, %v", got.Value, err)
	}
	swap := func(old int64) error {
		_, err := invoke(t, c, f.address, "cas-register",
			history.Event{F: "cas", Key: "k", Value: history.Pair(old, 9)})
		return err
	}
	if err := swap(7); !errors.Is(err, errMismatch) || !history.IsDefinite(err) {
		t.Errorf("compared with something else: %v", err)
	}
	if err := swap(8); err != nil || f.count("ordeal.register.k") != 1 {
		t.Errorf("%v, sent %d times", err, f.count("ordeal.register.k"))
	}
	empty := newFake(t, answering("$JS.API.STREAM.MSG.GET.ordeal",
		body(`{"error":{"code":404,"err_code":10037,"description":"no message found"}}`)))
	got, err = invoke(t, c, empty.address, "register", history.Event{F: "read", Key: "k"})
	if err != nil || !got.Value.IsNil() {
		t.Errorf("never written: %s, %v", got.Value, err)
	}
}

// TestProbe: the node is healthy when the stream is whole.
func TestProbe(t *testing.T) {
	for _, tt := range []struct{ name, cluster, why string }{
		{
			"whole", `{"leader":"n1","replicas":[{"name":"n2","current":true},` +
				`{"name":"n3","current":true}]}`, "",
		},
		{"no leader", `{"replicas":[]}`, "no leader"},
		{"too few", `{"leader":"n1","replicas":[{"name":"n2","current":true}]}`, "2 replicas"},
		{
			"one behind", `{"leader":"n1","replicas":[{"name":"n2","current":true},` +
				`{"name":"n3","current":true,"lag":4}]}`, "n3 is not in step",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, answering("$JS.API.STREAM.INFO.ordeal",
				body(`{"config":{"name":"ordeal"},"state":{},"cluster":`+tt.cluster+`}`)))
			ctx, cancel := context.WithTimeout(t.Context(), opTime)
			defer cancel()
			err := client(t, nil).Probe(ctx, f.address)
			if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v, want %q", err, tt.why)
			}
		})
	}
}

// TestStatus: the node leads that the stream's leader has the name of.
func TestStatus(t *testing.T) {
	for leader, leads := range map[string]bool{"n1": true, "n2": false} {
		f := newFake(t, answering("$JS.API.STREAM.INFO.ordeal",
			body(`{"config":{"name":"ordeal"},"state":{},"cluster":{"leader":"`+leader+`"}}`)))
		s, err := client(t, nil).Status(t.Context(), f.address)
		if err != nil || s.Leads != leads {
			t.Errorf("%s leads: %+v, %v", leader, s, err)
		}
	}
}

// TestOldServer: one that does not know how to read many messages at once is refused, by the
// client's own name.
func TestOldServer(t *testing.T) {
	f := newFakeOf(t, "2.9.10", func(string, string) []reply { return nil })
	_, err := invoke(t, client(t, nil), f.address, "set", history.Event{F: "read", Key: "k"})
	if !operation.IsBroken(err) {
		t.Error(err)
	}
}

// TestSettings: what no server would take is refused before anything is started.
func TestSettings(t *testing.T) {
	for _, tt := range []struct{ name, value string }{
		{"sync-interval", "never"}, {"bin", "a b"}, {"replicas", "2"}, {"claim", "all"},
	} {
		v, err := System().Choose(map[string]string{tt.name: tt.value})
		if err == nil {
			_, err = System().Declare(v)
		}
		if !errors.Is(err, native.ErrSettings) {
			t.Errorf("%s=%s: %v", tt.name, tt.value, err)
		}
	}
}
