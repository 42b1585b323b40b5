package redis

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// client is that of settings, which knows the Sentinel at the address, if there is one.
func client(t *testing.T, settings map[string]string, sentinels ...string) *Client {
	t.Helper()
	v, err := System().Choose(settings)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(v)
	if err != nil {
		t.Fatal(err)
	}
	c.sentinels = sentinels
	return c
}

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

// opTime is long for a busy machine, and what a test takes that waits for its end.
const opTime = 2 * time.Second

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

func add(n int64) history.Event { return history.Event{F: "add", Key: "k", Value: history.Int(n)} }

// TestReplies: a write has failed for certain only by a reply which says that the server did
// not even begin with it. It is sent once, whatever becomes of it.
func TestReplies(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{":1\r\n", isOK},
		{"-READONLY You can't write against a read only replica.\r\n", isFail},
		{"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n", isFail},
		{"-LOADING Redis is loading the dataset in memory\r\n", isFail},
		{"-NOREPLICAS Not enough good replicas to write.\r\n", isFail},
		{"-MISCONF Errors writing to the AOF file: No space left on device\r\n", isFail},
		{"-OOM command not allowed when used memory > 'maxmemory'.\r\n", isFail},
		{"-BUSY Redis is busy running a script.\r\n", isFail},
		{"-NOAUTH Authentication required.\r\n", isFail},
		{"-NOPERM User default has no permissions to run the 'sadd' command\r\n", isFail},
		{"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", isFail},
		{"-ERR something that nobody has thought of\r\n", isUnknown},
		{"-ERR READONLY is only the second word\r\n", isUnknown},
		{"-UNBLOCKED force unblock from blocking operation\r\n", isUnknown},
		{"this is no reply\r\n", isUnknown},
		{hangUp, isUnknown},
		{mute, isUnknown},
	} {
		t.Run(tt.reply, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(words []string) string {
				if words[0] == "SADD" {
					return tt.reply
				}
				return ""
			})
			_, err := invoke(t, client(t, nil, f.address), f.address, "set", add(7))
			if got := outcome(err); got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
			if n := f.count("SADD"); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// TestReadsFail: what cannot have changed anything has failed for certain.
func TestReadsFail(t *testing.T) {
	f := newFake(t, func(words []string) string {
		if words[0] == "SMEMBERS" {
			return hangUp
		}
		return ""
	})
	_, err := invoke(t, client(t, nil, f.address), f.address, "set",
		history.Event{F: "read", Key: "k"})
	if got := outcome(err); got != isFail {
		t.Errorf("%s (%v)", got, err)
	}
}

// TestWait: with wait=1 a write is done when WAIT counts a replica. By anything else it is
// unknown, also by a reply that would be a refusal of a write: the write was done before.
func TestWait(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{":1\r\n", isOK},
		{":2\r\n", isOK},
		{":0\r\n", isUnknown},
		{"-READONLY You can't write against a read only replica.\r\n", isUnknown},
		{"-UNBLOCKED force unblock from blocking operation, instance state changed\r\n", isUnknown},
		{"-ERR WAIT cannot be used with replica instances.\r\n", isUnknown},
		{hangUp, isUnknown},
		{mute, isUnknown},
	} {
		t.Run(tt.reply, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(words []string) string {
				if words[0] == "WAIT" {
					return tt.reply
				}
				return ""
			})
			c := client(t, map[string]string{"wait": "1"}, f.address)
			_, err := invoke(t, c, f.address, "set", add(7))
			if got := outcome(err); got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// TestWaitReads: what was read may not have been acknowledged yet. With wait=1 a read that
// cannot tell has failed, unless one does not want to know.
func TestWaitReads(t *testing.T) {
	for _, tt := range []struct{ settings, reply, want string }{
		{"wait=1", ":1\r\n", isOK},
		{"wait=1", ":0\r\n", isFail},
		{"wait=1", hangUp, isFail},
		{"wait=1 wait-reads=no", ":0\r\n", isOK},
		{"wait=1 reads=local", ":0\r\n", isOK},
		{"wait=0", ":0\r\n", isOK},
	} {
		t.Run(tt.settings+" "+tt.reply, func(t *testing.T) {
			f := newFake(t, func(words []string) string {
				if words[0] == "WAIT" {
					return tt.reply
				}
				return ""
			})
			settings := map[string]string{}
			for _, s := range strings.Fields(tt.settings) {
				name, value, _ := strings.Cut(s, "=")
				settings[name] = value
			}
			_, err := invoke(t, client(t, settings, f.address), f.address, "set",
				history.Event{F: "read", Key: "k"})
			if got := outcome(err); got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// TestNoPrimary: as long as no primary was found, nothing was sent.
func TestNoPrimary(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(gone.Addr().String())
	gone.Close()
	answering := func(command, reply string) func([]string) string {
		return func(words []string) string {
			if words[0] == command {
				return reply
			}
			return ""
		}
	}
	for _, tt := range []struct {
		name   string
		answer func([]string) string
		why    string
	}{
		{"the Sentinel knows none", answering("SENTINEL", "*-1\r\n"), "nil"},
		{"it is not there", answering("SENTINEL", array(host, port)), "refused"},
		{
			"it is a replica", answering("ROLE", "*5\r\n"+bulk("slave")+bulk("10.0.0.1")+":1\r\n"+
				bulk("connected")+":0\r\n"), "it is a replica",
		},
		{"it hangs up", answering("ROLE", hangUp), "EOF"},
		{"the Sentinel is silent", answering("SENTINEL", mute), "sentinel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tt.answer)
			_, err := invoke(t, client(t, nil, f.address), f.address, "set", add(7))
			if outcome(err) != isFail || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%s (%v), want %s for %s", outcome(err), err, isFail, tt.why)
			}
			if n := f.count("SADD"); n != 0 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// TestOperations: each operation is one command, and its answer is what the history wants.
func TestOperations(t *testing.T) {
	list := func(ns ...int64) history.Value { return history.Ints(ns...) }
	for _, tt := range []struct {
		object         string
		op             history.Event
		command, reply string
		want           history.Value
	}{
		{"set", history.Event{F: "read"}, "SMEMBERS", array("3", "-1"), list(3, -1)},
		{"log", history.Event{F: "append", Value: history.Int(9)}, "RPUSH", ":4\r\n", history.Int(3)},
		{"log", history.Event{F: "read"}, "LRANGE", array("9"), list(9)},
		{"queue", history.Event{F: "dequeue"}, "LPOP", "$-1\r\n", history.Nil()},
		{"queue", history.Event{F: "dequeue"}, "LPOP", bulk("5"), history.Int(5)},
		{"counter", history.Event{F: "read"}, "GET", "$-1\r\n", history.Int(0)},
		{
			"counter", history.Event{F: "add", Value: history.Int(-2)}, "INCRBY", ":-2\r\n",
			history.Int(-2),
		},
		{"register", history.Event{F: "read"}, "GET", "$-1\r\n", history.Nil()},
		{"register", history.Event{F: "read"}, "GET", bulk("8"), history.Int(8)},
		{"register", history.Event{F: "write", Value: history.Int(8)}, "SET", "+OK\r\n", history.Int(8)},
		{
			"cas-register", history.Event{F: "cas", Value: history.Pair(1, 2)}, "EVAL", ":1\r\n",
			history.Pair(1, 2),
		},
	} {
		t.Run(tt.object+" "+string(tt.op.F), func(t *testing.T) {
			f := newFake(t, func(words []string) string {
				if words[0] == tt.command {
					return tt.reply
				}
				return ""
			})
			c := client(t, nil, f.address)
			if !c.Has(tt.object, tt.op.F) {
				t.Fatal("it says that it has no such operation")
			}
			tt.op.Key = "k"
			got, err := invoke(t, c, f.address, tt.object, tt.op)
			if err != nil || !got.Value.Equal(tt.want) || f.count(tt.command) != 1 {
				t.Errorf("%s, %v; want %s", got.Value, err, tt.want)
			}
			if _, err := operation.Result(tt.object, tt.op, got.Value); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSwapRefused: a compare-and-set that compared unequal has failed, and the connection
// stays.
func TestSwapRefused(t *testing.T) {
	f := newFake(t, func(words []string) string {
		if words[0] == "EVAL" {
			return ":0\r\n"
		}
		return ""
	})
	s, err := client(t, nil, f.address).Open(t.Context(), []string{f.address}, "cas-register")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		_, err = s.Invoke(t.Context(), history.Event{F: "cas", Key: "k", Value: history.Pair(1, 2)})
		if !history.IsDefinite(err) || !errors.Is(err, errMismatch) {
			t.Fatal(err)
		}
	}
	if n := f.count("ROLE"); n != 1 {
		t.Errorf("it connected %d times", n)
	}
}

// TestBroken: a value that the client cannot have written is no word against the system.
func TestBroken(t *testing.T) {
	f := newFake(t, func(words []string) string {
		if words[0] == "GET" {
			return bulk("five")
		}
		return ""
	})
	_, err := invoke(t, client(t, nil, f.address), f.address, "register",
		history.Event{F: "read", Key: "k"})
	if !operation.IsBroken(err) {
		t.Error(err)
	}
}

// TestHear: who knows no Sentinel hears of one at the server, and not of those that watch
// other primaries.
func TestHear(t *testing.T) {
	f := newFake(t, func([]string) string { return "" })
	c := client(t, nil)
	if _, err := invoke(t, c, f.address, "set", add(7)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.sentinels, []string{f.address}) {
		t.Errorf("it knows %v", c.sentinels)
	}
}

// TestProbe: the node is healthy when all Sentinels agree and everybody is in step.
func TestProbe(t *testing.T) {
	role := func(words ...string) string {
		return "*5\r\n" + bulk("slave") + bulk(words[0]) + ":" + words[1] + "\r\n" + bulk(words[2]) +
			":0\r\n"
	}
	for _, tt := range []struct {
		name   string
		second map[string]string // of what the second Sentinel says
		own    string            // its own role, if it is not that of a replica in step
		why    string
	}{
		{name: "all agree"},
		{"a Sentinel is a failover behind", map[string]string{"config-epoch": "1"}, "", "epoch 1"},
		{"another primary", map[string]string{"port": "1"}, "", ":1 (epoch 2)"},
		{"it misses the primary", map[string]string{"flags": "master,s_down"}, "", "s_down"},
		{"two primaries", nil, "*3\r\n" + bulk("master") + ":0\r\n*0\r\n", "not in step"},
		{"still loading", nil, role("127.0.0.1", "1", "sync"), "not in step"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, second := trio(t, tt.second, tt.own)
			c := client(t, nil, first, second)
			ctx, cancel := context.WithTimeout(t.Context(), opTime)
			defer cancel()
			err := c.Probe(ctx, second)
			if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v, want %q", err, tt.why)
			}
		})
	}
}

// trio are a primary and a replica with a Sentinel each, at one address each. The second
// Sentinel says what it is told to, and the replica that it has the role own.
func trio(t *testing.T, says map[string]string, own string) (first, second string) {
	t.Helper()
	var a, b *fake
	sentinel := func(words []string, other func() *fake, says map[string]string) string {
		host, port, _ := net.SplitHostPort(a.address)
		_, replica, _ := net.SplitHostPort(b.address)
		_, peer, _ := net.SplitHostPort(other().address)
		switch words[1] {
		case "master":
			var out []string
			for k, v := range map[string]string{
				"ip": host, "port": port, "flags": "master", "config-epoch": "2",
			} {
				if w, ok := says[k]; ok {
					v = w
				}
				out = append(out, k, v)
			}
			return array(out...)
		case "replicas":
			return "*1\r\n" + array("ip", host, "port", replica, "flags", "slave")
		default:
			return "*1\r\n" + array("ip", host, "port", peer, "flags", "sentinel")
		}
	}
	a = newFake(t, func(words []string) string {
		if words[0] == "SENTINEL" {
			return sentinel(words, func() *fake { return b }, nil)
		}
		return ""
	})
	b = newFake(t, func(words []string) string {
		switch {
		case words[0] == "SENTINEL":
			return sentinel(words, func() *fake { return a }, says)
		case words[0] == "ROLE" && own != "":
			return own
		case words[0] == "ROLE":
			_, port, _ := net.SplitHostPort(a.address)
			return "*5\r\n" + bulk("slave") + bulk("127.0.0.1") + ":" + port + "\r\n" +
				bulk("connected") + ":0\r\n"
		default:
			return ""
		}
	})
	return a.address, b.address
}

// TestStatus: who says that it is a primary leads.
func TestStatus(t *testing.T) {
	first, second := trio(t, nil, "")
	c := client(t, nil)
	for address, leads := range map[string]bool{first: true, second: false} {
		s, err := c.Status(t.Context(), address)
		if err != nil || s.Leads != leads {
			t.Errorf("%+v, %v; want %v", s, err, leads)
		}
	}
}

// TestSettings: what no server would take is refused before anything is started.
func TestSettings(t *testing.T) {
	for _, tt := range []struct{ name, value string }{
		{"wait", "one"}, {"wait", "-1"}, {"wait-timeout", "0"}, {"down-after", "2s"},
		{"master", "a b"}, {"claim", "all"},
	} {
		v, err := System().Choose(map[string]string{tt.name: tt.value})
		if err == nil {
			_, err = System().Declare(v)
		}
		if err == nil {
			_, err = System().Client(v)
		}
		if !errors.Is(err, native.ErrSettings) {
			t.Errorf("%s=%s: %v", tt.name, tt.value, err)
		}
	}
}
