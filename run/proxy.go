package run

import (
	"context"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
)

// clusterProxy gives the nemesis the cluster, which exists only once it is set
// up, while the nemesis is made before, so that a bad schedule is found first.
type clusterProxy struct{ c *conductor }

var (
	_ nemesis.Network   = (*clusterProxy)(nil)
	_ nemesis.Processes = (*clusterProxy)(nil)
	_ nemesis.Clocks    = (*clusterProxy)(nil)
	_ nemesis.Disks     = (*clusterProxy)(nil)
	_ nemesis.Admin     = (*clusterProxy)(nil)
)

func (p *clusterProxy) SetRules(
	ctx context.Context, h nemesis.Handle, rules map[nemesis.Link]nemesis.Rule,
) error {
	return p.c.cluster.SetRules(ctx, h, rules)
}

func (p *clusterProxy) Clear(ctx context.Context, h nemesis.Handle) error {
	return p.c.cluster.Clear(ctx, h)
}

func (p *clusterProxy) Counters(ctx context.Context) (map[nemesis.Link]nemesis.Counters, error) {
	return p.c.cluster.Counters(ctx)
}

func (p *clusterProxy) Probe(ctx context.Context) (map[nemesis.Link]bool, error) {
	return p.c.cluster.Probe(ctx)
}

func (p *clusterProxy) Kill(ctx context.Context, n nemesis.Node) error {
	return p.c.cluster.Kill(ctx, n)
}

func (p *clusterProxy) Start(ctx context.Context, n nemesis.Node) error {
	return p.c.cluster.Start(ctx, n)
}

func (p *clusterProxy) Pause(ctx context.Context, n nemesis.Node) error {
	return p.c.cluster.Pause(ctx, n)
}

func (p *clusterProxy) Resume(ctx context.Context, n nemesis.Node) error {
	return p.c.cluster.Resume(ctx, n)
}

func (p *clusterProxy) State(
	ctx context.Context, n nemesis.Node,
) (nemesis.ProcessState, error) {
	return p.c.cluster.State(ctx, n)
}

// clockReader is a cluster that measures the clocks of programs that do not tell.
type clockReader interface {
	ReadClock(ctx context.Context, n nemesis.Node) (nemesis.ClockReading, error)
}

// ofLibc reports whether a system's clocks are bent by libfaketime.
func ofLibc(sys systems.System) bool {
	libc, ok := sys.(systems.Libc)
	return ok && libc.Libc()
}

// status asks a node, past all faults of the network.
func (p *clusterProxy) status(ctx context.Context, n nemesis.Node) (systems.Status, error) {
	endpoint := p.c.cluster.DirectEndpoint(n)
	if endpoint == "" {
		return systems.Status{}, fmt.Errorf("status of %s: %w", n, cluster.ErrNotRunning)
	}
	ctx, cancel := vtime.WithTimeout(ctx, statusTime)
	defer cancel()
	return p.c.sys.Status(ctx, endpoint)
}

func (p *clusterProxy) SetClock(
	ctx context.Context, n nemesis.Node, s nemesis.ClockSetting,
) error {
	return p.c.cluster.SetClock(ctx, n, s)
}

func (p *clusterProxy) ReadClock(
	ctx context.Context, n nemesis.Node,
) (nemesis.ClockReading, error) {
	if reader, ok := p.c.cluster.(clockReader); ok && ofLibc(p.c.sys) {
		return reader.ReadClock(ctx, n)
	}
	s, err := p.status(ctx, n)
	if err != nil {
		return nemesis.ClockReading{}, err
	}
	if s.Clock == nil {
		return nemesis.ClockReading{}, fmt.Errorf("status of %s tells nothing of its clocks", n)
	}
	return nemesis.ClockReading{
		Start: s.Epoch, WallError: time.Duration(s.Clock.WallError),
		Monotonic: time.Duration(s.Clock.Monotonic), Running: time.Duration(s.Clock.Running),
	}, nil
}

func (p *clusterProxy) SetDisk(ctx context.Context, n nemesis.Node, s nemesis.DiskSetting) error {
	return p.c.cluster.SetDisk(ctx, n, s)
}

func (p *clusterProxy) DiskCounts(
	ctx context.Context, n nemesis.Node,
) (nemesis.DiskCounts, error) {
	s, err := p.status(ctx, n)
	return nemesis.DiskCounts{
		Start: s.Epoch, Syncs: s.Counters["syncs"],
		DelayedSyncs: s.Counters["disk_delayed_syncs"], FailedSyncs: s.Counters["disk_failed_syncs"],
		RefusedWrites: s.Counters["disk_refused_writes"], TornWrites: s.Counters["disk_torn_writes"],
	}, err
}

func (p *clusterProxy) FlipBit(ctx context.Context, n nemesis.Node, place float64) (string, error) {
	return p.c.cluster.FlipBit(ctx, n, place)
}

func (p *clusterProxy) Unflip(ctx context.Context, n nemesis.Node) error {
	return p.c.cluster.Unflip(ctx, n)
}

func (p *clusterProxy) Wipe(ctx context.Context, n nemesis.Node) (int64, error) {
	return p.c.cluster.Wipe(ctx, n)
}

// Whole asks the node what it takes itself for: those of docs/target-api.md say when
// they have lost something.
func (p *clusterProxy) Whole(ctx context.Context, n nemesis.Node) (bool, error) {
	s, err := p.status(ctx, n)
	return s.Role != "joining" && s.Role != "damaged", err
}

// orders returns what the system can be told to do.
func orders(sys systems.System) []nemesis.AdminF {
	op, ok := sys.(systems.Operator)
	if !ok {
		return nil
	}
	var out []nemesis.AdminF
	for _, f := range op.Orders() {
		out = append(out, nemesis.AdminF(f))
	}
	return out
}

func (p *clusterProxy) Order(ctx context.Context, at nemesis.Node, o nemesis.AdminOrder) error {
	op, ok := p.c.sys.(systems.Operator)
	endpoint := p.c.cluster.DirectEndpoint(at)
	if !ok || endpoint == "" {
		return fmt.Errorf("order %s: %w", at, cluster.ErrNotRunning)
	}
	ctx, cancel := vtime.WithTimeout(ctx, p.c.cfg.OpTimeout)
	defer cancel()
	switch to := string(o.Node); o.F {
	case nemesis.AdminTransfer:
		return op.Transfer(ctx, endpoint, to)
	case nemesis.AdminRemove:
		return op.Remove(ctx, endpoint, to)
	case nemesis.AdminAdd:
		return op.Add(ctx, endpoint, to)
	case nemesis.AdminMove:
		return op.Move(ctx, endpoint, o.Shard, to)
	default:
		return fmt.Errorf("order %s: there is no %q", at, o.F)
	}
}

func (p *clusterProxy) Views(ctx context.Context) map[nemesis.Node]nemesis.View {
	nodes := p.c.cfg.nodes()
	views := make([]*nemesis.View, len(nodes))
	_ = vtime.Together(ctx, len(nodes), func(i int) error {
		s, err := p.status(ctx, nodes[i])
		if err == nil {
			views[i] = &nemesis.View{
				Primary: s.Primary, Members: nodesNamed(s.Members), Shards: nodesNamed(s.Shards()),
			}
		}
		return nil
	})
	out := map[nemesis.Node]nemesis.View{}
	for i, n := range nodes {
		if views[i] != nil {
			out[n] = *views[i]
		}
	}
	return out
}

func nodesNamed(names []string) []nemesis.Node {
	var nodes []nemesis.Node
	for _, name := range names {
		nodes = append(nodes, nemesis.Node(name))
	}
	return nodes
}
