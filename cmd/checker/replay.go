package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/run"
)

func newReplay(stop interrupts, std streams) *cobra.Command {
	var store string
	var verbose, leash bool
	cmd := &cobra.Command{
		Use:   "replay [DIR]",
		Short: "Run a stored test again: its seed, operations, faults, targets and times",
		Long: `Replay repeats the test of a stored run (default: store/latest) on the same kind of
cluster and judges it anew.

A simulated run (checker test --cluster sim) is repeated bit for bit: the new history
has to be the same, byte for byte, on any machine. If it is not, replay names the first
line that differs and fails with status 255.

Of other runs the seed, the operations, and the times, kinds and victims of the faults
are repeated; what messages and threads do in between is not in anybody's hands. Run it
some times, or shrink the run: checker shrink --help.

Exit status: that of the new verdict.`,
		Example: `  checker replay
  checker replay store/reference-paxos-cas-register/20261126T220334.344Z`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			stop := leashed(stop, leash)
			r, err := run.Replay(stop.gentle, dirOf(args), store, environment(stop, std, verbose))
			if errors.Is(err, run.ErrNoRun) {
				return usage(err)
			}
			if r.Result == nil {
				return err
			}
			printOutcome(std.out, r.Outcome)
			if r.Exact && r.Same {
				fmt.Fprintf(std.out, "history: the same as that of %s, all %d bytes\n", r.Original, r.Bytes)
			}
			if errors.Is(err, run.ErrOtherHistory) {
				return err
			}
			return judged(std, r.Result.Verdict, err)
		},
	}
	leashFlag(cmd, &leash)
	cmd.Flags().StringVar(&store, "store", "", "directory of the new run (default: the old one's)")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what the checker does")
	return cmd
}

// dirOf is the run that a command is about.
func dirOf(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return latest
}

func newShrink(stop interrupts, std streams) *cobra.Command {
	var opts run.ShrinkOptions
	var verbose bool
	cmd := &cobra.Command{
		Use:   "shrink [DIR]",
		Short: "Find the smallest test that shows the violation of a stored run",
		Long: `Shrink leaves out faults, keys, clients and operations of an invalid run (default:
store/latest) as long as the same judge finds a violation, in large pieces first, then
one by one (delta debugging). The smallest test is run once more, whole, below the
directory "shrunk" of the run, with its schedule of faults and its operations; the
reports of both runs tell of it.

In the simulator every try is a test in virtual time, and what comes out can be replayed
bit for bit. A smaller test is another test, whose messages travel in other ways; so each
is tried with some seeds of nodes and network before it is given up (--tries).

On processes and hosts a smaller test has to show the violation in --need of --tries
runs, in real time: better find the violation in the simulator first, with
checker test --cluster sim.

Exit status: that of the smallest test, 1; 255 when the operations and faults of the run
do not show the violation again.`,
		Example: `  checker test --cluster sim --protocol paxos --bug mp-read-local-leader
  checker shrink
  checker shrink --for 30m --tries 8 store/latest`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := dirOf(args)
			test, err := run.LoadTest(dir)
			if err != nil {
				return usage(err)
			}
			if test.Config.Cluster == "sim" {
				easeCollector()
			}
			standard := run.DefaultShrink(test.Config.Cluster)
			for _, f := range []struct {
				name string
				use  func()
			}{
				{"tries", func() { opts.Tries = standard.Tries }},
				{"need", func() { opts.Need = standard.Need }},
				{"for", func() { opts.For = standard.For }},
			} {
				if !cmd.Flags().Changed(f.name) {
					f.use()
				}
			}
			if opts.Need < 1 || opts.Tries < opts.Need {
				return usage(fmt.Errorf("need is %d of %d tries: want 1 or more, and no more than tries",
					opts.Need, opts.Tries))
			}
			out, size, err := run.Shrink(stop.gentle, dir, opts, environment(stop, std, verbose))
			if out.Result == nil {
				return err
			}
			printOutcome(std.out, out)
			fmt.Fprintf(std.out, "shrunk:  %s\n", size)
			return judged(std, out.Result.Verdict, err)
		},
	}
	cmd.Flags().IntVar(&opts.Tries, "tries", 0, "runs that a smaller test gets (default: by cluster)")
	cmd.Flags().IntVar(&opts.Need, "need", 0, "how many of them have to show it (default: by cluster)")
	cmd.Flags().DurationVar(&opts.For, "for", 0, "time limit (default: 10m simulated, else 2h)")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what the checker does")
	return cmd
}
