package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/agent"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// What a firewall cannot do (delays, copies, another order) is done by an agent on each
// node, to which the firewall hands packets as they leave: package agent says how. Cuts
// and losses stay where the packets arrive. A rule hands packets over only while a fault
// wants it; if the agent is gone, the kernel lets them through, and the run is told.

const (
	// agentQueue is the number of the queue, in the node's own network.
	agentQueue = 4713
	// agentLease is how long an agent lives without a word of the controller, and
	// agentWord how often it gets one.
	agentLease = time.Minute
	agentWord  = 10 * time.Second
	agentDir   = "agent"
)

// agentProgram is where the agent's program is on the node.
func (m *member) agentProgram() string { return agentIn(m.dir) }

// agentIn is the same below the node's own directory.
func agentIn(dir string) string { return dir + "/bin/checker" }

// agentCommand is a command to the node's queue agent.
func (m *member) agentCommand(verb string, more ...string) []string {
	return append([]string{
		m.agentProgram(), "agent", "queue", verb, "--dir", m.dir + "/" + agentDir,
	}, more...)
}

// startAgent puts the agent on the node and starts it.
func (c *Cluster) startAgent(ctx context.Context, m *member) error {
	if len(c.cfg.Agent) == 0 {
		return nil
	}
	file := File{Path: m.agentProgram(), Content: c.cfg.Agent, Mode: 0o755}
	if err := c.cfg.Shell.Upload(ctx, m.name, file); err != nil {
		return err
	}
	_, err := c.askAgent(ctx, m, Command{Argv: m.agentCommand("start",
		"--instance", c.cfg.Run, "--queue-num", fmt.Sprint(agentQueue),
		"--seed", fmt.Sprint(m.spec.Seed), "--lease", agentLease.String())})
	if err != nil {
		return fmt.Errorf("start the packet agent: %w", err)
	}
	return nil
}

// errAgent says that a node's agent does not live any more.
var errAgent = errors.New("the packet agent has ended")

