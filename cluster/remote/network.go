package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// SetRules implements nemesis.Network. When it returns, the rules are in force.
func (c *Cluster) SetRules(
	ctx context.Context, handle nemesis.Handle, rules map[nemesis.Link]nemesis.Rule,
) error {
	var errs []error
	for _, link := range sortedLinks(rules) {
		if err := c.checkLink(link, rules[link]); err != nil {
			errs = append(errs, fmt.Errorf("link %s->%s: %w", link.From, link.To, err))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("set the rules of %q: %w", handle, errors.Join(errs...))
	}
	c.mu.Lock()
	c.handles[handle] = maps.Clone(rules)
	c.mu.Unlock()
	if err := errors.Join(c.apply(ctx), c.served(rules)); err != nil {
		return fmt.Errorf("set the rules of %q: %w", handle, err)
	}
	return nil
}

// Clear implements nemesis.Network. After an error the handle's rules may still be in
// force on the nodes that it names; the next Clear tries again.
func (c *Cluster) Clear(ctx context.Context, handle nemesis.Handle) error {
	c.mu.Lock()
	delete(c.handles, handle)
	c.mu.Unlock()
	if err := c.apply(ctx); err != nil {
		return fmt.Errorf("clear the rules of %q: %w", handle, err)
	}
	return nil
}

func (c *Cluster) checkLink(link nemesis.Link, r nemesis.Rule) error {
	ends := 0
	for _, n := range []nemesis.Node{link.From, link.To} {
		if c.members[n] != nil {
			ends += 2
		} else if n == nemesis.Clients {
			ends++
		}
	}
	if ends < 3 || link.From == link.To {
		return errors.New("there is no such link")
	}
	if fine(r) && len(c.cfg.Agent) == 0 {
		return errors.New("without an agent only cut and loss can be done")
	}
	return impair.Check(r)
}

// fine reports whether the rule asks for more than a firewall can do.
func fine(r nemesis.Rule) bool {
	r.Cut, r.Loss = false, 0
	return r != nemesis.Rule{
		ReplayMin: r.ReplayMin, ReplayMax: r.ReplayMax, HoldMin: r.HoldMin, HoldMax: r.HoldMax,
	}
}

// wanted returns what all handles together want.
func (c *Cluster) wanted() map[nemesis.Link]nemesis.Rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[nemesis.Link]nemesis.Rule{}
	for _, rules := range c.handles {
		for link, r := range rules {
			all[link] = impair.Combine(all[link], r)
		}
	}
	return all
}

// apply brings all nodes to what is wanted. Nodes that have it are left alone.
func (c *Cluster) apply(ctx context.Context) error {
	return c.each(c.nodes(), func(m *member) error {
		if err := take(ctx, m.rules); err != nil {
			return err
		}
		defer func() { <-m.rules }()
		// Looked at under the node's lock: the latest wish wins.
		links := c.wanted()
		next := m.wall.wish(m.six, links)
		m.mu.Lock()
		same := m.applied != nil && *m.applied == next
		m.applied = nil // until it is known
		m.mu.Unlock()
		if !same {
			if m.wall.agent {
				if err := c.setAgent(ctx, m, links); err != nil {
					return err
				}
			}
			out, err := c.script(ctx, m, m.wall.setScript(m.six, links))
			if err != nil {
				return err
			}
			if err := m.count(out, true); err != nil {
				return err
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.applied = &next
		return nil
	})
}

// count takes in a listing of the node's rules.
func (m *member) count(out string, replaced bool) error {
	listing, err := m.wall.parseListing(out)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.see(listing, replaced)
	return nil
}

// list reads the counters of all nodes' rules.
func (c *Cluster) list(ctx context.Context) error {
	return c.each(c.nodes(), func(m *member) error {
		if err := take(ctx, m.rules); err != nil {
			return err
		}
		defer func() { <-m.rules }()
		out, err := c.script(ctx, m, m.wall.listScript(m.six))
		if err != nil {
			return err
		}
		return m.count(out, false)
	})
}

// Counters implements nemesis.Network: packets, as the firewalls count them. Passed is
// counted only while the link has a rule.
func (c *Cluster) Counters(ctx context.Context) (map[nemesis.Link]nemesis.Counters, error) {
	if err := c.list(ctx); err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	if err := c.readAgents(ctx); err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	all := map[nemesis.Link]nemesis.Counters{}
	for _, link := range c.links() {
		all[link] = nemesis.Counters{
			Passed: c.counted(link, doesPass), Dropped: c.counted(link, doesCut),
			Lost: c.counted(link, doesLoss),
		}
	}
	c.fineCounters(all)
	return all, nil
}

// counted is a counter of a link, which is the firewall's of the node at its end, or of
// the one at its beginning if clients are at its end.
func (c *Cluster) counted(link nemesis.Link, does string) int64 {
	m := c.members[link.To]
	if m == nil {
		m = c.members[link.From]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts.get(link, does)
}

// links returns all links in a fixed order.
func (c *Cluster) links() []nemesis.Link {
	ends := append(c.nodes(), nemesis.Clients)
	var links []nemesis.Link
	for _, from := range ends {
		for _, to := range ends {
			if from != to {
				links = append(links, nemesis.Link{From: from, To: to})
			}
		}
	}
	return links
}

// sortedLinks returns the links of a map in a fixed order.
func sortedLinks[V any](m map[nemesis.Link]V) []nemesis.Link {
	return slices.SortedFunc(maps.Keys(m), func(a, b nemesis.Link) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}
