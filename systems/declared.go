package systems

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/expand"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/workload"
)

// declared is a system that somebody has described: a user in a file, or the package of one
// that the checker knows by name.
type declared struct{ *declare.Declaration }

var (
	_ System   = declared{}
	_ Operator = declared{}
	_ Preparer = declared{}
	_ Libc     = declared{}
)

func (d declared) Name() string     { return d.Declaration.Name }
func (d declared) Claim() string    { return d.Declaration.Claim.Text }
func (d declared) Available() bool  { return d.Declaration.Claim.Available }
func (d declared) Faults() []string { return slices.Clone(d.Declaration.Claim.Faults) }
func (d declared) HasPrimaries() bool {
	if d.Declaration.Status == nil {
		_, tells := d.Native.(native.Informant)
		return tells
	}
	return d.Declaration.Status.HasPrimary()
}

// Deployment implements System.
func (d declared) Deployment() Deployment {
	out := Deployment{
		Port: d.Port, PeerPort: d.PeerPort, Files: d.Files, Nodes: d.Count,
		ReadyWithin: d.ReadyWithin, StopWithin: d.StopWithin, Startable: d.Start != "",
		Setup: d.Setup != nil,
	}
	if d.Driver != nil {
		out.OpenWithin = d.Driver.HelloWithin
	}
	return out
}

// Libc implements Libc.
func (d declared) Libc() bool { return d.Faketime }

func (d declared) Workloads() []string {
	var names []string
	for _, p := range d.Declaration.Claim.Workloads {
		names = append(names, p.Workload)
	}
	return names
}

func (d declared) Promise(name string) workload.Promise {
	for _, p := range d.Declaration.Claim.Workloads {
		if p.Workload == name {
			return p.Promise
		}
	}
	return workload.Promise{}
}

func (d declared) Supports(object string, fs []history.F) error {
	return d.Declaration.Supports(object, fs)
}

// Command runs a node's script, with the data directory as its last word.
func (d declared) Command(spec NodeSpec) ([]string, error) {
	script, err := nodeScript(d.Declaration, spec)
	if err != nil {
		return nil, err
	}
	return []string{"sh", "-c", script, "ordeal-node", spec.DataDir}, nil
}

// Logs implements System.
func (d declared) Logs(spec NodeSpec) ([]string, error) {
	var out []string
	for _, text := range d.Declaration.Logs {
		pattern, err := expand.Text(text, nodeOf(spec), spec.Here)
		if err != nil {
			return nil, err
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(spec.DataDir, pattern)
		}
		out = append(out, pattern)
	}
	return out, nil
}

// Others implements System.
func (d declared) Others(spec NodeSpec) (string, error) {
	others, err := othersScript(d.Declaration, spec)
	if err != nil {
		return "", err
	}
	return treeScript(others), nil
}

// Open implements System.
func (d declared) Open(
	ctx context.Context, endpoints []string, object string,
) (workload.Client, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("open a client: no endpoint")
	}
	if d.Native != nil {
		return openNative(ctx, d.Native, endpoints, object)
	}
	if d.HTTP != nil {
		return d.HTTP.Open(endpoints, object), nil
	}
	if d.SQL != nil {
		s, err := d.SQL.Open(endpoints[0], object)
		if err != nil {
			return nil, err // not a Client that is a nil pointer
		}
		return s, nil
	}
	s, err := d.Driver.Open(ctx, endpoints, object)
	if err != nil {
		return nil, err // not a Client that is a nil pointer
	}
	return s, nil
}

// Prepare implements Preparer.
func (d declared) Prepare(ctx context.Context, endpoint string) error {
	if d.Setup == nil {
		return nil
	}
	if err := d.Setup.Order(ctx, expand.NewTarget(endpoint, "")); err != nil {
		return fmt.Errorf("setup by %s: %w", endpoint, err)
	}
	return nil
}

