package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	readyPoll = 5 * time.Millisecond
	statePoll = time.Millisecond
	// tailBytes and tailLines bound how much of a log an error quotes.
	tailBytes = 32 << 10
	tailLines = 20
)

// errClosed says that the cluster has been closed.
var errClosed = errors.New("the cluster is closed")

// member is one node and its process.
type member struct {
	name   nemesis.Node
	dir    string
	spec   cluster.NodeSpec
	cfg    Config
	fabric *fabric
	ps     inspector
	logger *slog.Logger
	onExit func(cluster.Exit)
	// closing is closed when the cluster begins to close.
	closing <-chan struct{}
	// waiters counts the goroutines that wait for processes.
	waiters *sync.WaitGroup
	// lock serializes start, kill, pause, resume; a channel, so that a context can
	// end the waiting for it.
	lock chan struct{}

	mu     sync.Mutex
	proc   *process // nil when none runs
	starts int
	served bool // an assigned node has been ready once
	// others are its processes outside the group when it last got a signal. Under lock.
	others []int
}

// process is one run of a node.
type process struct {
	cmd   *exec.Cmd
	pid   int
	stdin *os.File // our end of its standard input; its end tells of our death
	out   *os.File // our end of its standard output, if it is attached

	// Guarded by member.mu.
	told bool       // that it must end
	addr *addresses // once it is ready

	done chan struct{} // closed when it is gone and all is noted
	// Valid after done.
	status string
}

func (m *member) logPath() string { return filepath.Join(m.dir, "node.log") }

