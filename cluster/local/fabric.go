package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// fabric is the cluster's network: a relay for every link, the rules that the
// fault handles have put on them, and the prober.
type fabric struct {
	nodes  []nemesis.Node
	logger *slog.Logger
	sched  *scheduler
	prober *prober
	peers  map[nemesis.Link]*udpLink
	// clients holds each node's client relay.
	clients map[nemesis.Node]*tcpRelay

	mu      sync.Mutex
	handles map[nemesis.Handle]map[nemesis.Link]nemesis.Rule

	closeOnce sync.Once
	closeErr  error
}

// portPlan gives the fixed ports of a cluster with a base port, or 0 for any.
// From base upwards, with n nodes: n client endpoints, n HTTP ports, n peer ports
// and n*n relays of peer links.
type portPlan struct {
	base, n int
	// chosen, if there are any, are the nodes' own HTTP ports, then their peer ports.
	chosen []int
}

func (p portPlan) at(offset int) int {
	if p.base == 0 {
		return 0
	}
	return p.base + offset
}

// own is a port of the nodes themselves.
func (p portPlan) own(i int) int {
	if i < len(p.chosen) {
		return p.chosen[i]
	}
	return p.at(p.n + i)
}

func (p portPlan) endpoint(i int) int { return p.at(i) }
func (p portPlan) http(i int) int     { return p.own(i) }
func (p portPlan) peer(i int) int     { return p.own(p.n + i) }
func (p portPlan) link(a, b int) int  { return p.at(3*p.n + a*p.n + b) }
func (p portPlan) size() int          { return FixedPorts(p.n) }

// FixedPorts is how many ports a cluster of n nodes takes from its base port on:
// see Config.BasePort.
func FixedPorts(n int) int { return 3*n + n*n }