// Status implements System. Where nothing is said of a status, nobody leads.
func (d declared) Status(ctx context.Context, endpoint string) (Status, error) {
	if d.Declaration.Status == nil {
		if i, ok := d.Native.(native.Informant); ok {
			s, err := i.Status(ctx, endpoint)
			if err != nil {
				return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
			}
			return Status{Primary: s.Leads, Members: s.Members}, nil
		}
		return Status{}, fmt.Errorf("status of %s: %s does not say how one asks for it", endpoint,
			d.Name())
	}
	leads, members, err := d.Declaration.Status.Status(ctx, expand.NewTarget(endpoint, ""))
	if err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	return Status{Primary: leads, Members: members}, nil
}

// probeKey is a key that no workload uses.
const probeKey = "probe"

// Probe asks a client that knows better, or else does the first operation of a claimed
// workload that changes nothing. Where there is none, a client that can be opened has to do.
func (d declared) Probe(ctx context.Context, endpoint string) (err error) {
	if p, ok := d.Native.(native.Prober); ok {
		return p.Probe(ctx, endpoint)
	}
	object, op := d.probe()
	client, err := d.Open(ctx, []string{endpoint}, object)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if op.F == "" {
		return nil
	}
	_, err = client.Invoke(ctx, op)
	return err
}

func (d declared) probe() (object string, op history.Event) {
	for _, p := range d.Declaration.Claim.Workloads {
		w, err := workload.Lookup(p.Workload)
		if err != nil {
			continue
		}
		object = w.Object
		kind, _ := operation.Named(w.Object)
		for _, o := range kind.Ops {
			ev := history.Event{F: o.F, Key: probeKey}
			if o.F == "txn" {
				ev.Value = history.Steps(history.Step{F: history.StepRead, Key: probeKey})
			}
			if !operation.Changes(ev) && slices.Contains(w.Fs, o.F) {
				return w.Object, ev
			}
		}
	}
	return object, history.Event{}
}

// Version runs the command that prints it, if there is one, and looks whether the driver
// is there.
func (d declared) Version(ctx context.Context) (string, error) {
	if d.Driver != nil {
		if err := d.Driver.Missing(); err != nil {
			return "", fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	if d.Declaration.Version == "" {
		return d.Name(), nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", d.Declaration.Version)
	cmd.Dir = d.Dir
	out, err := cmd.Output()
	if err != nil {
		words := ""
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			words = ": " + strings.Join(strings.Fields(string(exit.Stderr)), " ")
		}
		return "", fmt.Errorf("%w: version of %s: %s: %w%s", ErrOptions, d.Name(),
			d.Declaration.Version, err, words)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first, nil
}

// Orders implements Operator.
func (d declared) Orders() []string {
	var names []string
	for name := range d.Declaration.Orders {
		names = append(names, name)
	}
	if o, ok := d.Native.(native.Operator); ok && names == nil {
		names = slices.Clone(o.Orders())
	}
	slices.Sort(names)
	return names
}

// Transfer implements Operator.
func (d declared) Transfer(ctx context.Context, endpoint, to string) error {
	return d.order(ctx, endpoint, "transfer", to)
}

// Remove implements Operator.
func (d declared) Remove(ctx context.Context, endpoint, node string) error {
	return d.order(ctx, endpoint, "remove-member", node)
}

// Add implements Operator.
func (d declared) Add(ctx context.Context, endpoint, node string) error {
	return d.order(ctx, endpoint, "add-member", node)
}

// Move implements Operator: no declaration knows shards.
func (d declared) Move(context.Context, string, int, string) error {
	return history.Definite(errors.New("declared systems have no shards that could be moved"))
}

func (d declared) order(ctx context.Context, endpoint, order, node string) error {
	a := d.Declaration.Orders[order]
	if a == nil {
		if o, ok := d.Native.(native.Operator); ok && slices.Contains(d.Orders(), order) {
			return o.Order(ctx, endpoint, order, node)
		}
		return history.Definite(fmt.Errorf("%s cannot be told to do %s", d.Name(), order))
	}
	return a.Order(ctx, expand.NewTarget(endpoint, node))
}
