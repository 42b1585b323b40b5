//go:build linux && (amd64 || arm64)

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// requireVariable names the environment variable that turns the lack of root, iptables
// or namespaces into a failure, for machines that are known to have them.
const requireVariable = "ORDEAL_ROOT"

// TestMain is also the agent's program, for tests that need it as a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agentMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == tellWord {
		os.Exit(tellTime(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

func agentMain(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cmd := Command(os.Stdin, os.Stdout)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "agent:", err)
	if errors.Is(err, ErrUsage) {
		return 254
	}
	return 255
}

// world is two nodes in network namespaces of their own, and a bridge between them in
// a third: in the root namespace, others' firewalls would get at it.
type world struct {
	t    testing.TB
	name string
}

// The nodes' addresses. Those of IPv6 are usable at once: nobody else could have them.
var (
	addr4 = map[string]string{"a": "10.91.0.1", "b": "10.91.0.2"}
	addr6 = map[string]string{"a": "fd91::1", "b": "fd91::2"}
)

func newWorld(t testing.TB) *world {
	t.Helper()
	requireRoot(t)
	w := &world{t: t, name: namespace(t) + "-"}
	for _, ns := range []string{"hub", "a", "b"} {
		w.must("ip", "netns", "add", w.name+ns)
		t.Cleanup(func() { w.must("ip", "netns", "del", w.name+ns) })
	}
	w.in("hub", "ip", "link", "add", "br0", "type", "bridge")
	w.in("hub", "ip", "link", "set", "br0", "up")
	for _, n := range []string{"a", "b"} {
		w.in("hub", "ip", "link", "add", "to-"+n, "type", "veth", "peer", "name", "eth0",
			"netns", w.name+n)
		w.in("hub", "ip", "link", "set", "to-"+n, "master", "br0", "up")
		w.in(n, "ip", "link", "set", "lo", "up")
		w.in(n, "ip", "addr", "add", addr4[n]+"/24", "dev", "eth0")
		w.in(n, "ip", "addr", "add", addr6[n]+"/64", "dev", "eth0", "nodad")
		w.in(n, "ip", "link", "set", "eth0", "up")
	}
	return w
}

// namespace returns a name that no other test has.
func namespace(t testing.TB) string {
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, t.Name())
	return fmt.Sprintf("ordeal%d-%s", os.Getpid(), letters)
}

// requireRoot skips the test where namespaces cannot be had.
func requireRoot(t testing.TB) {
	t.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "not root"
	}
	for _, tool := range []string{"ip", "iptables", "ip6tables", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			why = tool + " is missing"
		}
	}
	if why == "" {
		name := namespace(t) + "-try"
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			why = fmt.Sprintf("no network namespaces: %s", out)
		} else if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Fatalf("ip netns del: %v: %s", err, out)
		}
	}
	if why != "" && os.Getenv(requireVariable) == "required" {
		t.Fatalf("%s, but %s=required", why, requireVariable)
	}
	if why != "" {
		t.Skip(why)
	}
}

// must runs a command and returns its output.
func (w *world) must(argv ...string) string {
	w.t.Helper()
	out, err := w.run("", argv...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) run(input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	// A program with the race detector would wait a second before it ends.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, stderr.String())
	}
	return string(out), err
}

// in runs a command on a node.
func (w *world) in(node string, argv ...string) string {
	w.t.Helper()
	return w.must(w.at(node, argv...)...)
}

func (w *world) at(node string, argv ...string) []string {
	return append([]string{"nsenter", "--net=/run/netns/" + w.name + node, "--"}, argv...)
}

// inside calls f in a thread that is in a node's namespace; sockets made there stay
// there.
func (w *world) inside(node string, f func() error) {
	w.t.Helper()
	done := make(chan error, 1)
	go func() {
		// The thread ends with its goroutine: it is never unlocked.
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + w.name + node)
		if err == nil {
			_, _, errno := syscall.RawSyscall(sysSetns, ns.Fd(), syscall.CLONE_NEWNET, 0)
			if errno != 0 {
				err = errno
			}
			_ = ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// udp opens a socket on a node's address; port 0 is any.
func (w *world) udp(node, address string, port int) *net.UDPConn {
	w.t.Helper()
	var conn *net.UDPConn
	w.inside(node, func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address), Port: port})
		if err == nil {
			_ = conn.SetReadBuffer(4 << 20)
		}
		return err
	})
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// echo listens on a node for TCP and sends back what comes.
func (w *world) echo(node, address string) (port int) {
	w.t.Helper()
	var listener net.Listener
	w.inside(node, func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	})
	w.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// dial connects by TCP from a node.
func (w *world) dial(node, address string, port int) net.Conn {
	w.t.Helper()
	var conn net.Conn
	w.inside(node, func() (err error) {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(address, fmt.Sprint(port)), 10*time.Second)
		return err
	})
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// agentOn is a queue agent on a node.
type agentOn struct {
	w    *world
	node string
	dir  string
}

// start starts a queue agent on a node and leads packets to it.
func (w *world) start(node string, extra ...string) *agentOn {
	w.t.Helper()
	a := &agentOn{w: w, node: node, dir: filepath.Join(w.t.TempDir(), "q")}
	a.call("", append([]string{"start", "--instance", "one", "--queue-num", "7", "--seed", "42"},
		extra...)...)
	w.t.Cleanup(func() { a.call("", "stop") })
	a.lead()
	return a
}

// lead has the node's packets of interest go to the queue.
func (a *agentOn) lead() {
	queue := []string{"-m", "mark", "!", "--mark", fmt.Sprintf("%#x", BypassMark),
		"-j", "NFQUEUE", "--queue-num", "7", "--queue-bypass"}
	for _, tables := range []string{"iptables", "ip6tables"} {
		for _, protocol := range []string{"udp", "tcp"} {
			for _, chain := range []string{"OUTPUT", "INPUT"} {
				a.w.in(a.node, append([]string{tables, "-w", "-t", "mangle", "-A", chain, "-p", protocol},
					queue...)...)
			}
		}
	}
}

// try runs a subcommand of the queue on the node.
func (a *agentOn) try(input string, args ...string) (Status, error) {
	self, err := os.Executable()
	if err != nil {
		return Status{}, err
	}
	argv := append([]string{self, "agent", "queue"}, args...)
	out, err := a.w.run(input, a.w.at(a.node, append(argv, "--dir", a.dir)...)...)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return s, fmt.Errorf("%q: %w", out, err)
	}
	return s, nil
}

func (a *agentOn) call(input string, args ...string) Status {
	a.w.t.Helper()
	s, err := a.try(input, args...)
	if err != nil {
		a.w.t.Fatal(err)
	}
	return s
}

func (a *agentOn) set(r Rules) Status {
	a.w.t.Helper()
	text, err := r.Encode()
	if err != nil {
		a.w.t.Fatal(err)
	}
	return a.call(string(text), "set")
}
