package remote

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// The kinds of what a cluster makes on a node, beside processes, as the ledger has them.
const (
	resourceDirectory = "directory"
	resourceChains    = "chains"
)

const (
	// closeLimit bounds Close, whatever the context of its caller says.
	closeLimit = 25 * time.Second
	// attempts is how often an idempotent script is tried in a row when the node did not
	// answer, and attemptAgain the wait after the first try; it doubles.
	attempts     = 3
	attemptAgain = 200 * time.Millisecond
)

// Cluster is a running cluster. Its methods may be called from any goroutine.
type Cluster struct {
	cfg     Config
	members map[nemesis.Node]*member
	answers *answers

	// living ends when the cluster begins to close.
	living   context.Context
	die      context.CancelFunc
	watchers sync.WaitGroup

	probing chan struct{} // one probe at a time

	mu      sync.Mutex
	handles map[nemesis.Handle]map[nemesis.Link]nemesis.Rule

	closeOnce sync.Once
	closeErr  error
}

// member is one node.
type member struct {
	name nemesis.Node
	host Host
	dir  string // on the node
	spec cluster.NodeSpec
	six  bool // its IPv6 can be filtered
	// faketime is where libfaketime is on the host; "": the program does without.
	faketime string
	// bashless is why its bash does not send probes, so that the agent does; "": it does.
	bashless string
	wall     wall
	starts   int // under lock
	// generation counts the changes of the agent's rules; under rules.
	generation int64

	// lock serializes start, kill, pause, resume; rules what is done to the firewall.
	// Channels, so that a context can end the waiting.
	lock, rules chan struct{}

	mu      sync.Mutex
	pid     int // 0: it does not run, as far as we know
	told    int // the pid that was told to end
	applied *string
	counts  tallies
	// fine are the agent's counters as they were last seen.
	fine      map[nemesis.Link]nemesis.Counters
	agentGone bool
}

var (
	_ nemesis.Network   = (*Cluster)(nil)
	_ nemesis.Processes = (*Cluster)(nil)
	_ Ledger            = (*nemesis.Ledger)(nil)
)

// Start prepares the hosts and starts all nodes, and returns when all are ready. If
// something fails, the error says on which node, and what has been made is taken away
// again. The cluster lives until Close; ctx is for starting only.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("remote cluster: %w", err)
	}
	c := &Cluster{
		cfg: cfg.withDefaults(), members: map[nemesis.Node]*member{},
		handles: map[nemesis.Handle]map[nemesis.Link]nemesis.Rule{},
		probing: make(chan struct{}, 1),
	}
	c.living, c.die = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if c.answers, err = listenForAnswers(); err != nil {
		return nil, fmt.Errorf("remote cluster: %w", err)
	}
	for i := range c.cfg.Hosts {
		c.addMember(i)
	}
	if err = c.prepare(ctx); err == nil {
		err = c.each(c.nodes(), func(m *member) error { return c.start(ctx, m) })
	}
	if err != nil {
		return nil, fmt.Errorf("remote cluster: %w", errors.Join(err, c.Close(ctx)))
	}
	if len(c.cfg.Agent) > 0 {
		c.watchers.Add(1)
		crash.Go(c.keepAgents)
	}
	return c, nil
}

func (c *Cluster) addMember(i int) {
	h := c.cfg.Hosts[i]
	dir := c.cfg.directory(h.Node)
	peers := map[nemesis.Node]string{}
	var members []cluster.Member
	for _, other := range c.cfg.Hosts {
		members = append(members, cluster.Member{
			Name: other.Node, Client: join(other.Addrs[0], c.cfg.ClientPort),
			Peer: join(other.Addrs[0], c.cfg.PeerPort),
		})
		if other.Node != h.Node {
			peers[other.Node] = join(other.Addrs[0], c.cfg.PeerPort)
		}
	}
	link := nemesis.Link{From: h.Node, To: h.Node}
	m := &member{
		name: h.Node, host: h, dir: dir, counts: tallies{},
		lock: make(chan struct{}, 1), rules: make(chan struct{}, 1),
		spec: cluster.NodeSpec{
			Name: h.Node, DataDir: dir + "/" + dataDir, ReadyFile: dir + "/ready.json",
			ClockFile: dir + "/clock", DiskFile: dir + "/disk",
			Bind: h.bind(c.cfg.ClientPort), PeerBind: h.bind(c.cfg.PeerPort), Peers: peers,
			Seed: impair.Rand(c.cfg.Seed, link).Uint64(), Members: members,
		},
	}
	if len(c.cfg.Files) > 0 {
		m.spec.Files = dir + "/files"
	}
	if len(c.cfg.Program) > 0 {
		m.spec.Program = dir + "/bin/target"
	}
	c.members[h.Node] = m
}

