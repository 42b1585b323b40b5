package maelstrom

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// fake is the process of a node whose part the test plays.
type fake struct {
	t       *testing.T
	name    string
	in, out *os.File
	lines   *bufio.Scanner
	gone    chan struct{}
}

// stage is a network of nodes that are played.
type stage struct {
	c     *Cluster
	nodes map[string]*fake

	mu   sync.Mutex // guards told
	told []string
}

func newStage(t *testing.T, names ...string) *stage {
	s := &stage{nodes: map[string]*fake{}}
	var nodes []nemesis.Node
	for _, n := range names {
		nodes = append(nodes, nemesis.Node(n))
	}
	s.c = &Cluster{cfg: Config{Nodes: nodes}, router: newRouter(nodes, 1, func(what string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, what)
	})}
	s.c.control = s.c.router.connect()
	for _, n := range names {
		s.nodes[n] = s.start(t, n)
	}
	t.Cleanup(func() {
		for _, f := range s.nodes {
			f.end()
		}
		s.c.stop()
	})
	return s
}

// start starts a process, which answers its init.
func (s *stage) start(t *testing.T, name string) *fake {
	t.Helper()
	inR, inW, err := os.Pipe()
	outR, outW, oerr := os.Pipe()
	if err := errors.Join(err, oerr); err != nil {
		t.Fatal(err)
	}
	f := &fake{t, name, inR, outW, bufio.NewScanner(inR), make(chan struct{})}
	f.lines.Buffer(nil, 1<<20)
	attached := make(chan error, 1)
	go func() {
		attached <- s.c.attach(context.Background(), nemesis.Node(name),
			local.Pipes{In: inW, Out: outR, Gone: f.gone})
	}()
	init, err := f.hears(`"type":"init"`).ParseBody()
	if err != nil {
		t.Fatal(err)
	}
	f.says(`{"src":%q,"dest":"c0","body":{"type":"init_ok","in_reply_to":%s}}`, name, init["msg_id"])
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inW.Close() })
	return f
}

func (f *fake) says(format string, args ...any) {
	f.t.Helper()
	if _, err := fmt.Fprintf(f.out, format+"\n", args...); err != nil {
		f.t.Error(err)
	}
}

// hears waits for the next line, which has to hold the text, and returns it.
func (f *fake) hears(text string) maelstrom.Message {
	f.t.Helper()
	if !f.lines.Scan() {
		f.t.Fatalf("%s hears nothing: %v", f.name, f.lines.Err())
	}
	m, err := maelstrom.ParseMessage(f.lines.Bytes())
	if err != nil || !strings.Contains(f.lines.Text(), text) {
		f.t.Fatalf("%s hears %s, want %s (%v)", f.name, f.lines.Text(), text, err)
	}
	return m
}

// end ends the process.
func (f *fake) end() {
	select {
	case <-f.gone:
	default:
		close(f.gone)
		_ = f.out.Close()
		_ = f.in.Close()
	}
}

// tells waits until a trouble was told.
func (s *stage) tells(t *testing.T, want string) {
	t.Helper()
	await(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(strings.Join(s.told, "\n"), want)
	}, func() string { return fmt.Sprintf("told %q, want %q", s.told, want) })
}

func await(t *testing.T, condition func() bool, why func() string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(why())
		}
	}
}

// TestNodesTalk: what a node sends comes to whom it is for, in order, also to itself.
func TestNodesTalk(t *testing.T) {
	s := newStage(t, "n1", "n2")
	for i := range 50 {
		s.nodes["n1"].says(`{"src":"n1","dest":"n2","body":{"type":"t","i":%d}}`, i)
	}
	s.nodes["n1"].says(`{"src":"n1","dest":"n1","body":{"type":"self"}}`)
	for i := range 50 {
		s.nodes["n2"].hears(fmt.Sprintf(`"i":%d}`, i))
	}
	s.nodes["n1"].hears("self")
	counters, err := s.c.Counters(t.Context())
	if got := counters[nemesis.Link{From: "n1", To: "n2"}].Passed; err != nil || got != 50 {
		t.Errorf("%d passed, %v", got, err)
	}
}

