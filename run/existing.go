package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// existing is the name of the way in which nodes are run that somebody else runs.
const existing = "existing"

// errNotOurs is why nothing can be done to such nodes.
var errNotOurs = errors.New("the checker did not start these nodes and has no way to their " +
	"processes, disks and links: run without faults, or let it start them (a start command in " +
	"their declaration, --cluster local, netns or ssh)")

// existingWay drives nodes that run already: it knows their addresses, and nothing else.
func existingWay() way {
	return way{
		name: existing,
		doc: "nodes that run already and that the checker did not start: --nodes host:port,…; " +
			"workload and verdict, no faults",
		check: func(c Config) error {
			if len(c.Endpoints) == 0 {
				return errors.New("name the nodes: --nodes host:port,…")
			}
			_, err := c.endpoints()
			return errors.Join(noHosts(c), err)
		},
		lacks: func(Config) nemesis.Lacks { return lackAll(errNotOurs.Error()) },
		start: startExisting,
		heal:  func(context.Context, remains) ([]string, error) { return nil, nil },
		undo:  nothingToUndo,
		over:  "nothing was done to nodes that the checker did not start",
	}
}

// lackAll is a cluster that can do nothing, for one reason.
func lackAll(why string) nemesis.Lacks {
	lacks := lacksHosts(why)
	for _, p := range []nemesis.Power{
		nemesis.PowerLinks, nemesis.PowerClients, nemesis.PowerLoss, nemesis.PowerPackets,
		nemesis.PowerProcesses, nemesis.PowerClocks, nemesis.PowerDisks,
	} {
		lacks[p] = why
	}
	return lacks
}

// endpoint is a node that runs already.
type endpoint struct {
	node    nemesis.Node
	address string // host:port
}

// endpoints reads "[name=]host:port"; a node without a name is nN.
func (c Config) endpoints() ([]endpoint, error) {
	var out []endpoint
	var errs []error
	seen := map[nemesis.Node]bool{}
	for i, text := range c.Endpoints {
		name, address, named := strings.Cut(text, "=")
		if !named {
			name, address = fmt.Sprintf("n%d", i+1), text
		}
		host, port, err := net.SplitHostPort(address)
		if n, perr := strconv.ParseUint(port, 10, 16); perr != nil || n == 0 || host == "" {
			err = errors.Join(err, errors.New("want host:port"))
		}
		switch n := nemesis.Node(name); {
		case err != nil:
			errs = append(errs, fmt.Errorf("node %q: %w", text, err))
		case name == "" || n == nemesis.Clients || seen[n]:
			errs = append(errs, fmt.Errorf("node %q: the name %q is taken", text, name))
		default:
			seen[n] = true
			out = append(out, endpoint{node: n, address: address})
		}
	}
	return out, errors.Join(errs...)
}

// existingCluster is nodes that are there.
type existingCluster struct{ at map[nemesis.Node]string }

var _ Cluster = existingCluster{}

func startExisting(_ context.Context, l launch) (Cluster, error) {
	list, err := l.cfg.endpoints()
	if err != nil {
		return nil, err
	}
	c := existingCluster{at: map[nemesis.Node]string{}}
	for _, e := range list {
		c.at[e.node] = e.address
	}
	return c, nil
}

func (c existingCluster) Endpoint(n nemesis.Node) string       { return c.at[n] }
func (c existingCluster) DirectEndpoint(n nemesis.Node) string { return c.at[n] }
func (c existingCluster) Close(context.Context) error          { return nil }

func (existingCluster) SetRules(
	context.Context, nemesis.Handle, map[nemesis.Link]nemesis.Rule,
) error {
	return errNotOurs
}
func (existingCluster) Clear(context.Context, nemesis.Handle) error { return nil }
func (existingCluster) Counters(context.Context) (map[nemesis.Link]nemesis.Counters, error) {
	return nil, nil
}
func (existingCluster) Probe(context.Context) (map[nemesis.Link]bool, error) { return nil, nil }
func (existingCluster) Kill(context.Context, nemesis.Node) error             { return errNotOurs }
func (existingCluster) Start(context.Context, nemesis.Node) error            { return errNotOurs }
func (existingCluster) Pause(context.Context, nemesis.Node) error            { return errNotOurs }
func (existingCluster) Resume(context.Context, nemesis.Node) error           { return errNotOurs }
func (existingCluster) State(context.Context, nemesis.Node) (nemesis.ProcessState, error) {
	return nemesis.ProcessState{}, errNotOurs
}
func (existingCluster) SetClock(context.Context, nemesis.Node, nemesis.ClockSetting) error {
	return errNotOurs
}
func (existingCluster) SetDisk(context.Context, nemesis.Node, nemesis.DiskSetting) error {
	return errNotOurs
}
func (existingCluster) FlipBit(context.Context, nemesis.Node, float64) (string, error) {
	return "", errNotOurs
}
func (existingCluster) Unflip(context.Context, nemesis.Node) error { return errNotOurs }
func (existingCluster) Wipe(context.Context, nemesis.Node) (int64, error) {
	return 0, errNotOurs
}
