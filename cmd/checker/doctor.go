package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/run"
)

func newDoctor(std streams) *cobra.Command {
	f := testFlags{cfg: run.Default()}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what can be done on this machine or on hosts, by trying",
		Long: `Doctor tries what a test needs. For a local cluster: starting, freezing and killing
a process, links on the loopback interface, finding or building the nodes' program.
For others, on each node: the login, the firewall, loss, queues, signals, the disk,
whether the nodes reach each other, and so on, each with a look at its effect. It says
what works, and what to do about the rest. It leaves nothing behind.`,
		Example: `  checker doctor
  sudo checker doctor --cluster netns
  checker doctor --cluster ssh --nodes-file nodes`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.cfg.Cluster == run.Default().Cluster {
				return examineHere(cmd, std)
			}
			f.cfg.ChooseHosts(run.SiteNodesFile)
			if err := f.cfg.CountHosts(); err != nil {
				return usage(err)
			}
			return examineHosts(cmd, std, f.cfg)
		},
	}
	f.bindHosts(cmd)
	return cmd
}

var errDoctor = errors.New("not every test can be run here; see above")

// examineHere tries what a local cluster needs.
func examineHere(cmd *cobra.Command, std streams) error {
	findings := append(local.Doctor(cmd.Context()), targetFinding(cmd))
	ok := true
	for _, f := range findings {
		mark := "ok  "
		if !f.OK {
			mark, ok = "FAIL", false
		}
		fmt.Fprintf(std.out, "%s  %s: %s\n", mark, f.Name, f.Detail)
	}
	if !ok {
		return errDoctor
	}
	return nil
}

// examineHosts tries everything on all hosts.
func examineHosts(cmd *cobra.Command, std streams, cfg run.Config) error {
	program, missing := run.FindTarget(cmd.Context(), "", run.BuildDir())
	report, err := run.Doctor(cmd.Context(), cfg, program)
	if len(report.Rows) == 0 {
		return usage(err)
	}
	if missing != nil {
		fmt.Fprintln(std.err, "checker:", oneLine(missing))
	}
	if err := errors.Join(report.Print(std.out), err); err != nil {
		return err
	}
	if !report.OK() {
		return errDoctor
	}
	return nil
}

func targetFinding(cmd *cobra.Command) local.Finding {
	f := local.Finding{Name: "reference cluster", OK: true}
	path, err := run.FindTarget(cmd.Context(), "", run.BuildDir())
	if err != nil {
		return local.Finding{Name: f.Name, Detail: oneLine(err)}
	}
	f.Detail = "nodes run " + path
	return f
}
