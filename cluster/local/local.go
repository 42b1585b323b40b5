// Package local runs a cluster as processes of one machine, without root, and
// stands between them: every node reaches every other, and every client every
// node, only through a relay that belongs to the harness.
//
// There is one relay for each directed link. A datagram relay for each ordered
// pair of nodes is what the first is told as the second's address, so that a
// one-way cut is simply a relay that drops; because the unit is a datagram, loss,
// duplication, reordering and late replay are those of messages. A stream relay
// for each node is its address for clients, which stays the same while the node
// is killed and comes back on another port.
//
// Faults of processes are signals. Each node is a process group of its own with
// a pipe as its standard input, so that it can notice the death of the harness;
// what is left behind all the same (a paused node notices nothing) is found
// through the ledger and ended by Heal.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// What is in the directory of a node, beside its log.
const (
	dataDirName = "data"
	clockFile   = "clock"
	diskFile    = "disk"
)

// closeLimit bounds Close, whatever the context of its caller says.
const closeLimit = 15 * time.Second

// Cluster is a running cluster. Its methods may be called from any goroutine.
type Cluster struct {
	*fabric
	cfg     Config
	members map[nemesis.Node]*member
	closing chan struct{}
	waiters sync.WaitGroup

	closeOnce sync.Once
	closeErr  error

	mu    sync.Mutex
	exits []cluster.Exit
}

var (
	_ nemesis.Network    = (*Cluster)(nil)
	_ nemesis.Processes  = (*Cluster)(nil)
	_ cluster.ProcessLog = (*nemesis.Ledger)(nil)
)

// Start starts all nodes and returns when all are ready. If one does not become
// ready, the error names it, its command and the end of its log, and nothing is
// left running. The cluster lives until Close; ctx is for starting only.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	fabric, err := newFabric(cfg)
	if err != nil {
		return nil, fmt.Errorf("local cluster: %w", err)
	}
	c := &Cluster{
		fabric:  fabric,
		cfg:     cfg,
		members: make(map[nemesis.Node]*member),
		closing: make(chan struct{}),
	}
	err = c.addMembers()
	if err == nil {
		err = c.startAll(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("local cluster: %w", errors.Join(err, c.Close(ctx)))
	}
	return c, nil
}

