package local

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

var (
	asking    = nemesis.Link{From: nemesis.Clients, To: "n1"}
	answering = nemesis.Link{From: "n1", To: nemesis.Clients}
)

// lineServer answers every line with "re: " and the line, and remembers what it
// heard. It stands for node n1 behind its client relay.
type lineServer struct {
	listener net.Listener

	mu    sync.Mutex
	heard []string
	conns []net.Conn
}

func newLineServer(t testing.TB, w *wire) *lineServer {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lineServer{listener: listener}
	t.Cleanup(func() { s.kill() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
	addr := w.ends["n1"].LocalAddr().(*net.UDPAddr).AddrPort()
	w.retarget("n1", &addresses{http: listener.Addr().String(), peer: addr})
	return s
}

func (s *lineServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.heard = append(s.heard, lines.Text())
		s.mu.Unlock()
		if _, err := io.WriteString(conn, "re: "+lines.Text()+"\n"); err != nil {
			return
		}
	}
}

// kill drops all connections, as the kernel does for a dead process.
func (s *lineServer) kill() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

func (s *lineServer) hasHeard(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.heard {
		if l == line {
			return true
		}
	}
	return false
}

// caller is a client's connection to n1.
type caller struct {
	net.Conn
	lines *bufio.Reader
}

func (w *wire) call(t testing.TB) *caller {
	t.Helper()
	conn, err := net.Dial("tcp4", w.clients["n1"].addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &caller{Conn: conn, lines: bufio.NewReader(conn)}
}

func (c *caller) say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear returns the next line, or the error after at most limit.
func (c *caller) hear(limit time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	line, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (c *caller) mustHear(t testing.TB, want string) {
	t.Helper()
	if got, err := c.hear(20 * time.Second); err != nil || got != want {
		t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// mustTimeout checks that the connection is silent rather than broken. The short
// wait cannot make the test fail by itself: the relay has said that it holds.
func (c *caller) mustTimeout(t testing.TB) {
	t.Helper()
	if got, err := c.hear(30 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %q, %v; want silence", got, err)
	}
}

func TestCutOfEstablishedConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		link nemesis.Link
		// executed: whether the node hears what is said during the cut.
		executed bool
	}{
		{name: "requests are lost", link: asking},
		{name: "answers are lost", link: answering, executed: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWire(t)
			s := newLineServer(t, w)
			c := w.call(t)
			c.say(t, "one")
			c.mustHear(t, "re: one")
			w.set(t, "cut", map[nemesis.Link]nemesis.Rule{tc.link: {Cut: true}})
			c.say(t, "two")
			eventually(t, "the cut bites", func() bool { return w.counters(t, tc.link).Dropped == 1 })
			c.mustTimeout(t)
			if s.hasHeard("two") != tc.executed {
				t.Errorf("the node heard the request: %v", !tc.executed)
			}
			w.clear(t, "cut")
			// As after a retransmission.
			c.mustHear(t, "re: two")
			c.say(t, "three")
			c.mustHear(t, "re: three")
		})
	}
}

// A client that gives up on an established connection leaves its request to its
// kernel, which goes on retransmitting it.
func TestHeldRequestArrivesAfterItsClientGaveUp(t *testing.T) {
	w := newWire(t)
	s := newLineServer(t, w)
	c := w.call(t)
	c.say(t, "one")
	c.mustHear(t, "re: one")
	w.set(t, "cut", map[nemesis.Link]nemesis.Rule{asking: {Cut: true}})
	c.say(t, "two")
	eventually(t, "the cut bites", func() bool { return w.counters(t, asking).Dropped == 1 })
	_ = c.Close()
	w.clear(t, "cut")
	eventually(t, "the request arrives", func() bool { return s.hasHeard("two") })
}

// A connection that was never established carries nothing later.
func TestConnectionOpenedDuringCut(t *testing.T) {
	for _, link := range []nemesis.Link{asking, answering} {
		t.Run(string(link.From+"-"+link.To), func(t *testing.T) {
			w := newWire(t)
			s := newLineServer(t, w)
			w.set(t, "cut", map[nemesis.Link]nemesis.Rule{link: {Cut: true}})
			impatient, patient := w.call(t), w.call(t)
			impatient.say(t, "impatient")
			patient.say(t, "patient")
			eventually(t, "both are held", func() bool { return w.counters(t, link).Dropped == 2 })
			patient.mustTimeout(t)
			_ = impatient.Close()
			relay := w.clients["n1"]
			eventually(t, "the relay has let the impatient one go", func() bool {
				relay.mu.Lock()
				defer relay.mu.Unlock()
				return len(relay.conns) == 1
			})
			w.clear(t, "cut")
			patient.mustHear(t, "re: patient")
			if s.hasHeard("impatient") {
				t.Error("a request came through a connection that was never made")
			}
		})
	}
}

// While a cut hides the node, its death is hidden, too.
func TestDeathBehindACut(t *testing.T) {
	w := newWire(t)
	s := newLineServer(t, w)
	c := w.call(t)
	c.say(t, "one")
	c.mustHear(t, "re: one")
	w.set(t, "cut", map[nemesis.Link]nemesis.Rule{answering: {Cut: true}})
	w.retarget("n1", nil)
	s.kill()
	eventually(t, "the reset is held", func() bool { return w.counters(t, answering).Dropped == 1 })
	c.mustTimeout(t)
	w.clear(t, "cut")
	if got, err := c.hear(20 * time.Second); !errors.Is(err, syscall.ECONNRESET) &&
		!errors.Is(err, io.EOF) {
		t.Errorf("heard %q, %v; want the end of the connection", got, err)
	}
}

func TestDownNodeResetsClients(t *testing.T) {
	w := newWire(t)
	s := newLineServer(t, w)
	old := w.call(t)
	old.say(t, "one")
	old.mustHear(t, "re: one")
	w.retarget("n1", nil)
	s.kill()
	begin := time.Now()
	if _, err := old.hear(20 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("old connection: %v", err)
	}
	// A new one may be reset so soon that even dialing fails.
	if conn, err := net.Dial("tcp4", w.clients["n1"].addr()); err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := conn.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("new connection: %v", err)
		}
		_ = conn.Close()
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("new connection: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the clients learned only after %v", took)
	}
	// Back on another port, behind the same endpoint.
	newLineServer(t, w)
	c := w.call(t)
	c.say(t, "two")
	c.mustHear(t, "re: two")
}

