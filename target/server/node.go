// Package server runs one node of the reference cluster: it gives a
// protocol.Machine, which is pure, a real network, disk, clock and clients.
//
// Peers exchange single UDP datagrams, because loss, duplication and reordering
// of messages exist only there. Clients speak HTTP and JSON. One goroutine, the
// event loop, owns the machine and the log: it gathers inputs, lets the machine
// digest them, makes durable what must be, and only then lets messages and
// replies leave. The wire formats are described in docs/target-api.md.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wal"
)

// Node is one node: opened by Open, run by Serve.
type Node struct {
	cfg       Config
	log       *slog.Logger
	started   time.Time
	clock     *Clock
	counters  *counters
	disk      *wal.Disk
	diskFile  *settingFile
	wal       *wal.Log
	epoch     protocol.Epoch
	machine   protocol.Machine
	peerConn  *net.UDPConn
	listener  net.Listener
	transport *transport
	unlock    func() error

	submits chan submission
	stopped chan struct{} // closed when the event loop has ended

	// status is what the machine said after the last turn, and alive when that
	// was, as time since started.
	status atomic.Pointer[protocol.Status]
	alive  atomic.Int64

	// These belong to the event loop.
	waiting     map[protocol.RequestID]chan<- protocol.Reply
	lastRequest protocol.RequestID
	toSelf      []protocol.Message
}

// Open binds the node's addresses, recovers its data and makes its machine. The
// addresses are bound first, so that a start that must fail is not counted.
// An invalid Config, a port in use, a directory that is not writable or is used
// by another process, and corrupt data (wal.ErrCorrupt) are errors.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.New == nil {
		return nil, fmt.Errorf("protocol %q: no machine for it", cfg.Protocol)
	}
	n := &Node{
		cfg: cfg, log: cfg.Log, started: time.Now(), clock: NewClock(time.Now),
		counters: newCounters(),
		submits:  make(chan submission, submitQueue), stopped: make(chan struct{}),
		waiting: map[protocol.RequestID]chan<- protocol.Reply{},
	}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	if n.cfg.ReadyFile != "" {
		// The file of an earlier run must not pass for this one's.
		if err := os.Remove(n.cfg.ReadyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("ready file: %w", err)
		}
	}
	var err error
	if n.peerConn, err = listenPeers(ctx, n.cfg.PeerBind, n.log); err != nil {
		return err
	}
	var lc net.ListenConfig
	if n.listener, err = lc.Listen(ctx, "tcp", n.cfg.Bind); err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	rec, err := n.openData()
	if err != nil {
		return err
	}
	n.epoch = protocol.Epoch(rec.Epoch)
	n.machine, err = n.cfg.New(protocol.Config{
		Self: n.cfg.ID, Members: n.cfg.Members(), Epoch: n.epoch,
		Seed: mixSeed(n.cfg.Seed, n.cfg.ID, n.epoch), Bugs: n.cfg.Bugs,
		RequestTimeout: protocol.Time(n.cfg.RequestTimeout),
		Checkpoint:     rec.Checkpoint, Records: rec.Records, Damaged: rec.Damaged,
	})
	if err != nil {
		return fmt.Errorf("make %s machine: %w", n.cfg.Protocol, err)
	}
	n.transport = newTransport(n.peerConn, &n.cfg, n.epoch, n.counters)
	n.announce(rec)
	return nil
}

// openData locks the directory and recovers what is in it.
func (n *Node) openData() (wal.Recovered, error) {
	dir := n.cfg.DataDir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return wal.Recovered{}, fmt.Errorf("data directory: %w", err)
	}
	var err error
	if n.unlock, err = lockDir(dir); err != nil {
		return wal.Recovered{}, fmt.Errorf("data directory: %w", err)
	}
	dir = filepath.Join(dir, "wal")
	fs := n.cfg.fs
	switch {
	case fs != nil:
	case n.cfg.Volatile:
		if fs, err = wal.NewVolatile(dir); err != nil {
			return wal.Recovered{}, fmt.Errorf("data directory: %w", err)
		}
	default:
		fs = wal.OS{}
	}
	var rec wal.Recovered
	// A sync that takes long holds the event loop up, as it should.
	n.disk = wal.NewDisk(fs, func(d time.Duration) { <-time.After(d) })
	n.followDisk()
	opts := wal.Options{Salvage: n.cfg.Salvages}
	if n.cfg.Rejoins {
		// The machine's own time: what bends the node's clock must not make it forget.
		opts.Born = uint64(n.started.UnixMicro())
	}
	n.wal, rec, err = wal.Open(n.disk, dir, opts.Planted(n.cfg.Bugs))
	if errors.Is(err, wal.ErrCorrupt) {
		return rec, fmt.Errorf("refusing to start, because votes and acknowledged "+
			"writes may be lost: %w", err)
	}
	return rec, err
}

// mixSeed gives each node and each start its own choices from one seed.
func mixSeed(seed uint64, id protocol.NodeID, epoch protocol.Epoch) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", seed, id, epoch)
	return h.Sum64()
}