// newFabric opens all relays. They lead nowhere until retarget.
func newFabric(cfg Config) (_ *fabric, err error) {
	f := &fabric{
		nodes:   cfg.Nodes,
		logger:  cfg.Logger,
		sched:   newScheduler(),
		peers:   make(map[nemesis.Link]*udpLink),
		clients: make(map[nemesis.Node]*tcpRelay),
		handles: make(map[nemesis.Handle]map[nemesis.Link]nemesis.Rule),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if cfg.Attach != nil {
		return f, nil // no link is one of the fabric
	}
	if f.prober, err = newProber(); err != nil {
		return nil, err
	}
	ports := portPlan{base: cfg.BasePort, n: len(cfg.Nodes)}
	chunks := newChunkPool()
	for i, a := range cfg.Nodes {
		for j, b := range cfg.Nodes {
			if a == b || cfg.Assigned {
				continue
			}
			if err := f.openPeer(nemesis.Link{From: a, To: b}, ports.link(i, j), cfg.Seed); err != nil {
				return nil, err
			}
		}
		if err := f.openClient(a, ports.endpoint(i), cfg.Seed, chunks); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fabric) openPeer(link nemesis.Link, port int, seed uint64) error {
	conn, err := listenUDP(port)
	if err != nil {
		return portError(port, fmt.Sprintf("relay %s->%s", link.From, link.To), err)
	}
	l := &udpLink{
		link:   link,
		conn:   conn,
		rules:  newRuleCell(),
		sched:  f.sched,
		probes: f.prober,
		logger: f.logger,
		done:   make(chan struct{}),
		line:   impair.Line{Rand: impair.Rand(seed, link)},
	}
	f.peers[link] = l
	crash.Go(l.run)
	return nil
}

func (f *fabric) openClient(n nemesis.Node, port int, seed uint64, chunks *sync.Pool) error {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return portError(port, fmt.Sprintf("client endpoint of %s", n), err)
	}
	base := time.Now()
	side := func(from, to nemesis.Node) *direction {
		link := nemesis.Link{From: from, To: to}
		return &direction{
			link:  link,
			rules: newRuleCell(),
			base:  base,
			rng:   impair.Rand(seed, link),
		}
	}
	t := &tcpRelay{
		node:      n,
		listener:  listener,
		toNode:    side(nemesis.Clients, n),
		toClients: side(n, nemesis.Clients),
		logger:    f.logger,
		chunks:    chunks,
		closed:    make(chan struct{}),
		conns:     make(map[*relayed]struct{}),
		probes:    make(map[string]*tcpProbe),
	}
	f.clients[n] = t
	t.wg.Add(1)
	crash.Go(t.run)
	return nil
}

// portError says which port could not be had, and for what.
func portError(port int, what string, err error) error {
	if port == 0 {
		return fmt.Errorf("open %s: %w", what, err)
	}
	return fmt.Errorf("port %d (%s) is not free: %w", port, what, err)
}

// addresses is where a running node listens.
type addresses struct {
	http string
	peer netip.AddrPort
}

// retarget leads all links to n to its new addresses; nil when it is down.
func (f *fabric) retarget(n nemesis.Node, to *addresses) {
	for link, l := range f.peers {
		if link.To != n {
			continue
		}
		if to == nil {
			l.retarget(nil)
		} else {
			l.retarget(&to.peer)
		}
	}
	switch client := f.clients[n]; {
	case client == nil: // it is attached
	case to == nil:
		client.retarget(nil)
	default:
		client.retarget(&to.http)
	}
}

// peersOf returns what node n is told about the others: name to relay address.
func (f *fabric) peersOf(n nemesis.Node) map[nemesis.Node]string {
	peers := make(map[nemesis.Node]string, len(f.nodes)-1)
	for link, l := range f.peers {
		if link.From == n {
			peers[link.To] = l.addr()
		}
	}
	return peers
}

// cell returns the rule cell of a link, nil if there is no such link.
func (f *fabric) cell(link nemesis.Link) *ruleCell {
	if l := f.peers[link]; l != nil {
		return l.rules
	}
	if t := f.clients[link.To]; t != nil && link.From == nemesis.Clients {
		return t.toNode.rules
	}
	if t := f.clients[link.From]; t != nil && link.To == nemesis.Clients {
		return t.toClients.rules
	}
	return nil
}

// SetRules implements nemesis.Network. When it returns, the rules are in force
// for everything that the relays read from then on, and a cut also for what they
// hold back. What an earlier rule delayed still comes when it is due.
func (f *fabric) SetRules(
	ctx context.Context, handle nemesis.Handle, rules map[nemesis.Link]nemesis.Rule,
) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("set the rules of %q: %w", handle, err)
	}
	var errs []error
	for _, link := range sortedLinks(rules) {
		if f.cell(link) == nil {
			errs = append(errs, fmt.Errorf("no link %s->%s", link.From, link.To))
		}
		if err := impair.Check(rules[link]); err != nil {
			errs = append(errs, fmt.Errorf("link %s->%s: %w", link.From, link.To, err))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("set the rules of %q: %w", handle, errors.Join(errs...))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.handles[handle]
	f.handles[handle] = maps.Clone(rules)
	f.apply(old, rules)
	return nil
}

// Clear implements nemesis.Network.
func (f *fabric) Clear(_ context.Context, handle nemesis.Handle) error {
	// Whatever has become of the context: healing needs no time.
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.handles[handle]
	delete(f.handles, handle)
	f.apply(old)
	return nil
}

// apply puts the combined rules in force on all links of the given maps. f.mu is
// locked.
func (f *fabric) apply(changed ...map[nemesis.Link]nemesis.Rule) {
	for _, rules := range changed {
		for link := range rules {
			var all nemesis.Rule
			for _, of := range f.handles {
				all = impair.Combine(all, of[link])
			}
			if cell := f.cell(link); cell.get() != all {
				cell.set(all)
			}
		}
	}
}

// Counters implements nemesis.Network. On client links a message is a piece of
// the stream as it was read; Dropped counts the pieces and the connection
// attempts that a cut held up.
func (f *fabric) Counters(context.Context) (map[nemesis.Link]nemesis.Counters, error) {
	all := make(map[nemesis.Link]nemesis.Counters, len(f.peers)+2*len(f.clients))
	for link, l := range f.peers {
		all[link] = l.count.snapshot()
	}
	for _, t := range f.clients {
		all[t.toNode.link] = t.toNode.count.snapshot()
		all[t.toClients.link] = t.toClients.count.snapshot()
	}
	return all, nil
}

// Probe implements nemesis.Network: it probes all links at once. A probe tells
// of the link alone: a link to a node that is down or paused can be alive.
func (f *fabric) Probe(ctx context.Context) (map[nemesis.Link]bool, error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		alive = make(map[nemesis.Link]bool)
		errs  []error
	)
	report := func(err error, links map[nemesis.Link]bool) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, err)
			return
		}
		maps.Copy(alive, links)
	}
	for link, l := range f.peers {
		wg.Go(crash.Guard(func() {
			ok, err := f.prober.probeLink(ctx, l)
			report(err, map[nemesis.Link]bool{link: ok})
		}))
	}
	for _, t := range f.clients {
		wg.Go(crash.Guard(func() {
			toNode, toClients, err := t.probe(ctx)
			report(err, map[nemesis.Link]bool{
				t.toNode.link:    toNode,
				t.toClients.link: toClients,
			})
		}))
	}
	wg.Wait()
	return alive, errors.Join(errs...)
}

// close ends all relays. It may be called more than once.
func (f *fabric) close() error {
	f.closeOnce.Do(func() {
		var errs []error
		for _, t := range f.clients {
			errs = append(errs, t.close())
		}
		for _, l := range f.peers {
			errs = append(errs, l.close())
		}
		f.sched.close()
		if f.prober != nil {
			errs = append(errs, f.prober.close())
		}
		if err := errors.Join(errs...); err != nil {
			f.closeErr = fmt.Errorf("close the relays: %w", err)
		}
	})
	return f.closeErr
}

// sortedLinks returns the links of a map in a fixed order.
func sortedLinks[V any](m map[nemesis.Link]V) []nemesis.Link {
	return slices.SortedFunc(maps.Keys(m), func(a, b nemesis.Link) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}
