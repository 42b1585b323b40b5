package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/doctor"
	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/ssh"
)

// reached are hosts, and how commands are run on them.
type reached struct {
	hosts []remote.Host
	shell remote.Shell
	close func(context.Context) error
}

// Doctor tries on every node of the configuration what can be done to it. Program is
// that of the reference cluster's nodes, empty if there is none. A local cluster has no
// hosts: its doctor is local.Doctor. An error beside a report says what went wrong
// afterwards.
func Doctor(ctx context.Context, cfg Config, program string) (_ doctor.Report, err error) {
	w, err := wayNamed(cfg.Cluster)
	if err != nil {
		return doctor.Report{}, err
	}
	if w.reach == nil {
		return doctor.Report{}, fmt.Errorf("cluster %s has no hosts", w.name)
	}
	if err := w.check(cfg); err != nil {
		return doctor.Report{}, fmt.Errorf("cluster %s: %w", w.name, err)
	}
	var programs doctor.Programs
	if program != "" {
		if programs.Target, err = os.ReadFile(program); err != nil {
			return doctor.Report{}, fmt.Errorf("program of the nodes: %w", err)
		}
	}
	if lacksAgent(cfg) == nil {
		if programs.Agent, err = agentProgram(); err != nil {
			return doctor.Report{}, err
		}
	}
	to, err := w.reach(ctx, cfg)
	if err != nil {
		return doctor.Report{}, err
	}
	r, err := doctor.Examine(ctx, to.shell, to.hosts, programs)
	return r, errors.Join(err, to.close(ctx))
}

// reachNetns makes namespaces for the doctor alone.
func reachNetns(ctx context.Context, c Config) (reached, error) {
	lab, err := netns.Up(ctx, c.nodes(), noSettler{})
	if err != nil {
		return reached{}, err
	}
	return reached{hosts: lab.Hosts(), shell: lab.Shell(), close: lab.Close}, nil
}

func reachCompose(ctx context.Context, c Config) (reached, error) {
	hosts, shell, err := c.containers(ctx)
	return reached{
		hosts: hosts, shell: shell, close: func(context.Context) error { return nil },
	}, err
}

// reachSSH does not ask whether all hosts have addresses: a doctor is called when
// something is wrong.
func reachSSH(ctx context.Context, c Config) (reached, error) {
	hosts, err := c.nodeHosts()
	if err != nil {
		return reached{}, err
	}
	addresses, unresolved := resolve(ctx, hosts)
	if len(addresses) == 0 {
		return reached{}, unresolved
	}
	for _, h := range hosts {
		if !slices.ContainsFunc(addresses, func(a remote.Host) bool { return a.Node == h.Node }) {
			addresses = append(addresses, remote.Host{Node: h.Node})
		}
	}
	shell, err := ssh.New(c.sshConfig(hosts))
	if err != nil {
		return reached{}, err
	}
	return reached{
		hosts: addresses, shell: shell,
		close: func(context.Context) error { return shell.Close() },
	}, nil
}