// bind is where a node's process listens at that port.
func (h Host) bind(port uint16) string {
	p := strconv.Itoa(int(port))
	switch {
	case h.Bind != "":
		return h.Bind + ":" + p
	case h.Addrs[0].Is4():
		return "0.0.0.0:" + p
	default:
		return "[::]:" + p
	}
}

func join(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// nodes returns the nodes in the configured order.
func (c *Cluster) nodes() []nemesis.Node {
	nodes := make([]nemesis.Node, len(c.cfg.Hosts))
	for i, h := range c.cfg.Hosts {
		nodes[i] = h.Node
	}
	return nodes
}

// each does something to several nodes at the same time; the errors name the nodes.
func (c *Cluster) each(nodes []nemesis.Node, do func(*member) error) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(crash.Guard(func() {
			if err := do(c.members[n]); err != nil {
				errs[i] = fmt.Errorf("node %s: %w", n, err)
			}
		}))
	}
	wg.Wait()
	return errors.Join(errs...)
}

// prepare makes everything on the hosts that nodes and faults need.
func (c *Cluster) prepare(ctx context.Context) error {
	var mu sync.Mutex
	own := map[nemesis.Node][]netip.Addr{}
	err := c.each(c.nodes(), func(m *member) error {
		if err := c.cfg.Ledger.ResourceMaking(m.directory()); err != nil {
			return err
		}
		out, err := c.script(ctx, m, prepareScript(m.dir))
		if err != nil {
			return err
		}
		if err := missingTools(out); err != nil {
			return err
		}
		if err := c.choose(m, out); err != nil {
			return err
		}
		m.six = hasLine(out, "ip6tables")
		if err := c.prepareFaketime(ctx, m); err != nil {
			return err
		}
		if len(c.cfg.Program) > 0 {
			file := File{Path: m.spec.Program, Content: c.cfg.Program, Mode: 0o755}
			if err := c.cfg.Shell.Upload(ctx, m.name, file); err != nil {
				return err
			}
		}
		for _, f := range c.cfg.Files {
			f.Path = m.spec.Files + "/" + f.Path
			if err := c.cfg.Shell.Upload(ctx, m.name, f); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		own[m.name] = parseAddresses(out)
		return nil
	})
	if err != nil {
		return err
	}
	all := allAddresses(c.cfg.Hosts, own, c.cfg.Controls)
	return c.each(c.nodes(), func(m *member) error {
		m.wall = wall{
			chain: c.cfg.chain(), node: m.name, controls: c.cfg.Controls, ports: c.cfg.Ports,
			agent:      len(c.cfg.Agent) > 0,
			clientPort: c.cfg.ClientPort, probePort: c.cfg.ProbePort, answerPort: c.answers.port,
			peers: slices.DeleteFunc(slices.Clone(all), func(p peer) bool { return p.node == m.name }),
		}
		if err := c.cfg.Ledger.ResourceMaking(m.chains()); err != nil {
			return err
		}
		if _, err := c.script(ctx, m, m.wall.raiseScript(m.six)); err != nil {
			return err
		}
		if err := c.startAgent(ctx, m); err != nil {
			return err
		}
		return c.groupMemory(ctx, m)
	})
}

func (m *member) directory() nemesis.Resource {
	return nemesis.Resource{Node: m.name, Kind: resourceDirectory, Name: m.dir}
}

func (m *member) chains() nemesis.Resource {
	return nemesis.Resource{Node: m.name, Kind: resourceChains, Name: m.wall.chain}
}

// script runs an idempotent script on a node, again if the node did not answer.
func (c *Cluster) script(ctx context.Context, m *member, text string) (string, error) {
	return persist(ctx, c.cfg.Shell, m.name, text)
}

// persist runs an idempotent script, and again, with growing waits, when the transport
// failed.
func persist(ctx context.Context, shell Shell, n nemesis.Node, text string) (string, error) {
	wait := attemptAgain
	for try := 1; ; try++ {
		out, err := sh(ctx, shell, n, text)
		if err == nil || !Unreachable(err) || try == attempts || !pause(ctx, wait) {
			return out, err
		}
		wait *= 2
	}
}

// pause waits and reports whether ctx is alive at the end.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// take takes a lock that a context can end the waiting for.
func take(ctx context.Context, lock chan struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Nodes returns the nodes in the configured order.
func (c *Cluster) Nodes() []nemesis.Node { return c.nodes() }

// Endpoint returns the host:port at which clients reach the node, "" for an unknown one.
func (c *Cluster) Endpoint(n nemesis.Node) string {
	if m := c.members[n]; m != nil {
		return join(m.host.Addrs[0], c.cfg.ClientPort)
	}
	return ""
}

// DirectEndpoint returns the host:port at which the controller asks the node itself, ""
// while the node is down. It lies past all faults of the network if the host has a
// Direct address.
func (c *Cluster) DirectEndpoint(n nemesis.Node) string {
	m := c.members[n]
	if m == nil || m.running() == 0 {
		return ""
	}
	if m.host.Direct.IsValid() {
		return join(m.host.Direct, c.cfg.ClientPort)
	}
	return c.Endpoint(n)
}

// do runs f on a member and says in the error what was done to whom.
func (c *Cluster) do(what string, n nemesis.Node, f func(*member) error) error {
	m := c.members[n]
	if m == nil {
		return fmt.Errorf("%s %s: no such node", what, n)
	}
	if err := f(m); err != nil {
		return fmt.Errorf("%s %s: %w", what, n, err)
	}
	return nil
}

// Close ends all nodes (resumed, then SIGTERM, then SIGKILL after the grace), fetches
// their logs, and takes away all that was made on the hosts. What it could not take
// away, because a node does not answer, stays in the ledger for Heal. It has a limit of
// its own and is not hastened by the end of ctx. Later calls return what the first did.
func (c *Cluster) Close(ctx context.Context) error {
	c.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		err := c.each(c.nodes(), func(m *member) error { return c.closeMember(ctx, m) })
		c.die()
		c.watchers.Wait()
		if err := errors.Join(err, c.answers.close()); err != nil {
			c.closeErr = fmt.Errorf("close the cluster: %w", err)
		}
	})
	return c.closeErr
}

