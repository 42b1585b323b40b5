package run

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/doctor"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
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
	return lacksHosts(why)
}

// lacksHosts lacks, for one reason, everything that is done to hosts.
func lacksHosts(why string) nemesis.Lacks {
	lacks := nemesis.Lacks{}
	for _, p := range []nemesis.Power{
		nemesis.PowerFiles, nemesis.PowerCPU, nemesis.PowerMemory, nemesis.PowerWrites,
		nemesis.PowerVolumes, nemesis.PowerSkew,
	} {
		lacks[p] = why
	}
	return lacks
}

// ErrHosts is returned for a test whose faults the hosts do not allow.
var ErrHosts = errors.New("the hosts do not allow a fault of this test")

// tryHosts tries on the hosts what some of the steps need and not every host allows, so
// that a test which cannot be done is refused before it begins, with ErrHosts.
func (c Config) tryHosts(ctx context.Context, steps []nemesis.Step) error {
	var trials []trial
	for _, t := range c.hostTrials() {
		if needed(steps, t.power) {
			trials = append(trials, t)
		}
	}
	if len(trials) == 0 {
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
	program, err := agentProgram()
	if err == nil {
		err = try(ctx, to, doctor.Programs{Agent: program}, trials)
	}
	return errors.Join(err, to.close(ctx))
}

// try makes the trials on hosts that were reached.
func try(ctx context.Context, to reached, programs doctor.Programs, trials []trial) error {
	var names []string
	for _, t := range trials {
		names = append(names, t.mechanism)
	}
	failed, err := doctor.Try(ctx, to.shell, to.hosts, programs, names...)
	for _, t := range trials {
		if err != nil && t.mechanism == failed {
			err = fmt.Errorf("%s: %w", t.failed, err)
		}
	}
	if errors.Is(err, doctor.ErrRefused) {
		err = fmt.Errorf("%w: %w", ErrHosts, err)
	}
	return err
}

// needed reports whether one of the steps needs a power.
func needed(steps []nemesis.Step, p nemesis.Power) bool {
	return slices.ContainsFunc(steps, func(s nemesis.Step) bool { return s.Needs(p) })
}

// trial is what is tried before a test begins, if it needs a power.
type trial struct {
	power             nemesis.Power
	mechanism, failed string
}

func (c Config) hostTrials() []trial {
	trials := []trial{
		{nemesis.PowerCPU, doctor.ControlGroups, "the CPU time of processes cannot be limited"},
		{nemesis.PowerMemory, doctor.MemoryGroups, "the memory of processes cannot be limited"},
		{nemesis.PowerWrites, doctor.SlowWrites, "writes to the disk cannot be limited"},
		{nemesis.PowerVolumes, doctor.PowerLoss, "data cannot be put on a volume of its own"},
		{nemesis.PowerSkew, doctor.ProcessClocks, "the clocks of processes cannot be bent"},
	}
	if sys, err := systems.New(c.systemOptions("")); err == nil && ofLibc(sys) {
		trials = append(trials, trial{
			nemesis.PowerClocks, doctor.Faketime, "the clocks of programs of libc cannot be bent",
		})
	}
	return trials
}
