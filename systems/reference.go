package systems

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// reference is the cluster that the project brings itself.
type reference struct {
	opts     Options
	protocol Protocol
}

func newReference(opts Options) (System, error) {
	all := Protocols()
	i := slices.IndexFunc(all, func(p Protocol) bool { return p.Name == opts.Protocol })
	if i < 0 {
		names := make([]string, len(all))
		for i, p := range all {
			names[i] = p.Name
		}
		return nil, fmt.Errorf("protocol %q: unknown; the reference cluster speaks %s",
			opts.Protocol, strings.Join(names, ", "))
	}
	return &reference{opts: opts, protocol: all[i]}, nil
}

func (r *reference) Name() string    { return "reference " + r.protocol.Name }
func (r *reference) Claim() string   { return r.protocol.Claim }
func (r *reference) Available() bool { return r.protocol.Available }

func (r *reference) HasPrimaries() bool { return r.protocol.Primaries }

func (r *reference) Faults() []string { return slices.Clone(r.protocol.Faults) }

func (r *reference) Workloads() []string { return r.protocol.Workloads }

// Logs implements System: a node prints all that it has to say.
func (r *reference) Logs(NodeSpec) ([]string, error) { return nil, nil }

// Others implements System: a node is one process.
func (r *reference) Others(NodeSpec) (string, error) { return "", nil }

// Deployment implements System.
func (r *reference) Deployment() Deployment {
	return Deployment{Reporting: true, Startable: true}
}

func (r *reference) Promise(string) workload.Promise {
	p := r.protocol.Promise
	p.NoOverdraft = p.NoOverdraft || r.protocol.Interactive
	return p
}

func (r *reference) Supports(object string, fs []history.F) error {
	return r.protocol.supports(object, fs)
}

func (r *reference) Command(spec NodeSpec) ([]string, error) {
	var peers []string
	for _, name := range slices.Sorted(maps.Keys(spec.Peers)) {
		peers = append(peers, name+"="+spec.Peers[name])
	}
	argv := []string{cmp.Or(spec.Program, r.opts.Binary), "serve",
		"--protocol", r.protocol.Name,
		"--id", spec.Name,
		"--peers", strings.Join(peers, ","),
		"--data", spec.DataDir,
		"--bind", spec.Bind,
		"--peer-bind", spec.PeerBind,
		"--ready-file", spec.ReadyFile,
		"--seed", fmt.Sprint(spec.Seed),
		"--cluster-id", spec.Cluster,
		"--volatile",
	}
	if spec.Tethered {
		argv = append(argv, "--exit-on-stdin-close")
	}
	if spec.ClockFile != "" {
		argv = append(argv, "--clock", spec.ClockFile)
	}
	if spec.DiskFile != "" {
		argv = append(argv, "--disk", spec.DiskFile)
	}
	if r.opts.RequestTimeout != "" {
		argv = append(argv, "--request-timeout", r.opts.RequestTimeout)
	}
	if r.opts.Bug != "" {
		argv = append(argv, "--bug", r.opts.Bug)
	}
	return argv, nil
}

func (r *reference) Version(ctx context.Context) (string, error) {
	if err := r.checkBug(ctx); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, r.opts.Binary, "version").Output()
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", r.opts.Binary, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// checkBug asks the program whether the bug can be planted in the protocol: only
// the target knows its bugs.
func (r *reference) checkBug(ctx context.Context) error {
	if r.opts.Bug == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, r.opts.Binary, "bugs", "--json").Output()
	if err != nil {
		return fmt.Errorf("bugs of %s: %w", r.opts.Binary, err)
	}
	var bugs []struct {
		ID        string   `json:"id"`
		Protocols []string `json:"protocols"`
	}
	if err := json.Unmarshal(out, &bugs); err != nil {
		return fmt.Errorf("bugs of %s: %w", r.opts.Binary, err)
	}
	var fit []string
	for _, b := range bugs {
		if slices.Contains(b.Protocols, r.protocol.Name) {
			fit = append(fit, b.ID)
		}
	}
	if slices.Contains(fit, r.opts.Bug) {
		return nil
	}
	return fmt.Errorf("%w: bug %q cannot be planted in protocol %s, which has %s", ErrOptions,
		r.opts.Bug, r.protocol.Name, strings.Join(fit, ", "))
}

func (r *reference) Status(ctx context.Context, endpoint string) (Status, error) {
	transport := r.opts.Transport
	if transport == nil {
		transport = &http.Transport{DisableKeepAlives: true}
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/status", nil)
	if err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Status{}, fmt.Errorf("status of %s: HTTP %s", endpoint, resp.Status)
	}
	var s Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerBytesMax)).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	return s, nil
}