// acquire takes the member's lock.
func (m *member) acquire(ctx context.Context) error {
	select {
	case m.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *member) release() { <-m.lock }

// current returns the running process, nil if there is none.
func (m *member) current() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// start starts the node unless it runs, and waits until it is ready.
func (m *member) start(ctx context.Context) error {
	if err := m.acquire(ctx); err != nil {
		return err
	}
	defer m.release()
	select {
	case <-m.closing:
		return errClosed
	default:
	}
	if running, err := m.runs(ctx); running || err != nil {
		return err
	}
	p, err := m.launch()
	if err != nil {
		return err
	}
	addr, err := m.awaitReady(ctx, p)
	if err == nil && m.admit(p, addr) {
		m.logger.Info("node is ready", "node", m.name, "pid", p.pid, "http", addr.http)
		return nil
	}
	if err == nil {
		err = fmt.Errorf("exited right after it was ready: %s", p.status)
	}
	// The tail is read after the process is gone, when its last words are there.
	killed := m.destroy(p)
	return errors.Join(fmt.Errorf("%w: %s (command and output: %s)", err,
		cluster.LastWords(m.tail()), m.logPath()), killed)
}

// runs reports whether the node runs and is meant to. One that was told to end is gone
// when it returns: whoever told it may not have had the time to wait for that.
func (m *member) runs(ctx context.Context) (bool, error) {
	m.mu.Lock()
	p := m.proc
	told := p != nil && p.told
	m.mu.Unlock()
	if !told {
		return p != nil, nil
	}
	select {
	case <-p.done:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("the end of pid %d: %w", p.pid, ctx.Err())
	}
}

// admit leads the links to the node's new addresses, unless it is gone again.
func (m *member) admit(p *process, addr *addresses) bool {
	m.mu.Lock()
	if m.proc == p {
		p.addr = addr
		m.fabric.retarget(m.name, addr)
		m.mu.Unlock()
		return true
	}
	m.mu.Unlock()
	<-p.done
	return false
}

// launch starts the node's process and has it recorded.
func (m *member) launch() (*process, error) {
	argv := m.cfg.Command(m.spec)
	if !carries(strings.Join(argv, " "), m.spec.DataDir) {
		return nil, fmt.Errorf("the command %q does not name the data directory %s",
			argv, m.spec.DataDir)
	}
	if err := os.MkdirAll(m.spec.DataDir, 0o755); err != nil {
		return nil, err
	}
	if !m.cfg.Assigned {
		err := os.Remove(m.spec.ReadyFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	m.starts++
	log, err := m.openLog(argv)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the node has its own descriptor
	if err := m.cfg.Ledger.ProcessStarting(m.name, m.spec.DataDir); err != nil {
		return nil, err
	}
	p, err := spawn(argv, log, m.cfg.Attach != nil)
	if err != nil {
		none := nemesis.ProcessRecord{Node: m.name, Marker: m.spec.DataDir}
		return nil, errors.Join(err, m.cfg.Ledger.ProcessEnded(none))
	}
	m.mu.Lock()
	m.proc = p
	m.mu.Unlock()
	m.waiters.Add(1)
	recorded := make(chan struct{})
	crash.Go(func() { m.wait(p, recorded) })
	err = m.cfg.Ledger.ProcessStarted(m.record(p))
	close(recorded)
	if err != nil {
		return nil, errors.Join(err, m.destroy(p))
	}
	return p, nil
}

// spawn starts a process in a process group of its own, so that a Ctrl-C in the
// terminal does not reach it, with a pipe as its standard input and, if it is to be
// attached, another as its standard output.
func spawn(argv []string, log *os.File, attached bool) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	p := &process{stdin: w, done: make(chan struct{})}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if attached {
		ours, its, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		defer func() { _ = its.Close() }()
		p.out, cmd.Stdout = ours, its
	}
	if err := cmd.Start(); err != nil {
		errs := []error{err, w.Close()}
		if attached {
			errs = append(errs, p.out.Close())
		}
		return nil, errors.Join(errs...)
	}
	p.cmd, p.pid = cmd, cmd.Process.Pid
	return p, nil
}

// openLog opens the node's log and writes a line that marks the new start.
func (m *member) openLog(argv []string) (*os.File, error) {
	log, err := os.OpenFile(m.logPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	header := cluster.StartHeader(m.starts, m.name, time.Now(), argv)
	if _, err := fmt.Fprintln(log, header); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

func (m *member) record(p *process) nemesis.ProcessRecord {
	return nemesis.ProcessRecord{Node: m.name, PID: p.pid, Marker: m.spec.DataDir}
}

// wait waits for the end of a process and notes it. The ledger hears of the end
// after it has heard of the start.
func (m *member) wait(p *process, recorded <-chan struct{}) {
	defer m.waiters.Done()
	_ = p.cmd.Wait() // the status says more than the error
	// Whatever the node has started dies with it.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	p.status = p.cmd.ProcessState.String()
	m.mu.Lock()
	m.proc = nil
	m.fabric.retarget(m.name, nil)
	told := p.told
	m.mu.Unlock()
	_ = p.stdin.Close()
	if !told {
		m.tellExit(p)
	}
	<-recorded
	if err := m.cfg.Ledger.ProcessEnded(m.record(p)); err != nil {
		m.logger.Error("record the end of a node", "node", m.name, "pid", p.pid, "err", err)
	}
	close(p.done)
}

// tellExit tells that a process has ended by itself, at once: a fault may wait for that,
// and the ledger's disk may be slow.
func (m *member) tellExit(p *process) {
	e := cluster.Exit{Node: m.name, PID: p.pid, Status: p.status, Log: m.tail()}
	e.LastWords = cluster.LastWords(e.Log)
	m.logger.Error("node exited by itself", "node", e.Node, "pid", e.PID, "status", e.Status)
	m.onExit(e)
}

// readyFile is what a node reports.
type readyFile struct {
	HTTP string `json:"http"`
	Peer string `json:"peer"`
}

// awaitAttached waits until an attached process says that it is ready.
func (m *member) awaitAttached(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.StartTimeout,
		fmt.Errorf("not ready within %v", m.cfg.StartTimeout))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	crash.Go(func() {
		select {
		case <-p.done:
			end(fmt.Errorf("exited before it was ready: %s", p.status))
		case <-m.closing:
			end(errClosed)
		case <-ctx.Done():
		}
	})
	return m.cfg.Attach(ctx, m.name, Pipes{In: p.stdin, Out: p.out, Gone: p.done})
}

// awaitReady waits for the ready file of a process.
func (m *member) awaitReady(ctx context.Context, p *process) (*addresses, error) {
	if m.cfg.Attach != nil {
		return &addresses{}, m.awaitAttached(ctx, p)
	}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	limit := time.NewTimer(m.cfg.StartTimeout)
	defer limit.Stop()
	for {
		addr, err := m.ready()
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return addr, err
		}
		select {
		case <-tick.C:
		case <-p.done:
			return nil, fmt.Errorf("exited before it was ready: %s", p.status)
		case <-limit.C:
			return nil, m.late()
		case <-m.closing:
			return nil, errClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("not ready yet: %w", ctx.Err())
		}
	}
}

// late says what a node has not done in time.
func (m *member) late() error {
	if m.cfg.Assigned {
		return fmt.Errorf("not ready within %v: nothing takes connections at %s",
			m.cfg.StartTimeout, m.spec.Bind)
	}
	return fmt.Errorf("not ready within %v", m.cfg.StartTimeout)
}

// ready returns the addresses of a node that is ready; fs.ErrNotExist if it is not.
func (m *member) ready() (*addresses, error) {
	if !m.cfg.Assigned {
		return readReady(m.spec.ReadyFile)
	}
	peer, err := netip.ParseAddrPort(m.spec.PeerBind)
	if err != nil {
		return nil, err
	}
	if m.served {
		return &addresses{http: m.spec.Bind, peer: peer}, nil
	}
	conn, err := net.DialTimeout("tcp", m.spec.Bind, dialTimeout)
	if err != nil {
		return nil, fs.ErrNotExist // it does not listen yet
	}
	m.served = true
	return &addresses{http: m.spec.Bind, peer: peer}, conn.Close()
}

func readReady(path string) (*addresses, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r readyFile
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("ready file %s: %w", path, err)
	}
	if _, err := netip.ParseAddrPort(r.HTTP); err != nil {
		return nil, fmt.Errorf("ready file %s: http: %w", path, err)
	}
	peer, err := netip.ParseAddrPort(r.Peer)
	if err != nil {
		return nil, fmt.Errorf("ready file %s: peer: %w", path, err)
	}
	return &addresses{http: r.HTTP, peer: peer}, nil
}

// signal signals the process group. A process that is gone is no error.
func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil // its group number may be somebody else's by now
	default:
	}
	err := syscall.Kill(-p.pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if errors.Is(err, syscall.EPERM) && p.cmd.Process.Signal(syscall.Signal(0)) != nil {
		return nil // macOS says so of a group of zombies
	}
	if err != nil {
		return fmt.Errorf("signal %v to process group %d: %w", sig, p.pid, err)
	}
	return nil
}