func TestClientDelay(t *testing.T) {
	w := newWire(t)
	newLineServer(t, w)
	c := w.call(t)
	const delay = 40 * time.Millisecond
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{
		asking:    {Delay: delay, Jitter: 5 * time.Millisecond},
		answering: {Delay: delay},
	})
	begin := time.Now()
	c.say(t, "one")
	c.mustHear(t, "re: one")
	if took := time.Since(begin); took < 2*delay-5*time.Millisecond {
		t.Errorf("an answer after %v", took)
	}
	for _, link := range []nemesis.Link{asking, answering} {
		eventually(t, "it is counted", func() bool {
			c := w.counters(t, link)
			return c.Delayed == 1 && c.Passed == 1
		})
	}
}

func TestClientRate(t *testing.T) {
	w := newWire(t)
	newLineServer(t, w)
	c := w.call(t)
	const rate, size = 100_000, 20_000
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{asking: {Rate: rate}})
	begin := time.Now()
	line := strings.Repeat("x", size)
	c.say(t, line)
	c.mustHear(t, "re: "+line)
	if least := size*time.Second/rate - impair.BurstTime; time.Since(begin) < least {
		t.Errorf("%d bytes took %v, want at least %v", size, time.Since(begin), least)
	}
	if w.counters(t, asking).Throttled == 0 {
		t.Error("nothing counted as throttled")
	}
}

// Healing a slow line does not leave its queue behind.
func TestHealedRate(t *testing.T) {
	w := newWire(t)
	newLineServer(t, w)
	c := w.call(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{asking: {Rate: 1}})
	line := strings.Repeat("x", 1000) // a quarter of an hour at this rate
	c.say(t, line)
	eventually(t, "it is slow", func() bool { return w.counters(t, asking).Throttled > 0 })
	w.clear(t, "h")
	c.mustHear(t, "re: "+line)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{asking: {Rate: 1000}})
	c.say(t, "again")
	c.mustHear(t, "re: again")
}

// A large stream arrives whole and in order, with or without jitter, and the end
// of one direction does not end the other.
func TestStreamIntegrity(t *testing.T) {
	for _, tc := range []struct {
		name string
		rule nemesis.Rule
	}{
		{name: "clean"},
		{name: "jitter", rule: nemesis.Rule{Delay: time.Millisecond, Jitter: time.Millisecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWire(t)
			newLineServer(t, w)
			w.set(t, "h", map[nemesis.Link]nemesis.Rule{asking: tc.rule, answering: tc.rule})
			c := w.call(t)
			var line bytes.Buffer
			for i := range 1 << 20 {
				line.WriteByte('a' + byte(i*i>>7)%26)
			}
			go func() {
				_, _ = c.Write(append(line.Bytes(), '\n'))
				_ = c.Conn.(*net.TCPConn).CloseWrite()
			}()
			got, err := c.hear(20 * time.Second)
			if err != nil || got != "re: "+line.String() {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
			if _, err := c.hear(20 * time.Second); err != io.EOF {
				t.Errorf("the end came as %v", err)
			}
		})
	}
}
