package run

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// localWay runs nodes as processes of this machine.
func localWay() way {
	return way{
		name: "local",
		doc: "processes of this machine, with relays of the checker on all links; no root, " +
			"any system",
		check: noHosts,
		lacks: noInjuries,
		lacksPlain: nemesis.Lacks{
			nemesis.PowerLinks: noPeerRelays, nemesis.PowerLoss: noPeerRelays,
			nemesis.PowerPackets: noPeerRelays,
		},
		start: startLocal,
		heal:  healLocal,
		undo: func(dir string, f nemesis.OutstandingFault) error {
			return local.Undo(dir, f.Undo)
		},
		over: "no process of the cluster is left, and its links ended with its checker",
	}
}

// noPeerRelays is why the links between nodes cannot be disturbed here.
const noPeerRelays = "on one machine these nodes reach each other directly, where nothing of the " +
	"checker stands between them: give them networks of their own, --cluster netns (root, Linux), " +
	"compose or ssh"

func startLocal(ctx context.Context, l launch) (Cluster, error) {
	c, err := local.Start(ctx, local.Config{
		Nodes: l.cfg.nodes(), Command: l.command, Dir: l.dir, Logger: l.logger, Seed: l.cfg.Seed,
		BasePort: l.cfg.BasePort, Ledger: l.ledger, OnExit: l.onExit,
		Assigned: !l.deployment.Reporting, Others: l.others, Files: l.files, Logs: l.logs,
		StartTimeout: l.deployment.ReadyWithin, Grace: l.deployment.StopWithin,
	})
	if err != nil {
		return nil, err // not a Cluster that is a nil pointer
	}
	return c, nil
}

// healLocal ends the processes. The links lived in the checker and ended with it.
func healLocal(ctx context.Context, r remains) ([]string, error) {
	var lines []string
	healed, err := local.Heal(ctx, r.left.Processes)
	for _, h := range healed {
		lines = append(lines, describe(h))
	}
	if err != nil {
		return lines, err
	}
	for _, p := range r.left.Processes {
		if err := r.ledger.ProcessEnded(p); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

func describe(h local.Healed) string {
	switch {
	case len(h.Killed) == 0:
		return fmt.Sprintf("node %s: its process was gone already", h.Record.Node)
	case h.Stopped:
		return fmt.Sprintf("node %s: resumed and ended process %d, which was frozen",
			h.Record.Node, h.Killed[0])
	default:
		return fmt.Sprintf("node %s: ended process %d", h.Record.Node, h.Killed[0])
	}
}