// end tells p to end with sig and waits until it is gone.
func (m *member) end(ctx context.Context, p *process, sig syscall.Signal) error {
	m.mu.Lock()
	p.told = true
	m.mu.Unlock()
	if m.cfg.Assigned && sig == syscall.SIGTERM {
		// The node's script ends the rest in the way that it was told.
		_ = p.cmd.Process.Signal(sig) // gone already is as good
	} else if err := m.signal(ctx, p, sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return m.othersGone(ctx)
	case <-ctx.Done():
		return fmt.Errorf("pid %d after %v: %w", p.pid, sig, ctx.Err())
	}
}

// destroy ends a process whose start has failed, however the start was ended.
func (m *member) destroy(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	return m.end(ctx, p, syscall.SIGKILL)
}

// kill ends the node with SIGKILL, paused or not, and waits until it is gone.
func (m *member) kill(ctx context.Context) error {
	if err := m.acquire(ctx); err != nil {
		return err
	}
	defer m.release()
	p := m.current()
	if p == nil {
		return nil
	}
	m.logger.Info("kill node", "node", m.name, "pid", p.pid)
	return m.end(ctx, p, syscall.SIGKILL)
}

// stop ends the node gently: it may end by itself within grace.
func (m *member) stop(ctx context.Context, grace time.Duration) error {
	if err := m.acquire(ctx); err != nil {
		return err
	}
	defer m.release()
	p := m.current()
	if p == nil {
		return nil
	}
	resumed := m.signal(ctx, p, syscall.SIGCONT)
	gentle, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if m.end(gentle, p, syscall.SIGTERM) == nil {
		return resumed
	}
	return errors.Join(resumed, m.end(ctx, p, syscall.SIGKILL))
}

// pause stops or continues the node and waits until it is so.
func (m *member) pause(ctx context.Context, stop bool) error {
	if err := m.acquire(ctx); err != nil {
		return err
	}
	defer m.release()
	p := m.current()
	if p == nil && stop {
		return cluster.ErrNotRunning
	}
	if p == nil {
		return nil
	}
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	if err := m.signal(ctx, p, sig); err != nil {
		return err
	}
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	for {
		is, err := m.stopped(ctx, p.pid, stop)
		switch {
		case errors.Is(err, errNoProcess) && !stop:
			return nil
		case errors.Is(err, errNoProcess):
			return cluster.ErrNotRunning
		case err != nil:
			return err
		case is == stop:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("pid %d after %v: %w", p.pid, sig, ctx.Err())
		}
	}
}

// state looks at the node's process.
func (m *member) state(ctx context.Context) (nemesis.ProcessState, error) {
	p := m.current()
	if p == nil {
		return nemesis.ProcessState{}, nil
	}
	stopped, err := m.ps.stopped(ctx, p.pid)
	if errors.Is(err, errNoProcess) {
		return nemesis.ProcessState{}, nil
	}
	if err != nil {
		return nemesis.ProcessState{}, err
	}
	return nemesis.ProcessState{PID: p.pid, Stopped: stopped}, nil
}

// tail returns the last lines of the node's log.
func (m *member) tail() string {
	f, err := os.Open(m.logPath())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-tailBytes), io.SeekStart)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := slices.Collect(strings.Lines(string(data)))
	return strings.Join(lines[max(0, len(lines)-tailLines):], "")
}
