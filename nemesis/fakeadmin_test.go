package nemesis

import (
	"context"
	"errors"
	"slices"
	"time"
)

// fakeAdmin is what a fake system tells of itself.
type fakeAdmin struct {
	members []Node
	shards  []Node
	// mum does what it is told to do and does not say so.
	mum bool
	// behind has not heard that a member was added, before the time.
	behind Node
	until  time.Time
}

func allOrders() []AdminF { return []AdminF{AdminTransfer, AdminRemove, AdminAdd, AdminMove} }

func (c *fakeCluster) Order(ctx context.Context, at Node, o AdminOrder) error {
	if err := c.command(ctx, 5*time.Millisecond, "tell "+string(at)+": "+o.String()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch a := &c.admin; {
	case at != c.leader:
		return errors.New("does not lead")
	case c.procs[o.Node].PID == 0 && o.F == AdminTransfer:
		return errors.New("does not run")
	case c.toothless:
	case o.F == AdminTransfer:
		c.leader = o.Node
	case o.F == AdminRemove:
		a.members = others(a.members, []Node{o.Node})
		if c.leader == o.Node {
			c.leader = a.members[0]
		}
	case o.F == AdminAdd && !slices.Contains(a.members, o.Node):
		a.members = append(a.members, o.Node)
	case o.F == AdminMove:
		a.shards[o.Shard] = o.Node
	}
	if c.admin.mum {
		return errors.New("no answer in time")
	}
	return nil
}

func (c *fakeCluster) Views(ctx context.Context) map[Node]View {
	known, err := c.primaries(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[Node]View{}
	for _, n := range c.nodes {
		if s := c.procs[n]; err == nil && s.PID != 0 && !s.Stopped {
			out[n] = View{
				Primary: slices.Contains(known, n), Members: slices.Clone(c.admin.members),
				Shards: slices.Clone(c.admin.shards),
			}
			if n == c.admin.behind && time.Now().Before(c.admin.until) {
				out[n] = View{Members: c.admin.members[:1]}
			}
		}
	}
	return out
}
