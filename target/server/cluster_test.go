package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wire"
)

// timeLimit is how long a test waits for what must happen.
const timeLimit = 10 * time.Second

// await polls until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.After(timeLimit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("time limit while waiting until %s", what)
		}
	}
}

// logBuffer collects a log that is written and read at once.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// relay stands before a node: peers send to it, and it passes on what change
// makes of each datagram.
type relay struct {
	conn   *net.UDPConn
	to     atomic.Pointer[net.UDPAddr]
	change atomic.Pointer[func([]byte) [][]byte]
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{conn: conn}
	r.set(clean)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return r
}

func (r *relay) run() {
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := r.conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		to := r.to.Load()
		if to == nil {
			continue
		}
		for _, d := range (*r.change.Load())(bytes.Clone(buf[:n])) {
			r.conn.WriteToUDP(d, to)
		}
	}
}

func (r *relay) set(change func([]byte) [][]byte) { r.change.Store(&change) }

func clean(d []byte) [][]byte { return [][]byte{d} }
func twice(d []byte) [][]byte { return [][]byte{d, d} }
func cut([]byte) [][]byte     { return nil }

// flip inverts a bit of the last byte, which belongs to the payload.
func flip(d []byte) [][]byte {
	d[len(d)-1] ^= 0x10
	return [][]byte{d}
}

// node is a running node of a test.
type node struct {
	*Node
	t    *testing.T
	log  *logBuffer
	stop func() error
}

// start runs a node until the test ends or stop is called.
func start(t *testing.T, change func(*Config)) *node {
	t.Helper()
	log := &logBuffer{}
	cfg := Config{
		Protocol: "toy", New: newToy, ID: "n1", DataDir: t.TempDir(),
		Bind: "127.0.0.1:0", PeerBind: "127.0.0.1:0", Volatile: true,
		ClusterID: "test", RequestTimeout: timeLimit, Version: "test",
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opened, err := Open(ctx, cfg)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- opened.Serve(ctx) }()
	n := &node{Node: opened, t: t, log: log}
	n.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", cfg.ID, log)
		}
	})
	return n
}

// startCluster runs n nodes that send to each other through relays.
func startCluster(t *testing.T, n int, change func(*Config)) ([]*node, []*relay) {
	t.Helper()
	peers := map[protocol.NodeID]string{}
	var relays []*relay
	for i := range n {
		r := newRelay(t)
		relays = append(relays, r)
		peers[protocol.NodeID(fmt.Sprintf("n%d", i+1))] = r.conn.LocalAddr().String()
	}
	var nodes []*node
	for i := range n {
		node := start(t, func(cfg *Config) {
			cfg.ID, cfg.Peers = protocol.NodeID(fmt.Sprintf("n%d", i+1)), peers
			if change != nil {
				change(cfg)
			}
		})
		relays[i].to.Store(node.peerConn.LocalAddr().(*net.UDPAddr))
		nodes = append(nodes, node)
	}
	return nodes, relays
}

// answer is a response to a request.
type answer struct {
	status int
	wire.Response
}

func (a answer) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s %s", a.status, a.Type, a.Value, a.Code))
}

func call(ctx context.Context, method, url, body string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode}
	return a, json.Unmarshal(content, &a.Response)
}

// op performs an operation, given as the body of the request.
func (n *node) op(body string) string {
	n.t.Helper()
	a, err := call(n.t.Context(), http.MethodPost, "http://"+n.HTTPAddr()+"/v1/op", body)
	if err != nil {
		n.t.Fatal(err)
	}
	return a.String()
}

func writeOp(value string) string {
	return `{"object":"register","f":"write","key":"k","value":` + value + `}`
}

const readOp = `{"object":"register","f":"read","key":"k"}`

// served returns /status, decoded.
func (n *node) served() nodeStatus {
	n.t.Helper()
	resp, err := http.Get("http://" + n.HTTPAddr() + "/status")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var s nodeStatus
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		n.t.Fatal(err)
	}
	return s
}

func (n *node) counter(name string) uint64 {
	n.t.Helper()
	v, ok := n.served().Counters[name]
	if !ok {
		n.t.Fatalf("no counter %q", name)
	}
	return v
}