func (n *Node) announce(rec wal.Recovered) {
	n.log.Info("target starts", "version", n.cfg.Version, "protocol", n.cfg.Protocol,
		"id", n.cfg.ID, "epoch", n.epoch, "members", n.cfg.Members(),
		"http", n.HTTPAddr(), "peer", n.PeerAddr(), "data", n.cfg.DataDir,
		"volatile", n.cfg.Volatile, "checkpoint_bytes", len(rec.Checkpoint),
		"records", len(rec.Records), "torn_bytes_cut", rec.Cut)
	if rec.Damaged {
		n.log.Warn("the log was damaged: this node does not vote until it has repaired it")
	}
	for _, id := range n.plantedBugs() {
		n.log.Warn("planted bug switched on: " + string(id))
	}
}

func (n *Node) plantedBugs() []bug.ID {
	ids := []bug.ID{}
	for id, on := range n.cfg.Bugs {
		if on {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// HTTPAddr is where clients connect.
func (n *Node) HTTPAddr() string { return n.listener.Addr().String() }

// PeerAddr is where datagrams of peers arrive.
func (n *Node) PeerAddr() string { return n.peerConn.LocalAddr().String() }

// shutdownTime is what open connections get to take their last answer.
const shutdownTime = time.Second

// Serve runs the node until the context ends, which is no error, or until a
// fault that it must not survive, such as the first error of the disk. It closes
// the node.
func (n *Node) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	run := func(name string, f func() error) {
		tasks.Go(func() {
			if err := f(); err != nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	web := n.httpServer()
	var fatal error // of the event loop; read after stopped is closed
	tasks.Go(func() {
		if fatal = n.loop(ctx); fatal != nil {
			cancel(fatal)
		}
		close(n.stopped)
	})
	run("peers", n.transport.receive)
	run("clients", func() error {
		if err := web.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	tasks.Go(func() { n.transport.resolve(ctx) })
	tasks.Go(func() { n.tellDrops(ctx) })
	if n.cfg.ClockFile != "" {
		file := n.clockFile()
		file.poll() // before the first request
		tasks.Go(func() { file.watch(ctx) })
	}
	if n.diskFile != nil {
		tasks.Go(func() { n.diskFile.watch(ctx) })
	}
	if err := n.writeReady(); err != nil {
		cancel(err)
	}
	<-ctx.Done()
	<-n.stopped
	cause := cmp.Or(fatal, context.Cause(ctx)) // a fault is told even when asked to stop
	n.shutdown(web)
	tasks.Wait()
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		cause = nil
	}
	if cause != nil {
		n.log.Error("target stops", "error", cause)
		return cause
	}
	n.log.Info("target stops")
	return nil
}

// shutdown lets handlers say their last word, then closes everything.
func (n *Node) shutdown(web *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		web.Close()
	}
	if err := n.close(); err != nil {
		n.log.Warn("close", "error", err)
	}
}

// close closes what is open.
func (n *Node) close() error {
	var errs []error
	if n.peerConn != nil {
		errs = append(errs, n.peerConn.Close())
	}
	if n.listener != nil {
		if err := n.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if n.wal != nil {
		errs = append(errs, n.wal.Close())
	}
	if n.unlock != nil {
		errs = append(errs, n.unlock())
	}
	return errors.Join(errs...)
}

func (n *Node) writeReady() error {
	if n.cfg.ReadyFile == "" {
		return nil
	}
	content, err := json.Marshal(Ready{
		HTTP: n.HTTPAddr(), Peer: n.PeerAddr(), PID: os.Getpid(),
	})
	if err != nil {
		return err
	}
	if err := writeAtomically(n.cfg.ReadyFile, append(content, '\n')); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// tellEvery is how often drops are summarized.
const tellEvery = 5 * time.Second

func (n *Node) tellDrops(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	drops := dropLog{counters: n.counters, told: map[drop]uint64{}}
	for {
		select {
		case <-ctx.Done():
			drops.tell(n.log)
			return
		case <-tick.C:
			drops.tell(n.log)
		}
	}
}

// nodeStatus is what /status answers.
type nodeStatus struct {
	protocol.Status
	Version  string            `json:"version"`
	Bugs     []bug.ID          `json:"bugs"`
	Volatile bool              `json:"volatile"`
	Clock    clockStatus       `json:"clock"`
	Counters map[string]uint64 `json:"counters"`
}

// clockStatus shows the node's clocks, so that a fault of the clock can be
// measured from outside.
type clockStatus struct {
	Wall time.Time `json:"wall"`
	// WallErrorNS is how far Wall is ahead of the machine's clock.
	WallErrorNS int64 `json:"wall_error_ns"`
	MonotonicNS int64 `json:"monotonic_ns"`
	// RunningNS is true monotonic time since the start; without faults
	// MonotonicNS is the same.
	RunningNS int64 `json:"running_ns"`
}

func (n *Node) currentStatus() nodeStatus {
	status := *cmp.Or(n.status.Load(), &protocol.Status{
		Node: n.cfg.ID, Protocol: n.cfg.Protocol, Epoch: n.epoch, Members: n.cfg.Members(),
	})
	return nodeStatus{
		Status: status, Version: n.cfg.Version, Bugs: n.plantedBugs(),
		Volatile: n.cfg.Volatile, Counters: n.counters.snapshot(n.disk.Counts()),
		Clock: clockStatus{
			Wall: n.clock.Wall(), WallErrorNS: int64(n.clock.WallError()),
			MonotonicNS: int64(n.clock.Mono()), RunningNS: int64(time.Since(n.started)),
		},
	}
}
