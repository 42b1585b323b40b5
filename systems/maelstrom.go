package systems

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/workload"
)

// Maelstrom is the name of what is under test when nodes speak Maelstrom's protocol.
const Maelstrom = "maelstrom"

// MaelstromSettings are what can be chosen about nodes of Maelstrom.
func MaelstromSettings() []native.Setting {
	var levels []string
	for _, l := range graph.Levels() {
		levels = append(levels, l.String())
	}
	return []native.Setting{
		{
			Name: settingConsistency, Default: graph.StrictSerializable.String(), Values: levels,
			Doc: "the level that transactions claim, in txn-list-append and txn-rw-register",
		},
		{
			Name: settingTopology, Default: maelstrom.Topologies()[0], Values: maelstrom.Topologies(),
			Doc: "who is whose neighbor, in broadcast",
		},
		{
			Name: settingAvailable, Default: "no", Values: []string{"no", "yes"},
			Doc: "whether there is to be progress while a majority is healthy and connected",
		},
	}
}

const (
	settingConsistency = "consistency"
	settingTopology    = "topology"
	settingAvailable   = "available"
)

// maelstromFaults are the families that "all" stands for: what a network may do. Who names
// more claims to survive more.
func maelstromFaults() []string { return []string{"partition", "messages"} }

// nodesOfMaelstrom is nodes that speak Maelstrom's protocol.
type nodesOfMaelstrom struct {
	protocol maelstrom.Protocol
	values   native.Values
	level    graph.Level
	opts     Options
	clients  *maelstrom.Clients // nil: there is no network yet
}

var (
	_ System     = (*nodesOfMaelstrom)(nil)
	_ Neighborly = (*nodesOfMaelstrom)(nil)
)

func newMaelstrom(opts Options) (System, error) {
	p, ok := maelstrom.Named(opts.Protocol)
	if !ok {
		return nil, fmt.Errorf("system %s: say which of Maelstrom's workloads the nodes know, "+
			"--workload %s", Maelstrom, strings.Join(maelstrom.Names(), ", "))
	}
	system := native.System{Name: Maelstrom, Settings: MaelstromSettings()}
	values, err := system.Choose(opts.Settings)
	if err != nil {
		return nil, fmt.Errorf("system %s: %w", Maelstrom, err)
	}
	for setting, has := range map[string]bool{
		settingConsistency: p.Leveled, settingTopology: p.Topology,
	} {
		if _, chosen := opts.Settings[setting]; chosen && !has {
			return nil, fmt.Errorf("system %s: %w: %s has no %s", Maelstrom, native.ErrSettings, p.Name,
				setting)
		}
	}
	level, err := graph.ParseLevel(values[settingConsistency])
	if err != nil {
		return nil, fmt.Errorf("system %s: %w", Maelstrom, err)
	}
	m := &nodesOfMaelstrom{protocol: p, values: values, level: level, opts: opts}
	if opts.Messages != nil {
		m.clients = maelstrom.NewClients(opts.Messages, p)
	}
	return m, nil
}

func (m *nodesOfMaelstrom) Name() string { return Maelstrom + " " + m.protocol.Name }

// Claim implements System.
func (m *nodesOfMaelstrom) Claim() string {
	if m.protocol.Leveled {
		return fmt.Sprintf("%s: %s, %s", m.protocol.Name, m.protocol.Claim, m.level)
	}
	return m.protocol.Name + ": " + m.protocol.Claim
}

func (m *nodesOfMaelstrom) Available() bool     { return m.values[settingAvailable] == "yes" }
func (m *nodesOfMaelstrom) HasPrimaries() bool  { return false }
func (m *nodesOfMaelstrom) Workloads() []string { return slices.Clone(m.protocol.Workloads) }

// Faults implements System: those that are claimed anyway, and those that somebody has named.
func (m *nodesOfMaelstrom) Faults() []string {
	faults := maelstromFaults()
	for _, f := range m.opts.Faults {
		if f != "all" && f != "none" && !slices.Contains(faults, f) {
			faults = append(faults, f)
		}
	}
	return faults
}

func (m *nodesOfMaelstrom) Promise(string) workload.Promise { return m.protocol.Promise(m.level) }

// Supports implements System.
func (m *nodesOfMaelstrom) Supports(object string, fs []history.F) error {
	return m.protocol.Supports(object, fs)
}

// Deployment implements System.
func (m *nodesOfMaelstrom) Deployment() Deployment {
	return Deployment{Startable: true, Piped: true}
}

// Command implements System.
func (m *nodesOfMaelstrom) Command(spec NodeSpec) ([]string, error) {
	program, err := m.program()
	if err != nil {
		return nil, err
	}
	return maelstrom.Command(program, spec.DataDir), nil
}

// errNoProgram says what is missing.
var errNoProgram = errors.New("name the nodes' program: --bin ./mynode")

func (m *nodesOfMaelstrom) program() (string, error) {
	if m.opts.Binary == "" {
		return "", errNoProgram
	}
	return maelstrom.Program(m.opts.Binary)
}

// Logs implements System: what nodes write to their standard error is kept anyway.
func (m *nodesOfMaelstrom) Logs(NodeSpec) ([]string, error) { return nil, nil }

// Others implements System: the group of a node's command is all that belongs to it.
func (m *nodesOfMaelstrom) Others(NodeSpec) (string, error) { return "", nil }

// errNoNetwork is why nobody can be reached before the cluster has been started.
var errNoNetwork = errors.New("nodes of Maelstrom have no addresses: only a cluster that was " +
	"started with their pipes reaches them")

// Open implements System: an endpoint is the name of a node.
func (m *nodesOfMaelstrom) Open(
	_ context.Context, endpoints []string, object string,
) (workload.Client, error) {
	if m.clients == nil {
		return nil, errNoNetwork
	}
	if len(endpoints) == 0 {
		return nil, errors.New("open a client: no endpoint")
	}
	return m.clients.Open(endpoints[0], object), nil
}

// Status implements System: Maelstrom has no requests for it.
func (m *nodesOfMaelstrom) Status(_ context.Context, endpoint string) (Status, error) {
	return Status{}, fmt.Errorf("status of %s: nodes of Maelstrom have none", endpoint)
}

// Probe implements System.
func (m *nodesOfMaelstrom) Probe(ctx context.Context, endpoint string) error {
	if m.clients == nil {
		return errNoNetwork
	}
	return m.clients.Probe(ctx, endpoint)
}

// Version implements System.
func (m *nodesOfMaelstrom) Version(context.Context) (string, error) {
	path, err := m.program()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return maelstrom.Version(path)
}

// Neighbors implements Neighborly.
func (m *nodesOfMaelstrom) Neighbors(nodes []string) (map[string][]string, error) {
	if !m.protocol.Topology {
		return nil, nil
	}
	return maelstrom.Topology(m.values[settingTopology], nodes)
}
