package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wal"
	"github.com/ordeal-dev/ordeal/target/wire"
)

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestClusterReplicates(t *testing.T) {
	nodes, _ := startCluster(t, 3, nil)
	for i := range 3 * toyCheckpointEvery {
		writer := nodes[i%3]
		expect(t, "write", writer.op(writeOp(fmt.Sprint(i))), "200 ok null")
		for _, n := range nodes {
			expect(t, fmt.Sprintf("read at %s", n.cfg.ID), n.op(readOp), fmt.Sprintf("200 ok %d", i))
		}
	}
	if n := nodes[1].counter("checkpoints"); n != 3 {
		t.Errorf("%d checkpoints, want 3", n)
	}
}

// Duplicated datagrams reach the machine, corrupted and lost ones do not.
func TestBadLinks(t *testing.T) {
	nodes, relays := startCluster(t, 2, func(cfg *Config) {
		cfg.RequestTimeout = 100 * time.Millisecond
	})
	for _, tc := range []struct {
		name    string
		change  func([]byte) [][]byte
		want    string
		counter string
	}{
		{"clean", clean, "200 ok null", "messages_received"},
		{"corrupted", flip, "200 info  timeout", "dropped_checksum"},
		{"duplicated", twice, "200 ok null", "messages_received"},
		{"cut", cut, "200 info  timeout", "ticks"},
		{"short", func(d []byte) [][]byte { return [][]byte{d[:9]} }, "200 info  timeout",
			"dropped_short"},
		{"foreign", func([]byte) [][]byte { return [][]byte{make([]byte, 99)} },
			"200 info  timeout", "dropped_magic"},
		{"healed", clean, "200 ok null", "messages_received"},
	} {
		before := nodes[1].counter(tc.counter)
		relays[1].set(tc.change)
		expect(t, tc.name, nodes[0].op(writeOp("1")), tc.want)
		await(t, tc.name+": "+tc.counter+" grows", func() bool {
			return nodes[1].counter(tc.counter) > before
		})
	}
}

// Nodes of another cluster or configuration are not heard, whatever they say.
func TestForeignNodes(t *testing.T) {
	for counter, change := range map[string]func(*Config){
		"dropped_cluster":       func(cfg *Config) { cfg.ClusterID = "other" },
		"dropped_configuration": func(cfg *Config) { cfg.Peers = withPeer(cfg.Peers, "n9") },
	} {
		t.Run(counter, func(t *testing.T) {
			nodes, _ := startCluster(t, 2, func(cfg *Config) {
				if cfg.ID == "n2" {
					change(cfg)
				}
				cfg.RequestTimeout = 50 * time.Millisecond
			})
			expect(t, "write", nodes[0].op(writeOp("1")), "200 info  timeout")
			await(t, counter+" grows", func() bool { return nodes[1].counter(counter) > 0 })
			if n := nodes[1].counter("messages_received"); n != 0 {
				t.Errorf("%d messages received", n)
			}
		})
	}
}

func withPeer(peers map[protocol.NodeID]string, id protocol.NodeID) map[protocol.NodeID]string {
	more := map[protocol.NodeID]string{id: "127.0.0.1:9"}
	for id, address := range peers {
		more[id] = address
	}
	return more
}

