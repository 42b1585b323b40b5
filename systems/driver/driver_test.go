package driver

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// TestMain is the driver program itself when the environment says so.
func TestMain(m *testing.M) {
	mode := os.Getenv("DRIVER")
	if mode == "" {
		m.Run()
		return
	}
	drive(mode)
}

// drive is a driver with one defect, or none ("good", "kv").
func drive(mode string) {
	in := bufio.NewScanner(os.Stdin)
	store := map[string]json.RawMessage{}
	for in.Scan() {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			panic(err)
		}
		if string(m["type"]) == `"hello"` {
			greet(mode)
			continue
		}
		id, f, key, value := string(m["id"]), string(m["f"]), string(m["key"]), m["value"]
		say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		switch mode {
		case "crash":
			fmt.Fprintln(os.Stderr, "some stack trace\nKeyError: 'value'")
			panic("crashed")
		case "hang", "deaf":
			select {}
		case "late":
			<-time.After(time.Second)
			say(`{"type":"ok","id":%s,"value":1}`, id)
		case "garbage":
			say("connecting to the node ...")
		case "quiet end":
			return
		case "no id":
			say(`{"type":"ok","value":1}`)
		case "wrong id":
			say(`{"type":"ok","id":77,"value":1}`)
		case "wrong f":
			say(`{"type":"ok","id":%s,"f":"cas","value":1}`, id)
		case "wrong key":
			say(`{"type":"ok","id":%s,"key":"other","value":1}`, id)
		case "wrong type":
			say(`{"type":"okay","id":%s,"value":1}`, id)
		case "no value":
			say(`{"type":"ok","id":%s}`, id)
		case "a text":
			say(`{"type":"ok","id":%s,"value":"1"}`, id)
		case "another value":
			say(`{"type":"ok","id":%s,"value":123}`, id)
		case "twice":
			say(`{"type":"ok","id":%s,"value":1}`+"\n"+`{"type":"ok","id":%[1]s,"value":2}`, id)
		case "huge":
			w := bufio.NewWriter(os.Stdout)
			_, _ = io.CopyN(w, endless{}, LineMax+10)
			_ = w.Flush()
			say("")
		case "fail":
			say(`{"type":"fail","id":%s,"error":"no such table"}`, id)
		case "info":
			say(`{"type":"info","id":%s,"error":"timed out"}`, id)
		case "echo":
			say(`{"type":"ok","id":%s,"f":%s,"key":%s,"value":%s}`, id, f, key, value)
		case "optimist":
			say(`{"type":"ok","id":%s,"value":null}`, id)
		default:
			honest(mode, store, id, f, key, value)
		}
	}
}

func greet(mode string) {
	switch mode {
	case "no hello":
		select {}
	case "slow":
		<-time.After(300 * time.Millisecond)
		fmt.Println(`{"type":"hello","version":1}`)
	case "old":
		fmt.Println(`{"type":"hello","version":0}`)
	case "refuse":
		fmt.Println(`{"type":"error","error":"no sets here"}`)
	case "impolite":
		fmt.Println(`{"type":"welcome"}`)
	case "blank lines":
		fmt.Println("\n\r\n" + `{"type":"hello","version":1}`)
	case "deaf":
		fmt.Println(`{"type":"hello","version":1}`)
		select {}
	default:
		fmt.Println(`{"type":"hello","version":1}`)
	}
}

