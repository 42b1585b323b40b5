package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/run"
)

// demoBug is the planted bug of the demo's second half.
const demoBug = "cli-error-as-ok"

func newDemo(stop interrupts, std streams) *cobra.Command {
	var (
		seed    uint64
		limit   time.Duration
		store   string
		verbose bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show one protocol that keeps its promise and one planted bug that is caught",
		Long: `Demo runs two tests of the reference cluster: five processes on this machine that
replicate a key-value store by Multi-Paxos, under partitions, lost, duplicated and
reordered messages, kills and pauses.

The first test runs the correct protocol and must find it valid. The second one
runs the same with a planted bug (a node that could not replicate a command tells
its client ok all the same) and must find it invalid. It needs neither root nor
Docker.

Exit status: 0 when both came out as they must, else that of the first surprise.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				seed = freshSeed()
			}
			cfg := run.Default()
			cfg.Seed, cfg.TimeLimit, cfg.Store = seed, limit, store
			return demo(stop, std, cfg, verbose)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 0, "decides everything random (default: fresh)")
	cmd.Flags().DurationVarP(&limit, "time-limit", "t", 30*time.Second, "length of each test")
	cmd.Flags().StringVar(&store, "store", run.Default().Store, "directory of all runs")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what the checker does")
	return cmd
}

// act is one half of the demo.
type act struct {
	title, bug string
	want       check.Verdict
}

func demo(stop interrupts, std streams, cfg run.Config, verbose bool) error {
	acts := []act{
		{title: "the correct protocol", want: check.Valid},
		{title: "the same, with the planted bug " + demoBug, bug: demoBug, want: check.Invalid},
	}
	env := environment(stop, std, verbose)
	var reports []string
	for i, a := range acts {
		cfg.Bug = a.bug
		if err := cfg.Validate(); err != nil {
			return usage(err)
		}
		fmt.Fprintf(std.out, "\n%d of %d: Multi-Paxos, %s (about %v)\n",
			i+1, len(acts), a.title, cfg.TimeLimit+10*time.Second)
		out, err := run.Run(stop.gentle, cfg, env)
		if out.Result == nil {
			return err
		}
		printOutcome(std.out, out)
		reports = append(reports, out.Report)
		if out.Result.Verdict != a.want {
			fmt.Fprintf(std.out, "\nThat is not what should have come out: %s was expected. "+
				"Please report it with the directory above.\n", a.want)
			if out.Result.Verdict == check.Valid {
				// The planted bug hid: no success, but no crash either.
				return verdictReached{check.Unknown}
			}
			return verdictReached{out.Result.Verdict}
		}
	}
	return conclude(std.out, reports)
}

// conclude says what was shown.
func conclude(w io.Writer, reports []string) error {
	_, err := fmt.Fprintf(w, `
%s
The correct protocol kept its promise under every fault, and the planted bug was
caught: the second report shows the operations that cannot be explained.

  valid:   %s
  invalid: %s

Open them in a browser. Next: checker test --help
`, strings.Repeat("-", 72), reports[0], reports[1])
	return err
}