func TestRequests(t *testing.T) {
	n := start(t, nil)
	long := strings.Repeat("x", wire.MaxBody)
	for _, tc := range []struct{ method, path, body, want string }{
		{"POST", "/v1/op", writeOp("3"), "200 ok null"},
		{"POST", "/v1/op", readOp, "200 ok 3"},
		{"POST", "/v1/op", writeOp(`{"b" : [1, 2.50], "a":"\u00e4<"}`), "200 ok null"},
		{"POST", "/v1/op", readOp, `200 ok {"a":"ä<","b":[1,2.50]}`},
		{"POST", "/v1/op", writeOp("null"), "200 ok null"},
		{"POST", "/v1/op", readOp, "200 ok null"},
		{"POST", "/v1/op", `{"object":"register","f":"self"}`, "200 ok null"},
		{"POST", "/v1/op", `{"object":"register","f":"junk"}`, "200 info  internal"},
		{"POST", "/v1/op", `{"object":"moon","f":"read"}`, "200 fail  not-supported"},
		{"POST", "/v1/op", `{"object":"session","f":"open"}`, "200 ok 7"},
		{"POST", "/v1/session", "", "200 ok 7"},
		{"POST", "/v1/op", "", "400 fail  malformed-request"},
		{"POST", "/v1/op", "null", "400 fail  malformed-request"},
		{"POST", "/v1/op", "{", "400 fail  malformed-request"},
		{"POST", "/v1/op", readOp + readOp, "400 fail  malformed-request"},
		{"POST", "/v1/op", `{"object":"register"}`, "400 fail  malformed-request"},
		{"POST", "/v1/op", `{"object":"register","f":"read","kee":"k"}`,
			"400 fail  malformed-request"},
		{"POST", "/v1/op", `{"object":"register","f":"read","session":-1}`,
			"400 fail  malformed-request"},
		{"POST", "/v1/op", `{"object":"register","f":"read","session":1}`,
			"400 fail  malformed-request"},
		{"POST", "/v1/op", `{"object":"register","f":"` + long[:wire.MaxWord+1] + `"}`,
			"400 fail  malformed-request"},
		{"POST", "/v1/op", `{"object":"register","f":"read","key":"` + long[:wire.MaxKey+1] + `"}`,
			"413 fail  too-large"},
		{"POST", "/v1/op", writeOp(`"` + long[:wire.MaxValue] + `"`), "413 fail  too-large"},
		{"POST", "/v1/op", writeOp(`"` + long + `"`), "413 fail  too-large"},
		{"GET", "/v1/op", "", "405 fail  method-not-allowed"},
		{"GET", "/v2/op", "", "404 fail  no-such-endpoint"},
		{"GET", "/health", "", "200"},
	} {
		a, err := call(t.Context(), tc.method, "http://"+n.HTTPAddr()+tc.path, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, tc.method+" "+tc.path+" "+tc.body[:min(len(tc.body), 60)], a.String(), tc.want)
	}
}

// A client that does not wait does not stop the machine, and holds nothing up.
func TestClientGoesAway(t *testing.T) {
	nodes, relays := startCluster(t, 2, nil)
	relays[1].set(cut)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := call(ctx, "POST", "http://"+nodes[0].HTTPAddr()+"/v1/op", writeOp("5"))
		gone <- err
	}()
	await(t, "the write has arrived", func() bool { return nodes[0].op(readOp) == "200 ok 5" })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("client's error: %v", err)
	}
	await(t, "the node noticed", func() bool {
		return nodes[0].counter("requests_abandoned") == 1
	})
	expect(t, "read", nodes[0].op(readOp), "200 ok 5")
}