// honest keeps a register in its own memory, for want of a node.
func honest(
	mode string, store map[string]json.RawMessage, id, f, key string, value json.RawMessage,
) {
	switch {
	case f != `"read"` && f != `"write"`:
		fmt.Printf(`{"type":"fail","id":%s,"error":"what is %s"}`+"\n", id, strings.Trim(f, `"`))
	case f == `"write"` && mode == "forgetful":
		fmt.Printf(`{"type":"ok","id":%s}`+"\n", id)
	case f == `"write"`:
		store[key] = value
		fmt.Printf(`{"type":"ok","id":%s}`+"\n", id)
	case store[key] == nil:
		fmt.Printf(`{"type":"ok","id":%s,"value":null}`+"\n", id)
	default:
		fmt.Printf(`{"type":"ok","id":%s,"value":%s}`+"\n", id, store[key])
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

func program(t *testing.T, mode string) Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Program{Argv: []string{self}, Env: []string{"DRIVER=" + mode}}
}

// TestDrivers: what a driver does wrong has a clear error, and an operation gets the
// outcome that is known of it and no other. What a broken driver says is never a proof,
// in either direction.
func TestDrivers(t *testing.T) {
	const brief = 150 * time.Millisecond
	for _, c := range []struct {
		mode, f  string
		patience time.Duration
		want     string
	}{
		{"good", "write", 0, "ok 1"},
		{"good", "read", 0, "ok null"},
		{"blank lines", "read", 0, "ok null"},
		{"echo", "write", 0, "ok 1"},
		{"fail", "write", 0, "fail no such table"},
		{"info", "write", 0, "info timed out"},
		{"info", "read", 0, "fail timed out"},
		{"crash", "write", 0, "info write: the driver ended (exit status 2): "},
		{"crash", "read", 0, "fail read: the driver ended (exit status 2): "},
		{"quiet end", "write", 0, "info write: the driver ended (exit status 0): it said nothing"},
		{"hang", "write", brief, "info write: the driver did not answer in time"},
		{"hang", "read", brief, "fail read: the driver did not answer in time"},
		{"deaf", "write", brief, "info write: the driver did not answer in time"},
		{"late", "write", brief, "info write: the driver did not answer in time"},
		{"garbage", "write", 0, `broken client: the driver wrote "connecting to the node ...", which is`},
		{"garbage", "read", 0, `broken client: the driver wrote "connecting to the node ...", which is`},
		{"huge", "write", 0, "broken client: the driver wrote a line of more than 16777216 bytes"},
		{"no id", "write", 0, "broken client: the driver answered write without an id"},
		{"wrong id", "read", 0, "broken client: the driver answered operation 77 when asked for 1"},
		{"wrong f", "write", 0, "broken client: the driver answered cas when asked for write"},
		{"wrong key", "read", 0, "broken client: the driver answered for key other when asked for k1"},
		{"wrong type", "write", 0, `broken client: the driver answered write by type "okay"`},
		{"no value", "read", 0, "broken client: the driver answered read by ok without a value"},
		{"no value", "write", 0, "ok 1"},
		{"a text", "read", 0, `broken client: read on a register was answered "1": want an integer`},
		{"another value", "write", 0, "broken client: write of 1 was answered as if it had been of 123"},
		{"no hello", "write", brief, "open hello: the driver has not said it yet"},
		{"old", "write", 0, "open client: the driver speaks version 0 of the protocol, this is 1"},
		{"refuse", "write", 0, "open the driver refuses: no sets here"},
		{"impolite", "write", 0, `open client: the driver answered hello by type "welcome"`},
	} {
		t.Run(c.mode+" "+c.f, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(c.patience, 20*time.Second))
			defer cancel()
			got := once(ctx, program(t, c.mode), c.f)
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func once(ctx context.Context, p Program, f string) string {
	// The greeting has time of its own, unless it is what is tried.
	open := ctx
	if !strings.Contains(p.Env[0], "no hello") {
		open = context.Background()
	}
	s, err := p.Open(open, []string{"n1:1"}, "register")
	if err != nil {
		return "open " + err.Error()
	}
	defer s.Close()
	v := history.Nil()
	if f == "write" {
		v = history.Int(1)
	}
	op, err := s.Invoke(ctx, history.Event{F: history.F(f), Key: "k1", Value: v})
	switch {
	case err == nil:
		return "ok " + op.Value.String()
	case operation.IsBroken(err) && history.IsDefinite(err):
		return "a broken client proves nothing: " + err.Error()
	case operation.IsBroken(err):
		return "broken " + err.Error()
	case history.IsDefinite(err):
		return "fail " + err.Error()
	default:
		return "info " + err.Error()
	}
}

// TestUnaskedAnswer: an answer too many is not taken for that of the next operation.
func TestUnaskedAnswer(t *testing.T) {
	s, err := program(t, "twice").Open(t.Context(), []string{"n1:1"}, "register")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Invoke(t.Context(), history.Event{F: "read"}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Invoke(t.Context(), history.Event{F: "read"})
	if want := "answered operation 1 when asked for 2"; !operation.IsBroken(err) ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestGoesOn: after a read without an answer the driver is started afresh, and its late
// answer is not taken for that of the next one.
func TestGoesOn(t *testing.T) {
	p := program(t, "late")
	s, err := p.Open(t.Context(), []string{"n1:1"}, "register")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Invoke(ctx, history.Event{F: "read"}); !history.IsDefinite(err) {
		t.Errorf("a read without an answer: %v", err)
	}
	if op, err := s.Invoke(t.Context(), history.Event{F: "read"}); err != nil ||
		!op.Value.Equal(history.Int(1)) {
		t.Errorf("%v, %v", op, err)
	}
}

// TestSlowToStart: a driver that takes longer to start than an operation may take gets
// there all the same, since the next operation waits for the one that is on its way. Of one
// that never says hello, a time limit of its own makes an end.
func TestSlowToStart(t *testing.T) {
	t.Parallel()
	s := &Session{program: program(t, "slow"), object: "register", endpoints: []string{"n1:1"}}
	defer s.Close()
	brief, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.Invoke(brief, history.Event{F: "write", Key: "k1", Value: history.Int(1)})
	if want := "the driver has not said it yet"; !history.IsDefinite(err) ||
		!strings.Contains(err.Error(), want) {
		t.Fatalf("%v, want %q, for certain", err, want)
	}
	coming := s.coming
	if _, err := s.Invoke(t.Context(), history.Event{F: "read", Key: "k1"}); err != nil {
		t.Errorf("the next operation: %v", err)
	}
	if coming == nil || s.proc != coming.proc {
		t.Error("the next operation started another driver")
	}

	mute := program(t, "no hello")
	mute.HelloWithin = 10 * time.Millisecond
	if _, err := mute.Open(t.Context(), []string{"n1:1"}, "register"); err == nil ||
		!strings.Contains(err.Error(), "did not answer in time: no answer (it has 10ms for its hello)") {
		t.Errorf("a driver without a hello: %v", err)
	}
}

// TestCloseBeforeHello: a driver that is still on its way ends with its session.
func TestCloseBeforeHello(t *testing.T) {
	t.Parallel()
	s := &Session{program: program(t, "no hello"), object: "register", endpoints: []string{"n1:1"}}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Invoke(over, history.Event{F: "read", Key: "k1"}); err == nil {
		t.Fatal("a driver without a hello performs operations")
	}
	coming := s.coming
	if err := s.Close(); err != nil || coming == nil || coming.err == nil {
		t.Errorf("%v, and the start ended with %v", err, coming)
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"plain": 0o644, "fine": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"./fine": "", "sh": "", "./plain": "it is not executable", "./none": "no such file",
		"no-such-program-here": "not found",
	} {
		err := Program{Argv: []string{path}, Dir: dir}.Missing()
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestConform: the conformance test passes a driver that does what it should and tells
// what is wrong with the others.
func TestConform(t *testing.T) {
	for _, c := range []struct{ mode, endpoint, wrong string }{
		{"good", "", `nobody listens: read: it says "ok", and no node has answered`},
		{"fail", "", ""},
		{"forgetful", "n1:1", "a node that works: read gives null: want 3 (after read null, write 3,)"},
		{"good", "n1:1", ""},
		{"hang", "", "unknown operation: frobnicate: the driver did not answer in time"},
		{"optimist", "", `the driver answered frobnicate by "ok", which no register has`},
		{"info", "", `unknown operation: an operation that it cannot know is answered by "info"`},
		{"no hello", "", "hello: hello: the driver has not said it yet"},
	} {
		t.Run(c.mode+c.endpoint, func(t *testing.T) {
			t.Parallel()
			var said []string
			trial := Trial{
				Program: program(t, c.mode), Object: "register", Endpoint: c.endpoint, Key: "k",
				Patience: 300 * time.Millisecond, Greeting: HelloWithin,
			}
			if c.mode == "no hello" {
				trial.Greeting = 100 * time.Millisecond
			}
			ok := trial.Run(t.Context(), func(f Finding) {
				// The driver of this test keeps its values to itself: it never needs a node.
				if !f.OK && (c.endpoint == "" || f.Name == "a node that works") {
					said = append(said, f.Name+": "+f.Detail)
				}
			})
			all := strings.Join(said, "\n")
			if c.wrong == "" && len(said) > 0 || !strings.Contains(all, c.wrong) {
				t.Errorf("found:\n%s\nwant %q", all, c.wrong)
			}
			if c.endpoint == "" && ok != (c.wrong == "") {
				t.Errorf("conforms: %t", ok)
			}
		})
	}
}

// TestConformHears: a driver that says fail after it has sent the request is found out.
func TestConformHears(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.listen(l, badNodes()[2].serve)
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "PUT %d", probeValue)
	_, _ = io.ReadAll(conn)
	_ = l.Close()
	<-done
	if want := fmt.Sprint("PUT ", probeValue); e.String() != want {
		t.Errorf("heard %q, want %q", e, want)
	}
}
