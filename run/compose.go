package run

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/compose"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// composeWay runs nodes in containers that are reached by docker exec.
func composeWay() way {
	return way{
		name: "compose",
		doc: "containers of a compose project on this machine, by docker exec; " +
			"docker-compose.yml has one",
		check: func(c Config) error {
			_, err := exec.LookPath("docker")
			return errors.Join(noHosts(c), err)
		},
		lacks:     lacksAgent,
		start:     startCompose,
		heal:      healCompose,
		reach:     reachCompose,
		undo:      nothingToUndo,
		elsewhere: true,
		over:      "its nodes are gone, and all containers reach each other",
	}
}

// containers are the containers of the run's nodes, as a remote cluster wants them, and
// the shell to them.
func (c Config) containers(ctx context.Context) ([]remote.Host, *compose.Shell, error) {
	found, err := compose.Discover(ctx, nil, c.Project, nil)
	if err != nil {
		return nil, nil, err
	}
	var (
		hosts []remote.Host
		ids   = map[nemesis.Node]string{}
		errs  []error
	)
	for _, n := range c.nodes() {
		i := slices.IndexFunc(found, func(f compose.Container) bool { return f.Node == n })
		if i < 0 {
			errs = append(errs, fmt.Errorf("no container is node %s", n))
			continue
		}
		f := found[i]
		ids[n] = f.ID
		h := remote.Host{Node: n, Addrs: f.Addresses}
		if !slices.Contains(f.Addresses, f.Direct) {
			h.Direct = f.Direct
		}
		hosts = append(hosts, h)
	}
	return hosts, compose.NewShell(nil, ids), errors.Join(errs...)
}

func startCompose(ctx context.Context, l launch) (Cluster, error) {
	cfg, err := l.remoteConfig()
	if err != nil {
		return nil, err
	}
	var shell *compose.Shell
	if cfg.Hosts, shell, err = l.cfg.containers(ctx); err != nil {
		return nil, err
	}
	cfg.Shell = shell
	if cfg.Controls, err = controls(cfg.Hosts); err != nil {
		return nil, err
	}
	return remote.Start(ctx, cfg)
}

func healCompose(ctx context.Context, r remains) ([]string, error) {
	hosts, shell, err := r.cfg.containers(ctx)
	if err != nil {
		return nil, err
	}
	return remote.Heal(ctx, remote.Remains{
		Shell: shell, Hosts: hosts, Left: r.left, Dir: r.dir, Ledger: r.ledger,
		ClientPort: r.cfg.clientPort(), Agent: r.cfg.agent(),
	})
}
