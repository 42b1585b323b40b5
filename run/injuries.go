package run

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/doctor"
	"github.com/ordeal-dev/ordeal/nemesis"
)

var _ nemesis.Hosts = (*clusterProxy)(nil)

// errNoHosts says that a cluster's nodes have no hosts of their own.
var errNoHosts = errors.New("nothing can be done to the hosts of this cluster's nodes")

func (p *clusterProxy) hosts() (nemesis.Hosts, error) {
	if hosts, ok := p.c.cluster.(nemesis.Hosts); ok {
		return hosts, nil
	}
	return nil, errNoHosts
}

func (p *clusterProxy) Injure(
	ctx context.Context, n nemesis.Node, h nemesis.Handle, i nemesis.Injury,
) (nemesis.Injured, error) {
	hosts, err := p.hosts()
	if err != nil {
		return nemesis.Injured{}, err
	}
	return hosts.Injure(ctx, n, h, i)
}

func (p *clusterProxy) Injured(
	ctx context.Context, n nemesis.Node, h nemesis.Handle,
) (nemesis.Injured, error) {
	hosts, err := p.hosts()
	if err != nil {
		return nemesis.Injured{}, err
	}
	return hosts.Injured(ctx, n, h)
}

func (p *clusterProxy) Mend(
	ctx context.Context, n nemesis.Node, h nemesis.Handle,
) (string, error) {
	hosts, err := p.hosts()
	if err != nil {
		return "", err
	}
	return hosts.Mend(ctx, n, h)
}

// noInjuries is what a cluster lacks whose nodes are processes of the checker's own
// machine.
func noInjuries(Config) nemesis.Lacks {
	const why = "what is done to hosts is done by the agent on them: " +
		"use --cluster netns, compose or ssh"
	return nemesis.Lacks{nemesis.PowerFiles: why, nemesis.PowerCPU: why}
}

// tryHosts tries on the hosts what some of the steps need and not every host allows, so
// that a test which cannot be done is refused before it begins.
func (c Config) tryHosts(ctx context.Context, steps []nemesis.Step) error {
	if !slices.ContainsFunc(steps, func(s nemesis.Step) bool { return s.Needs(nemesis.PowerCPU) }) {
		return nil
	}
	w, err := wayNamed(c.Cluster)
	if err != nil || w.reach == nil {
		return err
	}
	to, err := w.reach(ctx, c)
	if err != nil {
		return err
	}
	err = doctor.Try(ctx, to.shell, to.hosts, doctor.ControlGroups)
	if err != nil {
		err = fmt.Errorf("the CPU time of processes cannot be limited: %w", err)
	}
	return errors.Join(err, to.close(ctx))
}