// closeMember goes on after an error: what can be taken away is.
func (c *Cluster) closeMember(ctx context.Context, m *member) error {
	thawed := c.thaw(ctx, m)
	stopped := c.stop(ctx, m)
	fetched := errors.Join(fetchLog(ctx, c.cfg.Shell, m.name, m.dir, c.cfg.Dir), c.fetchLogs(ctx, m))
	quiet := c.stopAgent(ctx, m)
	errs := []error{thawed, stopped, fetched, quiet}
	if m.wall.chain != "" {
		errs = append(errs, c.discard(ctx, m, razeScript(m.wall.chain), m.chains()))
	}
	if stopped == nil && quiet == nil {
		// Nobody works in it any more.
		if _, err := c.script(ctx, m, mendScript(m.dir)); err != nil {
			return errors.Join(append(errs, fmt.Errorf("take back what was done to it: %w", err))...)
		}
		errs = append(errs, c.discard(ctx, m, removeScript(m.dir), m.directory()))
	}
	return errors.Join(errs...)
}

// thaw takes back what would keep the node from being stopped.
func (c *Cluster) thaw(ctx context.Context, m *member) error {
	if len(c.cfg.Agent) == 0 {
		return nil
	}
	if _, err := c.script(ctx, m, thawScript(m.dir)); err != nil {
		return fmt.Errorf("thaw its volume: %w", err)
	}
	return nil
}

// discard takes a resource away and tells the ledger.
func (c *Cluster) discard(
	ctx context.Context, m *member, script string, r nemesis.Resource,
) error {
	if _, err := c.script(ctx, m, script); err != nil {
		return fmt.Errorf("remove %s: %w", r, err)
	}
	return c.cfg.Ledger.ResourceGone(r)
}
