package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/recall"
)

const recallHelp = `Recall runs every planted bug of the reference cluster under a generic test
that knows nothing of the bug, and every correct protocol under the same test with the
same budget. It prints how many bugs were found, by class and set, with confidence intervals; after
how much time and how many operations; and whether any correct protocol came out invalid.

One campaign of a row is some runs that take the workloads of the protocol's claim in
turn, under all faults that the claim covers, until one is invalid or the budget is
spent. --only and --skip choose rows by a part of "protocol/bug"; a correct protocol's
name is "protocol/(correct)".

Exit status: 0, also when bugs were missed; 1 if a correct protocol came out invalid; 254
bad arguments; 255 the checker itself failed.`

// recallFlags are the flags of recall.
type recallFlags struct {
	cfg     recall.Config
	sets    []string
	out     string
	asJSON  bool
	verbose bool
}

func newRecall(stop interrupts, std streams) *cobra.Command {
	f := recallFlags{cfg: recall.Default()}
	cmd := &cobra.Command{
		Use:   "recall",
		Short: "Measure how many planted bugs are found, how soon, and how many false alarms there are",
		Long:  recallHelp,
		Example: `  checker recall                                 # all, five virtual minutes each
  checker recall --only paxos/mp- --for 30m
  checker recall --cluster local --set smoke --for 5m --parallel 2
  checker recall --matrix --cluster local --for 10m --results matrix.jsonl`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			for _, name := range f.sets {
				f.cfg.Sets = append(f.cfg.Sets, recall.Set(name))
			}
			if err := f.cfg.Validate(); err != nil {
				return usage(err)
			}
			if f.cfg.Cluster == "sim" {
				easeCollector()
			}
			return f.run(stop, std)
		},
	}
	fs, c := cmd.Flags(), &f.cfg
	fs.StringVar(&c.Cluster, "cluster", c.Cluster, "how nodes are run: sim, local; in a simulation "+
		"time is virtual, and every run ends at the first violation")
	fs.DurationVar(&c.Budget, "for", c.Budget, "workload time of a campaign")
	fs.IntVar(&c.Seeds, "seeds", c.Seeds, "campaigns of each row")
	fs.IntVar(&c.Parallel, "parallel", c.Parallel, "campaigns at the same time")
	fs.StringVar(&c.Only, "only", "", "rows whose protocol/bug contains this")
	fs.StringVar(&c.Skip, "skip", "", "no rows whose protocol/bug contains this")
	fs.StringSliceVar(&f.sets, "set", nil, "sets of planted bugs: smoke, core, needle (default: "+
		"all, and the correct protocols)")
	fs.StringVar(&c.Results, "results", "", "file of campaigns, a line each: those that it has are "+
		"not run again, so that an interrupted measurement goes on")
	fs.BoolVar(&c.Matrix, "matrix", false, "only correct protocols, each with each workload of its "+
		"claim")
	fs.IntVarP(&c.Nodes, "nodes", "n", c.Nodes, "nodes of a cluster (default: 3, 4 and 5 in turn)")
	fs.Float64VarP(&c.Rate, "rate", "r", c.Rate, "operations a second of all clients together")
	fs.StringVar(&c.Store, "store", c.Store, "directory of all runs")
	fs.BoolVar(&c.Keep, "keep", false, "keep the files of valid runs, too")
	fs.StringVar(&c.Target, "target", "", "program of the reference cluster's nodes, which is asked "+
		"for its bugs (default: found or built)")
	fs.StringVarP(&f.out, "out", "o", "", "file for the table (default: standard output)")
	fs.BoolVar(&f.asJSON, "json", false, "write JSON instead of Markdown")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "log what the checker does")
	return cmd
}

// run measures and writes the table.
func (f *recallFlags) run(stop interrupts, std streams) error {
	report, err := recall.Measure(stop.gentle, f.cfg, recall.Env{
		Out: std.err, Now: time.Now, Version: version(), Logger: logger(std.err, f.verbose),
		Abort: stop.hard,
	})
	if err != nil {
		return err
	}
	write := report.WriteMarkdown
	if f.asJSON {
		write = func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(report)
		}
	}
	if err := writeTo(f.out, std.out, write); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if report.FalseAlarms.Invalid > 0 {
		return verdictReached{check.Invalid}
	}
	return nil
}

// writeTo writes to a file, or to out if it has no name.
func writeTo(path string, out io.Writer, write func(io.Writer) error) (err error) {
	if path == "" {
		return write(out)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return write(f)
}
