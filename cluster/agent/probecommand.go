package agent

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/nemesis"
)

func probeCommand(out io.Writer) *cobra.Command {
	var from, to, nonce string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "probe", Short: "Find out which nodes can be reached from here", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := ParseTargets(to)
			if err != nil {
				return err
			}
			if timeout <= 0 {
				return fmt.Errorf("%w: timeout %v", ErrUsage, timeout)
			}
			r := Probe(cmd.Context(), nemesis.Node(from), nonce, targets, timeout)
			return print(out, r)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "name of this node")
	cmd.Flags().StringVar(&to, "to", "", "whom to probe: n2=10.0.0.2:7071,…")
	cmd.Flags().StringVar(&nonce, "nonce", "", "what this probe is heard under")
	cmd.Flags().DurationVar(&timeout, "timeout", 500*time.Millisecond, "for all of it")
	_ = cmd.MarkFlagRequired("to")
	cmd.AddCommand(probeRun(), probeStart(out), probeHeard(out),
		statusCommand(out, kindProbe), stopCommand(out, kindProbe))
	return cmd
}

// probeFlags are those of run and start.
type probeFlags struct {
	daemonFlags
	name   string
	listen string
}

func (f *probeFlags) add(cmd *cobra.Command) {
	f.all(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "name of this node")
	cmd.Flags().StringVar(&f.listen, "listen", ":7071", "where to answer, by UDP and TCP")
}

func probeRun() *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use: "run", Short: "Run in the foreground", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := ProbeConfig{Name: nemesis.Node(f.name), Listen: f.listen}
			return RunProbe(cmd.Context(), f.DaemonConfig, cfg, sayReady(f.readyFD))
		},
	}
	f.add(cmd)
	return cmd
}

func probeStart(out io.Writer) *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use: "start", Short: "Start, detached", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			args := append([]string{"agent", kindProbe, "run"}, f.args()...)
			args = append(args, "--name", f.name, "--listen", f.listen)
			s, err := start(cmd.Context(), f.DaemonConfig, kindProbe, args)
			if err != nil {
				return err
			}
			return print(out, s)
		},
	}
	f.add(cmd)
	return cmd
}

func probeHeard(out io.Writer) *cobra.Command {
	var f daemonFlags
	var nonce string
	cmd := &cobra.Command{
		Use: "heard", Short: "Print who was heard here", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := AskHeard(cmd.Context(), f.Dir, nonce)
			if err != nil {
				return err
			}
			return print(out, h)
		},
	}
	f.dir(cmd)
	cmd.Flags().StringVar(&nonce, "nonce", "", "of the probe")
	return cmd
}