// The machine counts timeouts on a clock that may stand still; the client gets an
// answer all the same.
func TestFrozenClock(t *testing.T) {
	clock := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(clock, []byte(`{"freeze":true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	n := start(t, func(cfg *Config) {
		cfg.ClockFile, cfg.RequestTimeout = clock, 10*time.Millisecond
	})
	expect(t, "hang", n.op(`{"object":"register","f":"hang"}`), "200 info  timeout")
	if err := os.Remove(clock); err != nil {
		t.Fatal(err)
	}
	await(t, "the clock runs", func() bool { return n.served().Clock.MonotonicNS > 0 })
}

func TestClockFile(t *testing.T) {
	clock := filepath.Join(t.TempDir(), "clock")
	n := start(t, func(cfg *Config) { cfg.ClockFile = clock })
	ahead := func() (mono, wall time.Duration) {
		c := n.served().Clock
		return time.Duration(c.MonotonicNS - c.RunningNS), time.Duration(c.WallErrorNS)
	}
	near := func(d, want time.Duration) bool { return (d - want).Abs() < 100*time.Millisecond }
	for _, tc := range []struct {
		content    string
		mono, wall time.Duration
	}{
		{`{"offset":"500ms"}`, 500 * time.Millisecond, 500 * time.Millisecond},
		{`{"offset":"1h","wall":{"offset":"-1h"}}`, time.Hour, -time.Hour},
		{`{"monotonic":{"offset":"2h"}}`, 2 * time.Hour, 0},
		{`{"wall":{"offset":"3h"}}`, 0, 3 * time.Hour},
		{`{}`, 0, 0},
	} {
		if err := os.WriteFile(clock, []byte(tc.content), 0o644); err != nil {
			t.Fatal(err)
		}
		await(t, tc.content, func() bool {
			mono, wall := ahead()
			return near(mono, tc.mono) && near(wall, tc.wall)
		})
	}
	if err := os.WriteFile(clock, []byte(`{"offset":"7h","ofset":"1h"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	await(t, "the mistake is logged", func() bool {
		return strings.Contains(n.log.String(), "clock setting refused")
	})
	if mono, wall := ahead(); !near(mono, 0) || !near(wall, 0) {
		t.Errorf("a refused setting moved the clocks by %v and %v", mono, wall)
	}
}

func TestReadyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ready")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	n := start(t, func(cfg *Config) { cfg.ReadyFile = path })
	var ready Ready
	await(t, "the ready file is there", func() bool {
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return false
		}
		// Once it is there it is whole, and not the old one.
		if err := errors.Join(err, json.Unmarshal(content, &ready)); err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		return true
	})
	want := Ready{HTTP: n.HTTPAddr(), Peer: n.PeerAddr(), PID: os.Getpid()}
	if ready != want {
		t.Errorf("ready file %+v, want %+v", ready, want)
	}
}

// A node that is stopped and started goes on with what it had, in a new epoch.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	for epoch := 1; epoch <= 2*toyCheckpointEvery; epoch++ {
		n := start(t, func(cfg *Config) { cfg.DataDir = dir })
		if epoch > 1 {
			expect(t, "read", n.op(readOp), fmt.Sprintf("200 ok %d", epoch-1))
		}
		expect(t, "write", n.op(writeOp(fmt.Sprint(epoch))), "200 ok null")
		if got := n.served().Epoch; got != protocol.Epoch(epoch) {
			t.Errorf("epoch %d, want %d", got, epoch)
		}
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whenever the disk is asked to make something durable, the answer to the write
// and the messages that reveal it are still here.
func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	disk := wal.NewMem()
	nodes, _ := startCluster(t, 2, func(cfg *Config) {
		if cfg.ID == "n1" {
			cfg.fs = disk
		}
	})
	n := nodes[0]
	for i := range 2 * toyCheckpointEvery {
		sent := n.counters.sent.Load()
		seen := make(chan string, 100)
		disk.FailWith(func(op wal.Op, _ string) error {
			// This runs on the event loop, which may look at what it owns.
			if len(n.waiting) != 1 || n.counters.sent.Load() != sent {
				t.Errorf("write %d, %s: %d requests wait, %d messages were sent",
					i, op, len(n.waiting), n.counters.sent.Load()-sent)
			}
			seen <- string(op)
			return nil
		})
		expect(t, "write", n.op(writeOp("1")), "200 ok null")
		disk.FailWith(nil)
		close(seen)
		var ops []string
		for op := range seen {
			ops = append(ops, op)
		}
		want := "write sync"
		if i%toyCheckpointEvery == toyCheckpointEvery-1 {
			want = "create write sync create write sync syncdir rename syncdir remove"
			if i > toyCheckpointEvery {
				want += " remove"
			}
		}
		expect(t, fmt.Sprintf("write %d", i), strings.Join(ops, " "), want)
	}
}

// The first error of the disk ends the node, and the write that met it is not
// acknowledged.
func TestDiskErrorIsFatal(t *testing.T) {
	for name, tc := range map[string]struct {
		op  wal.Op
		err error
	}{
		"full": {wal.OpWrite, syscall.ENOSPC}, "broken": {wal.OpSync, syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			disk := wal.NewMem()
			n := start(t, func(cfg *Config) { cfg.fs = disk })
			expect(t, "write", n.op(writeOp("1")), "200 ok null")
			disk.FailWith(func(op wal.Op, _ string) error {
				if op == tc.op {
					return tc.err
				}
				return nil
			})
			expect(t, "write", n.op(writeOp("2")), "200 info  shutting-down")
			<-n.stopped // by itself
			if err := n.stop(); !errors.Is(err, tc.err) {
				t.Errorf("node ended with %v, want %v", err, tc.err)
			}
		})
	}
}