// TestCut: nothing gets over a cut link, which the counter shows, and the rest does.
func TestCut(t *testing.T) {
	s := newStage(t, "n1", "n2")
	cut := nemesis.Link{From: "n1", To: "n2"}
	rules := map[nemesis.Link]nemesis.Rule{cut: {Cut: true}}
	if err := s.c.SetRules(t.Context(), "h", rules); err != nil {
		t.Fatal(err)
	}
	alive, err := s.c.Probe(t.Context())
	if err != nil || alive[cut] || !alive[nemesis.Link{From: "n2", To: "n1"}] {
		t.Errorf("probes: %v, %v", alive, err)
	}
	s.nodes["n1"].says(`{"src":"n1","dest":"n2","body":{"type":"lost"}}`)
	await(t, func() bool {
		counters, _ := s.c.Counters(t.Context())
		return counters[cut].Dropped == 1
	}, func() string { return "nothing was dropped" })
	if err := s.c.Clear(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	s.nodes["n1"].says(`{"src":"n1","dest":"n2","body":{"type":"found"}}`)
	s.nodes["n2"].hears("found")
}

// TestCall: a client gets the answer to what it asked, whatever else is sent to it.
func TestCall(t *testing.T) {
	s := newStage(t, "n1")
	port := s.c.Connect()
	defer func() { _ = port.Close() }()
	done := make(chan error, 1)
	var got maelstrom.Body
	go func() {
		var err error
		got, err = port.Call(context.Background(), "n1", maelstrom.Request{"type": "read"})
		done <- err
	}()
	m := s.nodes["n1"].hears(`"msg_id":1,"type":"read"`)
	if m.Src != "c1" || m.Dest != "n1" {
		t.Errorf("%s to %s", m.Src, m.Dest)
	}
	for _, reply := range []string{`"in_reply_to":7`, `"x":1`, `"in_reply_to":1`, `"in_reply_to":1`} {
		s.nodes["n1"].says(`{"src":"n1","dest":"c1","body":{"type":"read_ok",%s}}`, reply)
	}
	if err := <-done; err != nil || got.Type() != "read_ok" {
		t.Errorf("%s, %v", got, err)
	}
	s.tells(t, "sent client c1 a message that answers nothing: its in_reply_to is 7")
	s.tells(t, "its in_reply_to is (missing)")
	if len(s.told) != 2 {
		t.Errorf("an answer that comes twice is none: %q", s.told)
	}
}

// TestCallFails: what is known of a call that nobody has answered.
func TestCallFails(t *testing.T) {
	s := newStage(t, "n1", "n2")
	port := s.c.Connect()
	call := func(node string) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := port.Call(context.Background(), node, maelstrom.Request{"type": "write"})
			done <- err
		}()
		return done
	}
	started := call("n1")
	s.nodes["n1"].hears("write")
	s.nodes["n1"].end()
	if err := <-started; !errors.Is(err, errEnded) || history.IsDefinite(err) {
		t.Errorf("the node ended: %v", err)
	}
	if err := <-call("n1"); !errors.Is(err, cluster.ErrNotRunning) || !history.IsDefinite(err) {
		t.Errorf("the node is down: %v", err)
	}
	if err := <-call("n9"); !history.IsDefinite(err) {
		t.Errorf("there is no node: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := port.Call(ctx, "n2", maelstrom.Request{"type": "write"})
	if !errors.Is(err, context.DeadlineExceeded) || history.IsDefinite(err) {
		t.Errorf("no answer: %v", err)
	}
	// The answer comes after all, and to nobody.
	s.nodes["n2"].hears("write")
	s.nodes["n2"].says(`{"src":"n2","dest":"c1","body":{"type":"write_ok","in_reply_to":3}}`)
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	s.nodes["n2"].says(`{"src":"n2","dest":"c1","body":{"type":"write_ok","in_reply_to":3}}`)
	_, err = port.Call(t.Context(), "n2", maelstrom.Request{"type": "x"})
	if !history.IsDefinite(err) {
		t.Errorf("a closed client: %v", err)
	}
	// A node that comes back has to be told everything again.
	s.nodes["n1"] = s.start(t, "n1")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told != nil {
		t.Errorf("told %q", s.told)
	}
}

// TestTroubles: what a node must not do is told in a sentence, a few times, and hurts nobody.
func TestTroubles(t *testing.T) {
	for _, c := range []struct{ says, told string }{
		{"starting up", "node n1 wrote to its standard output what is no message (invalid character"},
		{`{"src":"n2","dest":"n1","body":{}}`, `node n1 sent a message as if it were "n2"`},
		{`{"src":"n1","dest":"n7","body":{"msg_id":3}}`,
			`node n1 sent a message to "n7", which does not exist`},
		{`{"src":"n1","dest":"c7","body":{}}`, `to "c7", which does not exist`},
		{`{"src":"n1","dest":"lin-kv","body":{"type":"read"}}`,
			"node n1 sent lin-kv a request without a msg_id"},
		{strings.Repeat("x", mostLine+1), "node n1 wrote a line of more than 16 MiB"},
	} {
		s := newStage(t, "n1", "n2")
		for range max(1, min(5, 1000/len(c.says))) {
			s.nodes["n1"].says("%s", c.says)
		}
		s.tells(t, c.told)
		s.nodes["n2"].says(`{"src":"n2","dest":"n1","body":{"type":"hello"}}`)
		for m := s.nodes["n1"].hears(`"type":`); !strings.Contains(string(m.Body), "hello"); {
			if !strings.Contains(string(m.Body), `"code":1`) {
				t.Errorf("%s: answered %s", c.says, m.Body)
			}
			m = s.nodes["n1"].hears(`"type":`)
		}
		s.mu.Lock()
		if len(s.told) > mostTold || len(s.told[0]) > 400 {
			t.Errorf("told %q", s.told)
		}
		s.mu.Unlock()
	}
}

// TestServices: nodes ask services as they ask each other.
func TestServices(t *testing.T) {
	s := newStage(t, "n1")
	n := s.nodes["n1"]
	n.says(`{"src":"n1","dest":"lin-kv","body":{"type":"write","key":"x","value":5,"msg_id":9}}`)
	var answer struct {
		Type      string `json:"type"`
		InReplyTo int    `json:"in_reply_to"`
	}
	m := n.hears("write_ok")
	err := json.Unmarshal(m.Body, &answer)
	if err != nil || m.Src != "lin-kv" || answer.InReplyTo != 9 {
		t.Errorf("%s says %s", m.Src, m.Body)
	}
	n.says(`{"src":"n1","dest":"lin-tso","body":{"type":"ts","msg_id":10}}`)
	n.hears(`"ts":1`)
}

// TestDeaf: a node that does not read does not hold up the others.
func TestDeaf(t *testing.T) {
	s := newStage(t, "n1", "n2")
	text := strings.Repeat("y", 1<<20)
	for range mostWaiting>>20 + 3 {
		s.nodes["n1"].says(`{"src":"n1","dest":"n2","body":{"type":"t","text":%q}}`, text)
	}
	s.tells(t, "node n2 does not read: 64 MiB of messages wait for it")
	s.nodes["n1"].says(`{"src":"n1","dest":"n1","body":{"type":"self"}}`)
	s.nodes["n1"].hears("self")
}