// askAgent runs a command of the agent, all of which can be repeated, and takes in the
// counters of the status that it answers with.
func (c *Cluster) askAgent(
	ctx context.Context, m *member, command Command,
) (agent.Status, error) {
	var s agent.Status
	wait := attemptAgain
	for try := 1; ; try++ {
		out, err := Must(ctx, c.cfg.Shell, m.name, command)
		if err == nil {
			if err := json.Unmarshal(out, &s); err != nil {
				return s, fmt.Errorf("the packet agent said %q: %w", shorten(string(out)), err)
			}
			break
		}
		if !Unreachable(err) || try == attempts || !pause(ctx, wait) {
			return s, err
		}
		wait *= 2
	}
	if s.State != agent.Running || s.Instance != c.cfg.Run || s.Queue == nil {
		return s, fmt.Errorf("%w: %s %s", errAgent, s.State, s.Reason)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fine = s.Queue.Counters()
	return s, nil
}

// keepAgents gives all agents a word now and then, until the cluster closes.
func (c *Cluster) keepAgents() {
	defer c.watchers.Done()
	for pause(c.living, agentWord) {
		_ = c.readAgents(c.living) // a node that does not answer is no news
	}
}

// readAgents asks all agents for their counters. One that is gone is told of, once; the
// counters of its links stay as they were.
func (c *Cluster) readAgents(ctx context.Context) error {
	if len(c.cfg.Agent) == 0 {
		return nil
	}
	return c.each(c.nodes(), func(m *member) error {
		_, err := c.askAgent(ctx, m, Command{Argv: m.agentCommand("status")})
		if !errors.Is(err, errAgent) {
			return err
		}
		c.agentIsGone(m, err)
		return nil
	})
}

func (c *Cluster) trouble(what string) {
	c.cfg.Logger.Error("trouble", "what", what)
	if c.cfg.OnTrouble != nil {
		c.cfg.OnTrouble(what)
	}
}

// fineRules are the rules for the node's agent: the links that begin at the node, and
// the one that clients come by. All are listed always, so that all are counted.
func (w wall) fineRules(links map[nemesis.Link]nemesis.Rule) []agent.LinkRule {
	var rules []agent.LinkRule
	add := func(link nemesis.Link, matches []agent.Match) {
		r := links[link]
		r.Cut, r.Loss = false, 0
		rules = append(rules, agent.LinkRule{
			From: link.From, To: link.To, Match: matches, Rule: r,
		})
	}
	for _, p := range w.peers {
		var matches []agent.Match
		for _, a := range p.addrs {
			matches = append(matches, agent.Match{Direction: agent.Out, Peer: whole(a)})
		}
		add(nemesis.Link{From: w.node, To: p.node}, matches)
	}
	var in, out []agent.Match
	for _, a := range w.controls {
		match := agent.Match{
			Direction: agent.Out, Peer: whole(a), Protocol: "tcp", LocalPort: w.clientPort,
		}
		out = append(out, match)
		match.Direction = agent.In
		in = append(in, match)
	}
	add(nemesis.Link{From: w.node, To: nemesis.Clients}, out)
	add(nemesis.Link{From: nemesis.Clients, To: w.node}, in)
	return rules
}

func whole(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// handOver are the rules that hand packets to the agent, in the chains of mangle: an
// empty text where there is no agent.
func (w wall) handOver(t table, links map[nemesis.Link]nemesis.Rule) string {
	if !w.agent {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*mangle\n:%s - [0:0]\n:%s - [0:0]\n",
		w.chain+chainQueueOut, w.chain+chainQueueIn)
	b.WriteString(t.neighbors(w.chain + chainQueueOut))
	hand := func(chain, match string, of nemesis.Node) {
		fmt.Fprintf(&b, "-A %s%s -m mark ! --mark %#x -m comment --comment \"%s %s\" "+
			"-j NFQUEUE --queue-num %d --queue-bypass\n",
			w.chain+chain, match, agent.BypassMark, of, doesQueue, agentQueue)
	}
	for _, p := range w.peers {
		if !fine(links[nemesis.Link{From: w.node, To: p.node}]) {
			continue
		}
		for _, a := range p.addrs {
			if !t.has(a) {
				continue
			}
			fmt.Fprintf(&b, "-A %s -d %s -p udp --dport %d -j RETURN\n",
				w.chain+chainQueueOut, a, w.probePort)
			for _, m := range w.portMatches() {
				hand(chainQueueOut, " -d "+a.String()+m, p.node)
			}
		}
	}
	for _, a := range w.controls {
		if !t.has(a) {
			continue
		}
		if fine(links[nemesis.Link{From: w.node, To: nemesis.Clients}]) {
			hand(chainQueueOut, fmt.Sprintf(" -d %s -p tcp --sport %d", a, w.clientPort),
				nemesis.Clients)
		}
		if fine(links[nemesis.Link{From: nemesis.Clients, To: w.node}]) {
			hand(chainQueueIn, fmt.Sprintf(" -s %s -p tcp --dport %d", a, w.clientPort),
				nemesis.Clients)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// setAgent gives the node's agent its part of the rules. One that is gone is told of,
// and is no reason not to change the firewall.
func (c *Cluster) setAgent(
	ctx context.Context, m *member, links map[nemesis.Link]nemesis.Rule,
) error {
	m.generation++
	text, err := agent.Rules{
		Version: agent.ProtocolVersion, Generation: m.generation, Links: m.wall.fineRules(links),
	}.Encode()
	if err != nil {
		return err
	}
	_, err = c.askAgent(ctx, m, Command{Argv: m.agentCommand("set"), Stdin: text})
	if err != nil && !Unreachable(err) {
		c.agentIsGone(m, err)
		return nil
	}
	return err
}

// agentIsGone notes that a node's agent does nothing any more, and tells it once.
func (c *Cluster) agentIsGone(m *member, why error) {
	m.mu.Lock()
	first := !m.agentGone
	m.agentGone = true
	m.mu.Unlock()
	if first && c.living.Err() == nil {
		c.trouble(fmt.Sprintf("the packet agent on %s does nothing any more, and faults of "+
			"messages since then prove nothing: %v", m.name, why))
	}
}

// served returns an error if a rule wants an agent that is gone.
func (c *Cluster) served(rules map[nemesis.Link]nemesis.Rule) error {
	var errs []error
	for _, link := range sortedLinks(rules) {
		m := c.members[link.From]
		if m == nil {
			m = c.members[link.To]
		}
		m.mu.Lock()
		if m.agentGone && fine(rules[link]) {
			errs = append(errs, fmt.Errorf("link %s->%s: %w on %s", link.From, link.To, errAgent,
				m.name))
		}
		m.mu.Unlock()
	}
	return errors.Join(errs...)
}

// stopAgent ends the node's agent. Where there is none there is nothing to be done.
func (c *Cluster) stopAgent(ctx context.Context, m *member) error {
	if len(c.cfg.Agent) == 0 {
		return nil
	}
	script := fmt.Sprintf("if [ -d %s ]; then %s >/dev/null; fi\n",
		Quote(m.dir+"/"+agentDir), CommandLine(m.agentCommand("stop")))
	_, err := c.script(ctx, m, script)
	if err != nil {
		return fmt.Errorf("stop the packet agent: %w", err)
	}
	return nil
}

// fineCounters adds what the agents have counted.
func (c *Cluster) fineCounters(all map[nemesis.Link]nemesis.Counters) {
	for _, m := range c.members {
		m.mu.Lock()
		counted := maps.Clone(m.fine)
		m.mu.Unlock()
		for link, got := range counted {
			sum := all[link]
			// What passes, and what the rules lose, the firewall counts. What the agent
			// itself loses stood in a queue that was full.
			sum.Lost += got.Lost
			sum.Duplicated, sum.Corrupted = got.Duplicated, got.Corrupted
			sum.Reordered, sum.Delayed = got.Reordered, got.Delayed
			sum.Replayed, sum.Held, sum.Throttled = got.Replayed, got.Held, got.Throttled
			all[link] = sum
		}
	}
}
