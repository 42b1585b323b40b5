package local

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// The test binary is also the node program and the controller that gets killed.
const (
	nodeProgram       = "fake-node"
	controllerProgram = "fake-controller"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case nodeProgram:
			os.Exit(exitCode(runFakeNode(os.Args[2:])))
		case controllerProgram:
			os.Exit(exitCode(runFakeController(os.Args[2])))
		}
	}
	os.Exit(m.Run())
}

func exitCode(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// fakeNode hears datagrams and tells over HTTP which; it can be told to send.
type fakeNode struct {
	peers map[string]string
	conn  net.PacketConn

	mu    sync.Mutex
	heard []string
}

// runFakeNode is a node with the least that the harness expects of one. Its mode
// says how it misbehaves: "never" is never ready, "refuse" exits before it is,
// "stubborn" cares neither for its standard input nor for gentle signals.
func runFakeNode(args []string) error {
	flags := flag.NewFlagSet(nodeProgram, flag.ContinueOnError)
	var (
		mode  = flags.String("mode", "", "")
		bind  = flags.String("bind", "", "")
		peer  = flags.String("peer-bind", "", "")
		ready = flags.String("ready-file", "", "")
		peers = flags.String("peers", "", "")
		_     = flags.String("data", "", "")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Println("fake node in mode", *mode)
	switch *mode {
	case "refuse":
		return fmt.Errorf("i refuse to start")
	case "never":
		_, _ = io.ReadAll(os.Stdin)
		return nil
	case "stubborn":
		signal.Ignore(syscall.SIGHUP, syscall.SIGTERM)
	default:
		go func() {
			_, _ = io.ReadAll(os.Stdin)
			os.Exit(0)
		}()
	}
	n := &fakeNode{peers: make(map[string]string)}
	for pair := range strings.SplitSeq(*peers, ",") {
		if name, addr, ok := strings.Cut(pair, "="); ok {
			n.peers[name] = addr
		}
	}
	return n.serve(*bind, *peer, *ready)
}

func (n *fakeNode) serve(bind, peer, ready string) error {
	listener, err := net.Listen("tcp4", bind)
	if err != nil {
		return err
	}
	if n.conn, err = net.ListenPacket("udp4", peer); err != nil {
		return err
	}
	go n.hear()
	data, err := json.Marshal(map[string]any{
		"http": listener.Addr().String(), "peer": n.conn.LocalAddr().String(), "pid": os.Getpid(),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(ready+".tmp", data, 0o644); err != nil {
		return err
	}
	if err := os.Rename(ready+".tmp", ready); err != nil {
		return err
	}
	return http.Serve(listener, n)
}

func (n *fakeNode) hear() {
	buf := make([]byte, maxDatagram)
	for {
		k, _, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.heard = append(n.heard, string(buf[:k]))
		n.mu.Unlock()
	}
}

// ServeHTTP answers /heard, /send?to=n2&text=x, /exit and, to all else, "ok".
func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/heard":
		n.mu.Lock()
		defer n.mu.Unlock()
		_ = json.NewEncoder(w).Encode(n.heard)
	case "/send":
		to, err := net.ResolveUDPAddr("udp4", n.peers[r.FormValue("to")])
		if err == nil {
			_, err = n.conn.WriteTo([]byte(r.FormValue("text")), to)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	case "/exit":
		fmt.Println("goodbye")
		os.Exit(7)
	default:
		_, _ = io.WriteString(w, "ok")
	}
}

// fakeCommand returns the command of fake nodes; modes may name a node's mode.
func fakeCommand(t testing.TB, modes map[nemesis.Node]string) func(cluster.NodeSpec) []string {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return commandOf(self, func(n nemesis.Node) string { return modes[n] })
}

func commandOf(self string, mode func(nemesis.Node) string) func(cluster.NodeSpec) []string {
	return func(s cluster.NodeSpec) []string {
		var peers []string
		for n, addr := range s.Peers {
			peers = append(peers, string(n)+"="+addr)
		}
		return []string{
			self, nodeProgram, "--mode", mode(s.Name), "--data", s.DataDir,
			"--bind", s.Bind, "--peer-bind", s.PeerBind, "--ready-file", s.ReadyFile,
			"--peers", strings.Join(peers, ","),
		}
	}
}

// runFakeController starts two stubborn nodes and one good one, pauses n2, says
// so on its standard output and waits to be killed.
func runFakeController(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ledger, err := nemesis.OpenLedger(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		return err
	}
	c, err := Start(context.Background(), Config{
		Nodes: []nemesis.Node{"n1", "n2", "n3"},
		Command: commandOf(self, func(n nemesis.Node) string {
			if n == "n3" {
				return ""
			}
			return "stubborn"
		}),
		Dir:    dir,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ledger: ledger,
	})
	if err != nil {
		return err
	}
	if err := c.Pause(context.Background(), "n2"); err != nil {
		return err
	}
	fmt.Println("paused")
	select {}
}

// testContext ends with the test, at the latest after 30 s.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until cond is true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
