package run

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/ssh"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// sshWay runs nodes on hosts that are reached by SSH.
func sshWay() way {
	return way{
		name:      "ssh",
		doc:       "hosts that are reached by SSH: --hosts n1=root@10.0.0.1,… or --nodes-file",
		check:     checkSSH,
		lacks:     lacksAgent,
		start:     startSSH,
		heal:      healSSH,
		reach:     reachSSH,
		undo:      nothingToUndo,
		elsewhere: true,
		over:      "its nodes are gone, and all hosts reach each other",
	}
}

func checkSSH(c Config) error {
	hosts, err := c.nodeHosts()
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return errors.New("name the hosts with --hosts or --nodes-file")
	}
	return c.sshConfig(hosts).Validate()
}

// sshConfig is how the hosts are reached: with the keys that were named, else with those
// that OpenSSH would use.
func (c Config) sshConfig(hosts []NodeHost) ssh.Config {
	known, keys := ssh.UserFiles()
	cfg := ssh.Config{
		Hosts: map[nemesis.Node]ssh.Host{}, KnownHosts: known, KeyFiles: keys,
		Agent: os.Getenv("SSH_AUTH_SOCK"),
	}
	if len(c.SSHKeys) > 0 {
		cfg.KeyFiles = c.SSHKeys
	}
	if len(c.KnownHosts) > 0 {
		cfg.KnownHosts = c.KnownHosts
	}
	for _, h := range hosts {
		cfg.Hosts[h.Node] = h.SSH
	}
	return cfg
}

// sshCluster is a cluster and the connections to its hosts.
type sshCluster struct {
	*remote.Cluster
	shell *ssh.Shell
}

// Close closes the cluster, then the connections.
func (c sshCluster) Close(ctx context.Context) error {
	return errors.Join(c.Cluster.Close(ctx), c.shell.Close())
}

func startSSH(ctx context.Context, l launch) (_ Cluster, err error) {
	cfg, err := l.remoteConfig()
	if err != nil {
		return nil, err
	}
	hosts, err := l.cfg.nodeHosts()
	if err != nil {
		return nil, err
	}
	if cfg.Hosts, err = resolve(ctx, hosts); err != nil {
		return nil, err
	}
	if cfg.Controls, err = controls(cfg.Hosts); err != nil {
		return nil, err
	}
	reach := l.cfg.sshConfig(hosts)
	reach.Logger = l.logger
	shell, err := ssh.New(reach)
	if err != nil {
		return nil, err
	}
	cfg.Shell = shell
	c, err := remote.Start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, shell.Close())
	}
	return sshCluster{Cluster: c, shell: shell}, nil
}

func healSSH(ctx context.Context, r remains) (lines []string, err error) {
	hosts, err := r.cfg.nodeHosts()
	if err != nil {
		return nil, err
	}
	addresses, err := resolve(ctx, hosts)
	if err != nil {
		return nil, err
	}
	shell, err := ssh.New(r.cfg.sshConfig(hosts))
	if err != nil {
		return nil, fmt.Errorf("reach the hosts: %w", err)
	}
	defer func() { err = errors.Join(err, shell.Close()) }()
	return remote.Heal(ctx, remote.Remains{
		Shell: shell, Hosts: addresses, Left: r.left, Dir: r.dir, Ledger: r.ledger,
		ClientPort: r.cfg.clientPort(), Agent: r.cfg.agent(),
	})
}
