package remote_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

func (b *bench) state(t *testing.T, n nemesis.Node) nemesis.ProcessState {
	t.Helper()
	s, err := b.State(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestProcesses(t *testing.T) {
	t.Parallel()
	b := start(t, 2, nil)
	ctx := t.Context()
	first := b.state(t, "n1")
	if first.PID == 0 || first.Stopped {
		t.Fatalf("at the start: %+v", first)
	}
	must(t, b.Pause(ctx, "n1"))
	must(t, b.Pause(ctx, "n1"))
	if s := b.state(t, "n1"); s.PID != first.PID || !s.Stopped {
		t.Errorf("paused: %+v", s)
	}
	if s := b.state(t, "n2"); s.Stopped {
		t.Error("the other node is paused, too")
	}
	must(t, b.Resume(ctx, "n1"))
	if s := b.state(t, "n1"); s != first {
		t.Errorf("resumed: %+v", s)
	}
	must(t, b.Pause(ctx, "n1"))
	must(t, b.Kill(ctx, "n1")) // a frozen one, too
	must(t, b.Kill(ctx, "n1"))
	if s := b.state(t, "n1"); s != (nemesis.ProcessState{}) {
		t.Errorf("killed: %+v", s)
	}
	if b.DirectEndpoint("n1") != "" || b.Endpoint("n1") == "" {
		t.Errorf("endpoints of a node that is down: %q, %q", b.DirectEndpoint("n1"), b.Endpoint("n1"))
	}
	if err := b.Pause(ctx, "n1"); !errors.Is(err, cluster.ErrNotRunning) {
		t.Errorf("pause of a node that is down: %v", err)
	}
	must(t, b.Resume(ctx, "n1"))
	must(t, b.Start(ctx, "n1"))
	must(t, b.Start(ctx, "n1"))
	if s := b.state(t, "n1"); s.PID == 0 || s.PID == first.PID {
		t.Errorf("started again: %+v, before %+v", s, first)
	}
	must(t, get(b.DirectEndpoint("n1"), "/"))
	if len(b.exits) > 0 {
		t.Errorf("an end that was told to come is reported: %+v", <-b.exits)
	}
	b.close(t)
	log, err := os.ReadFile(filepath.Join(b.cfg.Dir, "nodes", "n1", "node.log"))
	if err != nil || strings.Count(string(log), "=== ordeal: start") != 2 ||
		strings.Count(string(log), "fake node serves") != 2 {
		t.Errorf("the log in the store: %v\n%s", err, log)
	}
}

// A node that ends by itself is noticed at once, with its last words; one that does not
// start says why.
func TestExits(t *testing.T) {
	t.Parallel()
	b := start(t, 1, nil)
	pid := b.state(t, "n1").PID
	_ = get(b.DirectEndpoint("n1"), "/die") // it does not live to answer
	select {
	case e := <-b.exits:
		if e.Node != "n1" || e.PID != pid || e.Status != "exit status 3" ||
			e.LastWords != "panic: I was told to" {
			t.Errorf("told %+v, want pid %d", e, pid)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody noticed")
	}
	refuse := b.cfg.Root + "/" + b.cfg.Run + "/n1/data/refuse"
	b.run(t, "n1", "touch "+refuse)
	err := b.Start(t.Context(), "n1")
	if err == nil || !strings.Contains(err.Error(), "something is wrong with my disk") ||
		!strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("start: %v", err)
	}
	if e := <-b.exits; !strings.Contains(e.LastWords, "something is wrong") {
		t.Errorf("told %+v", e)
	}
	b.run(t, "n1", "rm "+refuse)
	must(t, b.Start(t.Context(), "n1"))
	b.run(t, "n1", "kill -11 "+strings.TrimSpace(b.run(t, "n1", "cat "+
		b.cfg.Root+"/"+b.cfg.Run+"/n1/pid")))
	if e := <-b.exits; e.Status != "exit status 2" && e.Status != "signal 11" {
		t.Errorf("told %+v", e)
	}
	if left := b.ledger.Outstanding().Processes; len(left) > 0 {
		t.Errorf("outstanding: %+v", left)
	}
}

// One that does not come up leaves nothing behind, on no host.
func TestStartFails(t *testing.T) {
	t.Parallel()
	lab, ledger, path := newLab(t, 3)
	b := &bench{lab: lab, ledger: ledger, path: path, cfg: config(t, lab, ledger)}
	command := b.cfg.Command
	b.cfg.Command = func(s cluster.NodeSpec) []string {
		if s.Name == "n2" {
			return []string{"sh", "-c", "echo no such protocol >&2; exit 254", s.DataDir}
		}
		return command(s)
	}
	_, err := remote.Start(t.Context(), b.cfg)
	if err == nil || !strings.Contains(err.Error(), "n2") ||
		!strings.Contains(err.Error(), "no such protocol") {
		t.Errorf("start: %v", err)
	}
	b.nothingLeft(t)
}

// Clock and disk files are the node's; a flipped bit is put back, unless the log has
// changed.
func TestFiles(t *testing.T) {
	t.Parallel()
	b := start(t, 1, nil)
	ctx, dir := t.Context(), b.cfg.Root+"/"+b.cfg.Run+"/n1"
	bent := nemesis.ClockSetting{Wall: nemesis.Bend{Offset: time.Hour}}
	must(t, b.SetClock(ctx, "n1", bent))
	must(t, b.SetDisk(ctx, "n1", nemesis.DiskSetting{Full: true}))
	if got := b.run(t, "n1", "cat "+dir+"/clock "+dir+"/disk"); got !=
		"{\"wall\":{\"offset\":\"1h0m0s\"},\"monotonic\":{}}\n{\"full\":true}\n" {
		t.Errorf("the files hold %s", got)
	}
	must(t, b.SetClock(ctx, "n1", nemesis.ClockSetting{}))
	must(t, b.SetDisk(ctx, "n1", nemesis.DiskSetting{}))
	if got := b.run(t, "n1", "ls "+dir); strings.Contains(got, "clock") ||
		strings.Contains(got, "disk") {
		t.Errorf("still there: %s", got)
	}
	if _, err := b.Wipe(ctx, "n1"); err == nil || !strings.Contains(err.Error(), "runs") {
		t.Errorf("wiped the disk of a node that runs: %v", err)
	}
	if _, err := b.FlipBit(ctx, "n1", 0.5); err == nil || !strings.Contains(err.Error(), "runs") {
		t.Errorf("the log of a node that runs: %v", err)
	}
	must(t, b.Kill(ctx, "n1"))
	if _, err := b.FlipBit(ctx, "n1", 0.5); !errors.Is(err, nemesis.ErrLogTooSmall) {
		t.Errorf("without a log: %v", err)
	}
	log := dir + "/data/wal/log-0000000000000002"
	b.run(t, "n1", "mkdir -p "+dir+"/data/wal; echo old >"+dir+"/data/wal/log-0000000000000001; "+
		"head -c 20000 /dev/urandom >"+log+"; cp "+log+" "+dir+"/copy")
	where, err := b.FlipBit(ctx, "n1", 0.5)
	if err != nil || where != "byte 5000 of wal/log-0000000000000002" {
		t.Errorf("flipped %q, %v", where, err)
	}
	// The differing bytes, in octal: exactly one, at 5001 counted from 1.
	differ := strings.Fields(b.run(t, "n1", "cmp -l "+log+" "+dir+"/copy || :"))
	if len(differ) != 3 || differ[0] != "5001" {
		t.Errorf("differing bytes: %v", differ)
	}
	must(t, b.Unflip(ctx, "n1"))
	b.run(t, "n1", "cmp "+log+" "+dir+"/copy")
	if _, err := b.FlipBit(ctx, "n1", 0); err != nil {
		t.Fatal(err)
	}
	b.run(t, "n1", "echo new >"+log)
	must(t, b.Unflip(ctx, "n1"))
	must(t, b.Unflip(ctx, "n1"))
	if got := b.run(t, "n1", "cat "+log+"; ls "+dir); !strings.HasPrefix(got, "new\n") ||
		strings.Contains(got, "flip") {
		t.Errorf("a log that was replaced, and the directory: %s", got)
	}
	size := b.run(t, "n1", "find "+dir+"/data -type f -exec cat {} + | wc -c")
	lost, err := b.Wipe(ctx, "n1")
	if err != nil || lost == 0 || strconv.FormatInt(lost, 10) != strings.TrimSpace(size) {
		t.Errorf("lost %d bytes, %v, want %s", lost, err, size)
	}
	if left := b.run(t, "n1", "find "+dir+"/data -mindepth 1"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// lossy is a shell whose connections break: before the command, or after it.
type lossy struct {
	remote.Shell
	node   nemesis.Node
	before func() bool
	after  func() bool
}

var errCut = errors.New("the connection is cut")

func (l lossy) Run(
	ctx context.Context, n nemesis.Node, c remote.Command,
) (remote.Result, error) {
	fail := func(ran remote.Ran) error {
		return &remote.TransportError{Node: n, Doing: c.Argv[0], Ran: ran, Err: errCut}
	}
	if n == l.node && l.before() {
		return remote.Result{}, fail(remote.NotRun)
	}
	r, err := l.Shell.Run(ctx, n, c)
	if n == l.node && err == nil && l.after() {
		return remote.Result{}, fail(remote.MayHaveRun)
	}
	return r, err
}
