package run

import (
	"context"
	"errors"
	"os"

	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// netnsWay runs nodes as processes in network namespaces.
func netnsWay() way {
	return way{
		name: "netns",
		doc: "processes in network namespaces of this machine, each with addresses and a " +
			"firewall of its own; root, Linux",
		check: checkNetns,
		lacks: lacksQueue,
		start: startNetns,
		heal:  healNetns,
		reach: reachNetns,
		undo:  nothingToUndo,
		over:  "the nodes are gone, with their network and their files",
	}
}

// checkNetns says what is missing, or not for such nodes.
func checkNetns(c Config) error {
	err := errors.Join(noHosts(c), netns.Missing())
	if c.SSHD {
		err = errors.Join(err, netns.MissingSSH())
	}
	return err
}

// nothingToUndo: the files of a remote node go with its directory.
func nothingToUndo(string, nemesis.OutstandingFault) error { return nil }

// lacksQueue: the agent takes its packets from the kernel's NFQUEUE, which this machine
// may not have.
func lacksQueue(c Config) nemesis.Lacks {
	if _, err := os.Stat("/proc/net/netfilter/nfnetlink_queue"); err == nil {
		return lacksAgent(c)
	}
	const why = "the kernel hands no packets to programs: try modprobe nfnetlink_queue"
	lacks := lacksHosts(why) // there is no agent then
	lacks[nemesis.PowerPackets] = why
	return lacks
}

// labCluster is a cluster and the lab that was made for it.
type labCluster struct {
	*remote.Cluster
	lab *netns.Lab
}

// Close closes the cluster, then its lab.
func (c labCluster) Close(ctx context.Context) error {
	return errors.Join(c.Cluster.Close(ctx), c.lab.Close(ctx))
}

func startNetns(ctx context.Context, l launch) (Cluster, error) {
	cfg, err := l.remoteConfig()
	if err != nil {
		return nil, err
	}
	if lacksQueue(l.cfg) != nil {
		cfg.Agent = nil
	}
	lab, err := netns.Up(ctx, l.cfg.nodes(), l.ledger)
	if err != nil {
		return nil, err
	}
	if l.cfg.SSHD {
		config, err := lab.ServeSSH(ctx)
		if err != nil {
			return nil, errors.Join(err, lab.Close(ctx))
		}
		l.say("log in to a node: ssh -F %s %s", config, l.cfg.nodes()[0])
	}
	cfg.Shell, cfg.Hosts = lab.Shell(), lab.Hosts()
	cfg.Controls = append(cfg.Controls, lab.Control())
	c, err := remote.Start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, lab.Close(ctx))
	}
	return labCluster{Cluster: c, lab: lab}, nil
}

// healNetns takes away the nodes and then their whole network, so that there are no
// links left to be probed.
func healNetns(ctx context.Context, r remains) ([]string, error) {
	var lines []string
	for _, res := range r.left.Resources {
		if res.Kind != netns.Resource {
			continue
		}
		var hosts []remote.Host
		for _, n := range r.cfg.nodes() {
			hosts = append(hosts, remote.Host{Node: n})
		}
		found, err := remote.Heal(ctx, remote.Remains{
			Shell: netns.Attach(res.Name), Hosts: hosts, Left: r.left, Dir: r.dir, Ledger: r.ledger,
		})
		lines = append(lines, found...)
		if err != nil {
			return lines, err
		}
		if err := netns.Remove(ctx, res.Name); err != nil {
			return lines, err
		}
		lines = append(lines, "removed the "+res.String())
		if err := r.ledger.ResourceGone(res); err != nil {
			return lines, err
		}
	}
	return lines, nil
}