// addMembers prepares directories and fixed ports of all nodes.
func (c *Cluster) addMembers() error {
	ports := portPlan{base: c.cfg.BasePort, n: len(c.cfg.Nodes)}
	if c.cfg.Assigned && c.cfg.Attach == nil && c.cfg.BasePort == 0 {
		var err error
		if ports.chosen, err = unusedPorts(2 * len(c.cfg.Nodes)); err != nil {
			return err
		}
	}
	var members []cluster.Member
	for i, n := range c.cfg.Nodes {
		if c.cfg.Assigned {
			members = append(members, cluster.Member{
				Name: n, Client: loopback(ports.http(i)), Peer: loopback(ports.peer(i)),
			})
		}
	}
	ps := newInspector()
	for i, n := range c.cfg.Nodes {
		if ports.chosen == nil { // else they have just been looked at
			if err := checkPorts(n, ports.http(i), ports.peer(i)); err != nil {
				return err
			}
		}
		dir := filepath.Join(c.cfg.Dir, "nodes", string(n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		ready := filepath.Join(dir, "ready.json")
		if c.cfg.Assigned {
			ready = "" // it says nothing
		}
		c.members[n] = &member{
			name: n,
			dir:  dir,
			spec: cluster.NodeSpec{
				Name:      n,
				DataDir:   filepath.Join(dir, dataDirName),
				Bind:      loopback(ports.http(i)),
				PeerBind:  loopback(ports.peer(i)),
				Peers:     c.peersOf(n),
				ReadyFile: ready,
				Seed:      impair.Rand(c.cfg.Seed, nemesis.Link{From: n, To: n}).Uint64(),
				ClockFile: filepath.Join(dir, clockFile),
				DiskFile:  filepath.Join(dir, diskFile),
				Tethered:  true,
				Members:   members,
				Files:     c.cfg.Files,
			},
			cfg:     c.cfg,
			fabric:  c.fabric,
			ps:      ps,
			logger:  c.cfg.Logger,
			onExit:  c.exited,
			closing: c.closing,
			waiters: &c.waiters,
			lock:    make(chan struct{}, 1),
		}
	}
	return nil
}

// unusedPorts finds ports that nobody uses at this moment, neither for connections nor for
// datagrams. They are not kept: whoever is told to listen there has to.
func unusedPorts(n int) (ports []int, err error) {
	for range portTries * n {
		l, lerr := net.Listen("tcp4", loopback(0))
		if lerr != nil {
			return nil, errors.Join(err, lerr)
		}
		// All stay open until the last is found, so that none is found twice.
		defer func() { err = errors.Join(err, l.Close()) }()
		port := l.Addr().(*net.TCPAddr).Port
		conn, lerr := net.ListenPacket("udp4", loopback(port))
		if lerr != nil {
			continue // somebody has it for datagrams
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d ports are free", n)
}

// portTries is how many ports are looked at, at most, for each that is wanted.
const portTries = 20

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// checkPorts finds out whether a node will be able to bind its fixed ports.
func checkPorts(n nemesis.Node, http, peer int) error {
	if http == 0 {
		return nil
	}
	listener, err := net.Listen("tcp4", loopback(http))
	if err != nil {
		return portError(http, fmt.Sprintf("HTTP of %s", n), err)
	}
	conn, err := net.ListenPacket("udp4", loopback(peer))
	if err != nil {
		return errors.Join(portError(peer, fmt.Sprintf("peers of %s", n), err), listener.Close())
	}
	return errors.Join(listener.Close(), conn.Close())
}

// startAll starts all nodes at once and gives up at the first that fails.
func (c *Cluster) startAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := make(chan error, len(c.members))
	var wg sync.WaitGroup
	for _, n := range c.cfg.Nodes {
		wg.Go(crash.Guard(func() {
			if err := c.Start(ctx, n); err != nil {
				first <- err
				cancel()
			}
		}))
	}
	wg.Wait()
	select {
	case err := <-first:
		return err
	default:
		return nil
	}
}

// exited notes a node's unexpected end.
func (c *Cluster) exited(e cluster.Exit) {
	c.mu.Lock()
	c.exits = append(c.exits, e)
	c.mu.Unlock()
	if c.cfg.OnExit != nil {
		c.cfg.OnExit(e)
	}
}

// Nodes returns the nodes in the configured order.
func (c *Cluster) Nodes() []nemesis.Node { return slices.Clone(c.cfg.Nodes) }

// Endpoint returns the host:port at which clients reach the node, "" for an
// unknown node. It stays the same for the life of the cluster.
func (c *Cluster) Endpoint(n nemesis.Node) string {
	if t := c.clients[n]; t != nil {
		return t.addr()
	}
	return ""
}

// DirectEndpoint returns the host:port of the node itself, past all faults of
// the network, for status and health checks. It is "" while the node is down and
// changes when it restarts.
func (c *Cluster) DirectEndpoint(n nemesis.Node) string {
	m := c.members[n]
	if m == nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil || m.proc.addr == nil {
		return ""
	}
	return m.proc.addr.http
}

// LogPath returns the file with the node's output of all its starts, "" for an
// unknown node.
func (c *Cluster) LogPath(n nemesis.Node) string {
	if m := c.members[n]; m != nil {
		return m.logPath()
	}
	return ""
}

// ClockPath returns the file through which the node's clock can be bent, "" for
// an unknown node.
func (c *Cluster) ClockPath(n nemesis.Node) string {
	if m := c.members[n]; m != nil {
		return m.spec.ClockFile
	}
	return ""
}

// Exits returns every end of a node that nobody asked for, oldest first. Such a
// node stays down until Start.
func (c *Cluster) Exits() []cluster.Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.exits)
}

// member returns the node's member or an error that says what was wanted of it.
func (c *Cluster) member(what string, n nemesis.Node) (*member, error) {
	if m := c.members[n]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%s %s: no such node", what, n)
}

// do runs f on a member and says in the error what was done to whom.
func (c *Cluster) do(what string, n nemesis.Node, f func(*member) error) error {
	m, err := c.member(what, n)
	if err != nil {
		return err
	}
	if err := f(m); err != nil {
		return fmt.Errorf("%s %s: %w", what, n, err)
	}
	return nil
}

// Start implements nemesis.Processes: it starts the node on its old data and
// returns when it is ready. A node that runs is left alone, also if it is paused.
func (c *Cluster) Start(ctx context.Context, n nemesis.Node) error {
	return c.do("start", n, func(m *member) error { return m.start(ctx) })
}

// Kill implements nemesis.Processes with SIGKILL to the node's process group. It
// returns when the process is gone.
func (c *Cluster) Kill(ctx context.Context, n nemesis.Node) error {
	return c.do("kill", n, func(m *member) error { return m.kill(ctx) })
}

// Pause implements nemesis.Processes with SIGSTOP. It returns when all threads
// have been seen stopped; ErrNotRunning if the node is down.
func (c *Cluster) Pause(ctx context.Context, n nemesis.Node) error {
	return c.do("pause", n, func(m *member) error { return m.pause(ctx, true) })
}

// Resume implements nemesis.Processes with SIGCONT. It returns when the node has
// been seen not to be stopped. A node that is down is left alone.
func (c *Cluster) Resume(ctx context.Context, n nemesis.Node) error {
	return c.do("resume", n, func(m *member) error { return m.pause(ctx, false) })
}

// State implements nemesis.Processes by looking at the process, not at what was
// last done to it.
func (c *Cluster) State(ctx context.Context, n nemesis.Node) (nemesis.ProcessState, error) {
	m, err := c.member("state of", n)
	if err != nil {
		return nemesis.ProcessState{}, err
	}
	s, err := m.state(ctx)
	if err != nil {
		return s, fmt.Errorf("state of %s: %w", n, err)
	}
	return s, nil
}

// Close ends all nodes (resumed, then SIGTERM, then SIGKILL after the grace) and
// all relays. It does not return before they are gone or its own limit of 15 s
// has passed: the end of ctx does not hasten it, because a test that was
// interrupted is exactly the one that must not leave anything behind. Later
// calls return what the first did.
func (c *Cluster) Close(ctx context.Context) error {
	c.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		close(c.closing)
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			errs []error
		)
		for _, m := range c.members {
			wg.Go(crash.Guard(func() {
				if err := m.stop(ctx, c.cfg.Grace); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, fmt.Errorf("stop %s: %w", m.name, err))
				}
			}))
		}
		wg.Wait()
		if len(errs) == 0 {
			// Otherwise a process that cannot be ended would be waited for, too.
			c.waiters.Wait()
		}
		errs = append(errs, c.close(), c.keepLogs())
		if err := errors.Join(errs...); err != nil {
			c.closeErr = fmt.Errorf("close the cluster: %w", err)
		}
	})
	return c.closeErr
}