func TestCorruptLogIsRefused(t *testing.T) {
	disk := wal.NewMem()
	n := start(t, func(cfg *Config) { cfg.fs = disk })
	for i := range toyCheckpointEvery - 1 {
		expect(t, "write", n.op(writeOp(fmt.Sprint(i))), "200 ok null")
	}
	cfg := n.cfg
	n.stop()
	name := filepath.Join(cfg.DataDir, "wal", "log-0000000000000000")
	disk.Corrupt(name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	if _, err := Open(t.Context(), cfg); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

// The epochs of a node that rejoins grow also when its disk was wiped.
func TestWipedDiskEpoch(t *testing.T) {
	dir := t.TempDir()
	var last protocol.Epoch
	for _, wiped := range []bool{false, false, true, false} {
		if wiped {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		n := start(t, func(cfg *Config) { cfg.DataDir, cfg.Rejoins = dir, true })
		got := n.served().Epoch
		if got <= last {
			t.Errorf("epoch %d after %d (wiped: %t)", got, last, wiped)
		}
		last = got
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	n := start(t, nil)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"is used by another process": func(cfg *Config) { cfg.DataDir = n.cfg.DataDir },
		"not a directory":            func(cfg *Config) { cfg.DataDir = filepath.Join(file, "data") },
		"listen for clients":         func(cfg *Config) { cfg.Bind = n.HTTPAddr() },
		"listen for peers":           func(cfg *Config) { cfg.PeerBind = n.PeerAddr() },
		"no machine":                 func(cfg *Config) { cfg.New = nil },
	} {
		cfg := n.cfg
		cfg.DataDir = filepath.Join(t.TempDir(), "new")
		change(&cfg)
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one about: %s", err, name)
		}
	}
	if got := n.served().Epoch; got != 1 {
		t.Errorf("epoch %d after failed starts", got)
	}
}

func TestValidateListsEverything(t *testing.T) {
	cfg := Config{
		ID: "n 1", Peers: map[protocol.NodeID]string{"n2": "nowhere", "": "h:1", "n3": "h:0"},
		Bind: "x", PeerBind: ":99999",
	}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{
		`id "n 1"`, `peer ""`, "peer n2", "peer n3", "bind:", "peer-bind:", "data:",
		"cluster-id:", "request-timeout", "log:",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no word of %s in:\n%v", part, err)
		}
	}
}

func TestPlantedBugIsLoud(t *testing.T) {
	n := start(t, func(cfg *Config) { cfg.Bugs = bug.Set{bug.NoFsync: true} })
	if want := "planted bug switched on: stor-no-fsync"; !strings.Contains(n.log.String(), want) {
		t.Errorf("log has no %q:\n%s", want, n.log)
	}
	expect(t, "write", n.op(writeOp("1")), "200 ok null")
	s := n.served()
	if len(s.Bugs) != 1 || s.Bugs[0] != bug.NoFsync || s.Counters["syncs"] != 0 {
		t.Errorf("status shows bugs %v and %d syncs", s.Bugs, s.Counters["syncs"])
	}
}

// A node that stops answers what it still has as unknown and takes nothing new.
func TestStopWithRequestsInFlight(t *testing.T) {
	n := start(t, nil)
	answers := make(chan string, 1)
	go func() {
		a, err := call(context.Background(), http.MethodPost, "http://"+n.HTTPAddr()+"/v1/op",
			`{"object":"register","f":"hang"}`)
		answers <- fmt.Sprint(a, " ", err)
	}()
	await(t, "the request has arrived", func() bool { return n.counter("requests") == 1 })
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	expect(t, "hang", <-answers, "200 info  shutting-down <nil>")
}

// The page of the wire format names every code, counter and field that there is.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "target-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := []string{
		wire.CodeMalformed, wire.CodeTooLarge, codeNoMethod, codeNoEndpoint, codeOverloaded,
		codeShuttingDown, codeTimeout, wire.CodeInternal,
	}
	for name := range newCounters().snapshot(wal.DiskCounts{}) {
		words = append(words, "_"+strings.TrimPrefix(name, "dropped_"))
		if !strings.HasPrefix(name, "dropped_") {
			words[len(words)-1] = "`" + name + "`"
		}
	}
	status, err := json.Marshal(nodeStatus{Status: protocol.Status{
		Leader: "n1", Ballot: "b", Applied: 1, Committed: 1,
	}})
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(status, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		words = append(words, "`"+name+"`")
	}
	for _, word := range words {
		if !strings.Contains(string(page), word) {
			t.Errorf("docs/target-api.md does not name %s", word)
		}
	}
}

// A disk that hangs makes the node unhealthy, and its clients still get answers.
func TestStalledDisk(t *testing.T) {
	disk := wal.NewMem()
	n := start(t, func(cfg *Config) {
		cfg.fs, cfg.RequestTimeout = disk, 10*time.Millisecond
	})
	release := make(chan struct{})
	disk.FailWith(func(wal.Op, string) error {
		<-release
		return nil
	})
	defer close(release)
	expect(t, "write", n.op(writeOp("1")), "200 info  timeout")
	health := func() int {
		a, err := call(t.Context(), http.MethodGet, "http://"+n.HTTPAddr()+"/health", "")
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	await(t, "the node is unhealthy", func() bool { return health() == 503 })
	release <- struct{}{}
	await(t, "the node is healthy again", func() bool {
		select {
		case release <- struct{}{}:
		default:
		}
		return health() == 200
	})
	expect(t, "read", n.op(readOp), "200 ok 1")
}
