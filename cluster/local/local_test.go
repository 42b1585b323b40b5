package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

var threeNodes = []nemesis.Node{"n1", "n2", "n3"}

// startFake starts a cluster of fake nodes that ends with the test.
func startFake(t *testing.T, change func(*Config)) *Cluster {
	t.Helper()
	cfg := Config{Nodes: threeNodes, Command: fakeCommand(t, nil), Dir: t.TempDir()}
	if change != nil {
		change(&cfg)
	}
	c, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// get asks a node over HTTP, on a connection of its own.
func get(t testing.TB, addr, path string, limit time.Duration) (string, error) {
	t.Helper()
	client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func mustGet(t testing.TB, addr, path string) string {
	t.Helper()
	body, err := get(t, addr, path, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// tell has one node send a text to another.
func tell(t testing.TB, c *Cluster, from, to nemesis.Node, text string) {
	t.Helper()
	q := url.Values{"to": {string(to)}, "text": {text}}
	if body := mustGet(t, c.DirectEndpoint(from), "/send?"+q.Encode()); body != "" {
		t.Fatalf("%s cannot send to %s: %s", from, to, body)
	}
}

func heard(t testing.TB, c *Cluster, n nemesis.Node) (texts []string) {
	t.Helper()
	body := mustGet(t, c.DirectEndpoint(n), "/heard")
	if err := json.Unmarshal([]byte(body), &texts); err != nil {
		t.Fatal(err)
	}
	return texts
}

func state(t testing.TB, c *Cluster, n nemesis.Node) nemesis.ProcessState {
	t.Helper()
	s, err := c.State(testContext(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// alive reports whether a process with this pid exists and is no zombie.
func alive(t testing.TB, pid int) bool {
	t.Helper()
	_, err := newInspector().commandLine(testContext(t), pid)
	if err != nil && !errors.Is(err, errNoProcess) {
		t.Fatal(err)
	}
	return err == nil
}

func TestNodesTalkThroughRelays(t *testing.T) {
	c := startFake(t, nil)
	for _, from := range threeNodes {
		for _, to := range threeNodes {
			if from != to {
				tell(t, c, from, to, fmt.Sprintf("%s to %s", from, to))
			}
		}
	}
	for _, n := range threeNodes {
		eventually(t, "both others are heard", func() bool { return len(heard(t, c, n)) == 2 })
		if body := mustGet(t, c.Endpoint(n), "/"); body != "ok" {
			t.Errorf("%s answers clients %q", n, body)
		}
	}
	counters, err := c.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(counters) != 6+6 {
		t.Errorf("%d links, want 6 between nodes and 6 of clients", len(counters))
	}
	for link, n := range counters {
		if n.Passed == 0 {
			t.Errorf("nothing passed on %v", link)
		}
	}
	alive, err := c.Probe(t.Context())
	if err != nil || len(alive) != len(counters) {
		t.Errorf("probed %d links, %v", len(alive), err)
	}
	if !slices.Equal(c.Nodes(), threeNodes) {
		t.Errorf("nodes %v", c.Nodes())
	}
}

func TestPartitionOfACluster(t *testing.T) {
	c := startFake(t, nil)
	cut := nemesis.Link{From: "n1", To: "n2"}
	silent := nemesis.Link{From: "n3", To: nemesis.Clients}
	if err := c.SetRules(t.Context(), "p", map[nemesis.Link]nemesis.Rule{
		cut: {Cut: true}, silent: {Cut: true},
	}); err != nil {
		t.Fatal(err)
	}
	links, err := c.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for link, alive := range links {
		if alive == (link == cut || link == silent) {
			t.Errorf("%v: alive %v", link, alive)
		}
	}
	tell(t, c, "n1", "n2", "unheard")
	tell(t, c, "n2", "n1", "heard")
	eventually(t, "the other way is open", func() bool { return len(heard(t, c, "n1")) == 1 })
	if _, err := get(t, c.Endpoint("n3"), "/", 50*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("a client behind a partition got %v, want a timeout", err)
	}
	if err := c.Clear(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	mustGet(t, c.Endpoint("n3"), "/")
	tell(t, c, "n1", "n2", "again")
	eventually(t, "the cut is healed", func() bool {
		return slices.Equal(heard(t, c, "n2"), []string{"again"})
	})
}

func TestKillAndRestart(t *testing.T) {
	c := startFake(t, nil)
	ctx := testContext(t)
	endpoint, direct := c.Endpoint("n2"), c.DirectEndpoint("n2")
	before := state(t, c, "n2")
	if before.PID == 0 || before.Stopped {
		t.Fatalf("state %+v", before)
	}
	for range 2 { // idempotent
		if err := c.Kill(ctx, "n2"); err != nil {
			t.Fatal(err)
		}
	}
	if alive(t, before.PID) || state(t, c, "n2").PID != 0 || c.DirectEndpoint("n2") != "" {
		t.Error("n2 is still there")
	}
	begin := time.Now()
	if _, err := get(t, endpoint, "/", 20*time.Second); err == nil || os.IsTimeout(err) {
		t.Errorf("a client of a dead node got %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a client learned after %v that the node is down", took)
	}
	tell(t, c, "n1", "n2", "lost")
	for range 2 {
		if err := c.Start(ctx, "n2"); err != nil {
			t.Fatal(err)
		}
	}
	after := state(t, c, "n2")
	if after.PID == 0 || after.PID == before.PID || c.Endpoint("n2") != endpoint {
		t.Errorf("after the restart: %+v at %s", after, c.Endpoint("n2"))
	}
	if c.DirectEndpoint("n2") == direct {
		t.Log("the node happened to get its old port")
	}
	mustGet(t, endpoint, "/")
	tell(t, c, "n1", "n2", "found")
	eventually(t, "peers reach it again", func() bool {
		return slices.Equal(heard(t, c, "n2"), []string{"found"})
	})
	log, err := os.ReadFile(c.LogPath("n2"))
	if err != nil || strings.Count(string(log), "=== ordeal: start ") != 2 {
		t.Errorf("log %q, %v", log, err)
	}
	if len(c.Exits()) != 0 {
		t.Errorf("a kill was taken for an exit: %+v", c.Exits())
	}
}

func TestPauseAndResume(t *testing.T) {
	c := startFake(t, nil)
	ctx := testContext(t)
	for range 2 {
		if err := c.Pause(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if s := state(t, c, "n1"); !s.Stopped || s.PID == 0 {
			t.Fatalf("paused, but %+v", s)
		}
	}
	if _, err := get(t, c.Endpoint("n1"), "/", 50*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("a client of a paused node got %v", err)
	}
	for range 2 {
		if err := c.Resume(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if state(t, c, "n1").Stopped {
			t.Fatal("still stopped")
		}
	}
	mustGet(t, c.Endpoint("n1"), "/")

	// A paused node can be killed, and a dead one cannot be paused.
	if err := c.Pause(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(ctx, "n1"); !errors.Is(err, cluster.ErrNotRunning) {
		t.Errorf("pausing a dead node: %v", err)
	}
	if err := c.Resume(ctx, "n1"); err != nil {
		t.Errorf("resuming a dead node: %v", err)
	}
}

func TestUnexpectedExitIsNoticed(t *testing.T) {
	noticed := make(chan cluster.Exit, 1)
	c := startFake(t, func(cfg *Config) { cfg.OnExit = func(e cluster.Exit) { noticed <- e } })
	pid := state(t, c, "n3").PID
	_, _ = get(t, c.DirectEndpoint("n3"), "/exit", 20*time.Second)
	select {
	case e := <-noticed:
		if e.Node != "n3" || e.PID != pid || e.Status != "exit status 7" ||
			!strings.Contains(e.Log, "goodbye") {
			t.Errorf("noticed %+v", e)
		}
	case <-testContext(t).Done():
		t.Fatal("nobody was told")
	}
	if s := state(t, c, "n3"); s != (nemesis.ProcessState{}) {
		t.Errorf("state %+v", s)
	}
	if exits := c.Exits(); len(exits) != 1 || exits[0].Node != "n3" {
		t.Errorf("exits %+v", exits)
	}
	if err := c.Start(testContext(t), "n3"); err != nil {
		t.Error(err)
	}
}

func TestFailedStarts(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no-such-program")
	for _, tc := range []struct {
		name   string
		change func(*Config)
		parts  []string
	}{
		{name: "never ready",
			change: func(cfg *Config) {
				cfg.Command = fakeCommand(t, map[nemesis.Node]string{"n2": "never"})
				cfg.StartTimeout = 500 * time.Millisecond
			},
			parts: []string{"start n2", "not ready within 500ms", "fake node in mode never",
				"node.log"}},
		{name: "exits at once",
			change: func(cfg *Config) {
				cfg.Command = fakeCommand(t, map[nemesis.Node]string{"n3": "refuse"})
			},
			parts: []string{"start n3", "exited before it was ready: exit status 3", "i refuse to start"}},
		{name: "no such program",
			change: func(cfg *Config) {
				cfg.Command = func(s cluster.NodeSpec) []string { return []string{missing, s.DataDir} }
			},
			parts: []string{missing, "no such file"}},
		{name: "no marker",
			change: func(cfg *Config) {
				cfg.Command = func(cluster.NodeSpec) []string { return []string{"/bin/sh"} }
			},
			parts: []string{"does not name the data directory"}},
		{name: "nonsense",
			change: func(cfg *Config) {
				*cfg = Config{Nodes: []nemesis.Node{"a", "a", "..", "clients"}, BasePort: 65530}
			},
			parts: []string{"named twice", "cannot be a directory", "reserved", "no command",
				"no directory", "base port 65530"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := newMemoryLog()
			cfg := Config{
				Nodes: threeNodes, Command: fakeCommand(t, nil), Dir: t.TempDir(), Ledger: log,
			}
			tc.change(&cfg)
			c, err := Start(testContext(t), cfg)
			if err == nil {
				_ = c.Close(context.Background())
				t.Fatal("started")
			}
			for _, part := range tc.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in: %v", part, err)
				}
			}
			for _, r := range log.outstanding() {
				t.Errorf("left behind: %+v", r)
			}
			for _, pid := range log.pids() {
				if alive(t, pid) {
					t.Errorf("process %d is still there", pid)
				}
			}
		})
	}
}

// What cannot be recorded is not left running.
func TestNoProcessWithoutRecord(t *testing.T) {
	for _, fail := range []string{"starting", "started"} {
		t.Run(fail, func(t *testing.T) {
			log := newMemoryLog()
			log.fail = fail
			_, err := Start(testContext(t), Config{
				Nodes: threeNodes[:1], Command: fakeCommand(t, nil), Dir: t.TempDir(), Ledger: log,
			})
			if !errors.Is(err, errDiskFull) {
				t.Errorf("error %v", err)
			}
			if fail == "starting" && len(log.pids()) != 0 {
				t.Error("a process was started")
			}
			for _, pid := range log.pids() {
				if alive(t, pid) {
					t.Errorf("process %d is still there", pid)
				}
			}
		})
	}
}

var errDiskFull = errors.New("disk full")

// memoryLog is a ProcessLog for one test.
type memoryLog struct {
	fail    string // "starting" or "started": which call fails
	mu      sync.Mutex
	started []nemesis.ProcessRecord
	open    map[nemesis.ProcessRecord]bool
}

func newMemoryLog() *memoryLog { return &memoryLog{open: make(map[nemesis.ProcessRecord]bool)} }

func (l *memoryLog) ProcessStarting(n nemesis.Node, marker string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail == "starting" {
		return errDiskFull
	}
	l.open[nemesis.ProcessRecord{Node: n, Marker: marker}] = true
	return nil
}

func (l *memoryLog) ProcessStarted(r nemesis.ProcessRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, nemesis.ProcessRecord{Node: r.Node, Marker: r.Marker})
	l.open[r] = true
	l.started = append(l.started, r)
	if l.fail == "started" {
		return errDiskFull
	}
	return nil
}

func (l *memoryLog) ProcessEnded(r nemesis.ProcessRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, r)
	return nil
}

func (l *memoryLog) outstanding() (records []nemesis.ProcessRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.open {
		records = append(records, r)
	}
	return records
}

func (l *memoryLog) pids() (pids []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.started {
		pids = append(pids, r.PID)
	}
	return pids
}

// freePorts finds a run of ports for a cluster of n nodes. Somebody else could
// take one right after; the ports are outside the range that the kernel gives out.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	size := portPlan{n: n}.size()
next:
	for base := 20000 + os.Getpid()%1000*8; base < 32000; base += size {
		for port := base; port < base+size; port++ {
			if checkPorts("n", port, port) != nil {
				continue next
			}
		}
		return base
	}
	t.Skip("no free ports")
	return 0
}

func TestFixedPorts(t *testing.T) {
	base := freePorts(t, 3)
	c := startFake(t, func(cfg *Config) { cfg.BasePort = base })
	for i, n := range threeNodes {
		if got, want := c.Endpoint(n), loopback(base+i); got != want {
			t.Errorf("%s is at %s, want %s", n, got, want)
		}
		if got, want := c.DirectEndpoint(n), loopback(base+3+i); got != want {
			t.Errorf("%s is directly at %s, want %s", n, got, want)
		}
	}
	ctx := testContext(t)
	if err := errors.Join(c.Kill(ctx, "n1"), c.Start(ctx, "n1")); err != nil {
		t.Fatal(err)
	}
	mustGet(t, c.Endpoint("n1"), "/")
}

func TestPortInUse(t *testing.T) {
	for _, tc := range []struct {
		name, network string
		offset        int
		what          string
	}{
		{"client endpoint", "tcp4", 1, "client endpoint of n2"},
		{"http", "tcp4", 3 + 2, "HTTP of n3"},
		{"peers", "udp4", 6, "peers of n1"},
		{"relay", "udp4", 9 + 1, "relay n1->n2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base := freePorts(t, 3)
			addr := loopback(base + tc.offset)
			var taken io.Closer
			var err error
			if tc.network == "tcp4" {
				taken, err = net.Listen(tc.network, addr)
			} else {
				taken, err = net.ListenPacket(tc.network, addr)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = taken.Close() }()
			_, err = Start(testContext(t), Config{
				Nodes: threeNodes, Command: fakeCommand(t, nil), Dir: t.TempDir(), BasePort: base,
			})
			want := fmt.Sprintf("port %d (%s) is not free", base+tc.offset, tc.what)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	log := newMemoryLog()
	c := startFake(t, func(cfg *Config) {
		cfg.Ledger = log
		cfg.Command = fakeCommand(t, map[nemesis.Node]string{"n1": "stubborn", "n3": "stubborn"})
		cfg.Grace = 50 * time.Millisecond
	})
	ctx, cancel := context.WithCancel(testContext(t))
	if err := errors.Join(c.Pause(ctx, "n2"), c.Pause(ctx, "n3")); err != nil {
		t.Fatal(err)
	}
	endpoint := c.Endpoint("n1")
	cancel() // an interrupted test must be cleaned up as well
	for range 2 {
		if err := c.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range log.pids() {
		if alive(t, pid) {
			t.Errorf("process %d outlived the cluster", pid)
		}
	}
	if left := log.outstanding(); len(left) != 0 {
		t.Errorf("the ledger misses the end of %v", left)
	}
	if conn, err := net.Dial("tcp4", endpoint); err == nil {
		_ = conn.Close()
		t.Error("the endpoint is still open")
	}
	if err := c.Start(testContext(t), "n1"); !errors.Is(err, errClosed) {
		t.Errorf("starting a node of a closed cluster: %v", err)
	}
}

func TestUnknownNode(t *testing.T) {
	c := startFake(t, func(cfg *Config) { cfg.Nodes = threeNodes[:1] })
	ctx := testContext(t)
	_, stateErr := c.State(ctx, "n9")
	for what, err := range map[string]error{
		"start": c.Start(ctx, "n9"), "kill": c.Kill(ctx, "n9"), "pause": c.Pause(ctx, "n9"),
		"resume": c.Resume(ctx, "n9"), "state of": stateErr,
	} {
		if err == nil || !strings.Contains(err.Error(), what+" n9: no such node") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c.Endpoint("n9")+c.DirectEndpoint("n9")+c.LogPath("n9")+c.ClockPath("n9") != "" {
		t.Error("an unknown node has addresses")
	}
}

// The harness is killed while one node is paused: what does not end by itself is
// ended through the ledger, and nothing else is.
func TestHealAfterTheControllerWasKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	controller := exec.Command(self, controllerProgram, dir)
	controller.Stderr = os.Stderr
	out, err := controller.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := controller.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	killed := controller.Process.Kill()
	_ = controller.Wait()
	if err != nil || line != "paused\n" || killed != nil {
		t.Fatalf("controller said %q, %v, %v", line, err, killed)
	}
	entries, _, err := nemesis.ReadLedger(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	records := nemesis.OutstandingIn(entries).Processes
	if len(records) != 3 {
		t.Fatalf("the ledger names %v", records)
	}
	pids := make(map[nemesis.Node]int)
	for _, r := range records {
		pids[r.Node] = r.PID
	}
	eventually(t, "n3 has noticed the end of its input", func() bool { return !alive(t, pids["n3"]) })
	// The kernel itself may have continued n2 when its parent died.
	if err := syscall.Kill(pids["n2"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "n2 is stopped", func() bool {
		stopped, err := newInspector().stopped(testContext(t), pids["n2"])
		return err == nil && stopped
	})
	checkHeal(t, records, pids)
}

func checkHeal(t *testing.T, records []nemesis.ProcessRecord, pids map[nemesis.Node]int) {
	t.Helper()
	// A pid that is somebody else's now: this very test's, and a bystander's.
	bystander := exec.Command("/bin/sh", "-c", "read line", "sh", t.TempDir())
	stdin, err := bystander.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = bystander.Wait()
	}()
	for i, r := range records {
		if r.Node == "n3" {
			records[i].PID = bystander.Process.Pid
		}
		if r.Node == "n1" {
			records[i].PID = 0 // as if the controller had died in the midst of starting
		}
	}
	report, err := Heal(testContext(t), records)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range report {
		want := []int{pids[h.Record.Node]}
		if h.Record.Node == "n3" {
			want = nil
		}
		if !slices.Equal(h.Killed, want) || h.Stopped != (h.Record.Node == "n2") {
			t.Errorf("healed %+v, want %v killed", h, want)
		}
	}
	for n, pid := range pids {
		if alive(t, pid) {
			t.Errorf("%s is still there as %d", n, pid)
		}
	}
	if !alive(t, bystander.Process.Pid) {
		t.Error("a stranger with a reused pid was killed")
	}
	again, err := Heal(testContext(t), records)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range again {
		if len(h.Killed) != 0 {
			t.Errorf("healing again killed %v", h.Killed)
		}
	}
}

func TestHealWantsAMarker(t *testing.T) {
	_, err := Heal(t.Context(), []nemesis.ProcessRecord{{Node: "n1", PID: os.Getpid()}})
	if err == nil {
		t.Error("a record without marker was accepted")
	}
}

func TestCarries(t *testing.T) {
	for _, tc := range []struct {
		line, marker string
		want         bool
	}{
		{"target --data /s/n1/data --bind x", "/s/n1/data", true},
		{"target --data=/s/n1/data", "/s/n1/data", true},
		{"less /s/n1/data/wal", "/s/n1/data", false},
		{"cmp /s/n1/data.old /s/n1/data", "/s/n1/data", true},
		{"target --data /s/n10/data", "/s/n1/data", false},
		{"anything", "", false},
		{"", "/s", false},
	} {
		if got := carries(tc.line, tc.marker); got != tc.want {
			t.Errorf("carries(%q, %q) = %v", tc.line, tc.marker, got)
		}
	}
}

// Both ways of looking at processes say the same: /proc, and ps as on macOS.
func TestInspectors(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("no ps here")
	}
	c := startFake(t, func(cfg *Config) { cfg.Nodes = threeNodes[:1] })
	ctx := testContext(t)
	pid := state(t, c, "n1").PID
	marker := c.members["n1"].spec.DataDir
	for name, i := range map[string]inspector{"native": newInspector(), "ps": {}} {
		if err := c.Pause(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if stopped, err := i.stopped(ctx, pid); err != nil || !stopped {
			t.Errorf("%s: paused process: stopped %v, %v", name, stopped, err)
		}
		if err := c.Resume(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if stopped, err := i.stopped(ctx, pid); err != nil || stopped {
			t.Errorf("%s: running process: stopped %v, %v", name, stopped, err)
		}
		if line, err := i.commandLine(ctx, pid); err != nil || !carries(line, marker) {
			t.Errorf("%s: command line %q, %v", name, line, err)
		}
		if pids, err := i.carrying(ctx, marker); err != nil || !slices.Equal(pids, []int{pid}) {
			t.Errorf("%s: %v carry the marker, %v; want %d", name, pids, err, pid)
		}
		const nobody = 1 << 30
		if _, err := i.stopped(ctx, nobody); !errors.Is(err, errNoProcess) {
			t.Errorf("%s: state of nobody: %v", name, err)
		}
		if _, err := i.commandLine(ctx, nobody); !errors.Is(err, errNoProcess) {
			t.Errorf("%s: command line of nobody: %v", name, err)
		}
	}
}

func TestDoctor(t *testing.T) {
	findings := Doctor(testContext(t))
	if len(findings) != 7 {
		t.Errorf("%d findings, want 7", len(findings))
	}
	for _, f := range findings {
		if !f.OK || f.Detail == "" {
			t.Errorf("%+v", f)
		}
	}
}

// A machine without loopback or signals would fail; a dead context shows it.
func TestDoctorReportsFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failed := 0
	for _, f := range Doctor(ctx) {
		if !f.OK {
			failed++
			if !strings.Contains(f.Detail, ";") {
				t.Errorf("%q does not say what cannot be done", f.Detail)
			}
		}
	}
	if failed == 0 {
		t.Error("nothing failed")
	}
}

func TestSpecOfANode(t *testing.T) {
	var mu sync.Mutex
	specs := make(map[nemesis.Node]cluster.NodeSpec)
	run := func(seed uint64) {
		command := fakeCommand(t, nil)
		startFake(t, func(cfg *Config) {
			cfg.Seed = seed
			cfg.Command = func(s cluster.NodeSpec) []string {
				mu.Lock()
				defer mu.Unlock()
				specs[s.Name+nemesis.Node(strconv.FormatUint(seed, 10))] = s
				return command(s)
			}
		})
	}
	run(1)
	run(2)
	a, b := specs["n11"], specs["n21"]
	if len(a.Peers) != 2 || a.Peers["n2"] == "" || a.Peers["n2"] == b.Peers["n3"] {
		t.Errorf("peers of n1: %v", a.Peers)
	}
	if !filepath.IsAbs(a.DataDir) || a.DataDir == b.DataDir || a.ClockFile == b.ClockFile {
		t.Errorf("directories %q and %q", a.DataDir, b.DataDir)
	}
	if a.Seed == b.Seed || a.Seed == specs["n12"].Seed {
		t.Error("nodes, or clusters of different seeds, share a seed")
	}
}
