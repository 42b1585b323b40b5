package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/run"
	"github.com/ordeal-dev/ordeal/soak"
)

const (
	soakHelp = `Soak runs the tests of a plan, a matrix of systems, workloads, faults and times, one
after the other or side by side, until its time or its number of runs is used up. Each
run has a seed of its own, made from one master seed and the run's number, and is a
process of its own: one that hangs, crashes or eats the memory is one bad run.

A plan, in YAML (every key: docs/SOAK.md; examples/soak/ has some):

  name: nightly
  budget: {time: 8h, disk: 20GB, memory: 8GB}
  repeat: 5                    # how often what was found is run again with its seed
  defaults: {cluster: sim, rate: 100, time: 5m}
  matrix:
    - protocol: [paxos, quorum]          # lists span the matrix
      workload: all                      # each that the claim suggests
      faults: [all, "partition,kill"]
      weight: 3                          # three runs of each for one of the others
    - canary: true                       # has to be found, or the night is red
      protocol: paxos
      bug: cli-timeout-as-fail

The directory of the soak, soak/NAME, gets summary.md (heat map, findings), summary.json,
junit.xml, metrics.prom, issues/ (a text for each finding) and store/ (the runs; see
checker serve --store soak/NAME/store). It may be killed at any moment: the same command
goes on, and neither loses nor repeats a run. Ctrl-C ends the runs that go on, heals
what they hurt, and writes the summary.

Exit status: 1 something was violated, 255 a run crashed or a canary was not found,
2 a run has no verdict, 0 all were valid; the gravest of these. 254 a mistake in the plan.`

	soakExamples = `  checker soak examples/soak/quick.yaml --runs 20
  checker soak plan.yaml --for 8h
  checker soak plan.yaml --for 8h --out soak/2026-11-27 --disk 50GB --parallel 4
  checker soak plan.yaml --dry-run              # the matrix and the first runs
  checker soak plan.yaml --runs 1000 --seed 7 --shard 3/10 --out soak/shard-3
  checker soak merge soak/shard-* --out soak/all
  checker soak plan.yaml --for 8h --emit kubernetes --shards 20 --image registry/ordeal-control
  checker soak status soak/nightly`
)

// soakGrace is how long runs may take to heal when the soak is interrupted: their phase of
// healing, and what comes after it.
const soakGrace = 2*time.Minute + 30*time.Second

// soakFlags are the flags of soak.
type soakFlags struct {
	opts                     soak.Options
	seed                     uint64
	shard, disk, memory, out string
	dryRun                   bool
	metrics                  string
	emit                     string
	pods                     soak.Kubernetes
}

func newSoak(stop interrupts, std streams) *cobra.Command {
	var f soakFlags
	cmd := &cobra.Command{
		Use:     "soak PLAN",
		Short:   "Run the tests of a plan for hours, with fresh seeds, and tell what was found",
		Long:    soakHelp,
		Example: soakExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("%s takes one plan, got %d arguments", cmd.CommandPath(), len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, stop, std, args[0])
		},
	}
	fs, o := cmd.Flags(), &f.opts
	fs.DurationVar(&o.Budget.Time, "for", 0, "how long to be at work (default: the plan's)")
	fs.IntVar(&o.Budget.Runs, "runs", 0, "how many runs of the plan (default: the plan's, or any)")
	fs.StringVarP(&f.out, "out", "o", "", "directory of the soak (default: soak/NAME)")
	fs.Uint64Var(&f.seed, "seed", 0, "master seed (default: the plan's, or fresh)")
	fs.StringVar(&f.shard, "shard", "1/1", "part of the plan, K/N; job/N takes K from a Kubernetes "+
		"job")
	fs.IntVar(&o.Budget.Parallel, "parallel", 0, "runs at a time (default: the plan's, or what the "+
		"machine is good for)")
	fs.StringVar(&f.disk, "disk", "", "what the runs' files may take, 20GB (default: the plan's)")
	fs.StringVar(&f.memory, "memory", "", "what all runs that go on may take, 8GB (default: the "+
		"plan's)")
	fs.StringVar(&o.Target, "target", "", "program of the reference cluster's nodes (default: found "+
		"or built)")
	fs.StringVar(&f.metrics, "metrics", "", "address to answer Prometheus at, /metrics, as in "+
		"127.0.0.1:9464")
	fs.StringVar(&f.emit, "emit", "", "print what runs the plan elsewhere: kubernetes")
	fs.IntVar(&f.pods.Shards, "shards", 10, "of --emit: how many pods share the plan")
	fs.StringVar(&f.pods.Image, "image", "ordeal-control", "of --emit: the image")
	fs.StringVar(&f.pods.Checker, "image-checker", "/usr/local/lib/ordeal/checker",
		"of --emit: where the image has the checker")
	fs.StringVar(&f.pods.StorageClass, "storage-class", "", "of --emit: class of the volume that "+
		"all pods share (default: the cluster's)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only print the matrix and the first runs")
	cmd.AddCommand(newSoakStatus(std), newSoakMerge(std))
	return cmd
}

// run soaks a plan.
func (f *soakFlags) run(cmd *cobra.Command, stop interrupts, std streams, path string) error {
	plan, err := soak.LoadPlan(path)
	if err != nil {
		return usage(err)
	}
	o := &f.opts
	o.Plan, o.Seed = plan, f.seed
	if cmd.Flags().Changed("seed") {
		plan.Seed, plan.Seeded = f.seed, true
	} else if !plan.Seeded {
		o.Seed = freshSeed()
	}
	if err := f.parse(); err != nil {
		return usage(err)
	}
	if f.dryRun {
		return soak.WriteMatrix(std.out, *o)
	}
	if f.emit != "" {
		return f.writeManifests(std)
	}
	if err := o.Validate(); err != nil {
		return usage(err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("soak: find this program: %w", err)
	}
	o.Program = []string{self}
	if err := findSoakTarget(stop.gentle, o); err != nil {
		return err
	}
	o.Version, o.Out, o.Terminal = version(), std.err, isTerminal(std.err)
	o.Grace, o.Now, o.Abort = soakGrace, time.Now, stop.hard
	if f.metrics != "" {
		scraped, quiet := context.WithCancel(context.Background())
		defer quiet()
		l, err := listen(std, f.metrics)
		if err != nil {
			return err
		}
		crash.Go(func() {
			if err := serveAt(scraped, l, soak.MetricsHandler(o.Dir)); err != nil {
				fmt.Fprintln(std.err, "checker: metrics:", oneLine(err))
			}
		})
	}
	sum, err := soak.Run(stop.gentle, *o)
	return soaked(std, o.Dir, sum, err)
}

// writeManifests prints what runs the plan elsewhere.
func (f *soakFlags) writeManifests(std streams) error {
	if f.emit != "kubernetes" {
		return usage(fmt.Errorf("--emit %q: there is kubernetes", f.emit))
	}
	f.pods.Seed = f.opts.Seed
	if f.opts.Plan.Seeded {
		f.pods.Seed = f.opts.Plan.Seed
	}
	if err := soak.WriteKubernetes(std.out, f.opts, f.pods); err != nil {
		return usage(err)
	}
	return nil
}

// parse reads the flags that are words.
func (f *soakFlags) parse() error {
	o := &f.opts
	if o.Dir = f.out; o.Dir == "" {
		o.Dir = filepath.Join("soak", o.Plan.Name)
	}
	var errs []error
	for _, s := range []struct {
		name, text string
		to         *int64
	}{{"disk", f.disk, &o.Budget.Disk}, {"memory", f.memory, &o.Budget.Memory}} {
		if s.text == "" {
			continue
		}
		var err error
		if *s.to, err = soak.ParseSize(s.text); err != nil {
			errs = append(errs, fmt.Errorf("--%s %q: %w", s.name, s.text, err))
		}
	}
	var err error
	o.Shard, o.Shards, err = soak.ParseShard(f.shard, os.Getenv)
	return errors.Join(append(errs, err)...)
}

// findSoakTarget finds the program of the nodes once for all runs, if any needs it.
func findSoakTarget(ctx context.Context, o *soak.Options) error {
	for _, c := range o.Plan.Cells {
		if c.Config.System != run.Default().System || c.Cluster == "sim" ||
			len(c.Config.Endpoints) > 0 {
			continue
		}
		target, err := run.FindTarget(ctx, o.Target, run.BuildDir())
		if errors.Is(err, run.ErrTarget) {
			return usage(err)
		}
		o.Target = target
		return err
	}
	return nil
}

// soaked prints what came of a soak and turns it into the exit status. Trouble of the soak
// itself never hides what was found.
func soaked(std streams, dir string, sum soak.Summary, err error) error {
	if errors.Is(err, soak.ErrOver) || errors.Is(err, soak.ErrOther) {
		return usage(err)
	}
	if sum.Name == "" {
		return err
	}
	fmt.Fprintln(std.out)
	if terr := sum.Text(std.out); terr != nil {
		return errors.Join(err, terr)
	}
	fmt.Fprintf(std.out, "\nsummary: %s\n", filepath.Join(dir, "summary.md"))
	if step := os.Getenv(summaryVariable); step != "" {
		if serr := appendFile(step, filepath.Join(dir, "summary.md")); serr != nil {
			fmt.Fprintf(std.err, "checker: %s: %v\n", summaryVariable, serr)
		}
	}
	if err != nil && sum.Outcome != soak.Violated {
		return err
	}
	if err != nil {
		fmt.Fprintln(std.err, "checker:", oneLine(err))
	}
	switch sum.Outcome {
	case soak.Violated:
		return verdictReached{check.Invalid}
	case soak.Crashed:
		return errors.New(sum.Reason)
	case soak.Unknown:
		return verdictReached{check.Unknown}
	default:
		return verdictReached{check.Valid}
	}
}

func newSoakStatus(std streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status DIR…",
		Short: "Tell what soaks came to so far, also while they go on",
		Long: `Status reads the journals of soaks and tells what they came to so far. Of several
directories, the shards of a plan or several nights of it, it tells together.

Exit status: that of the soak so far.`,
		Example: `  checker soak status soak/nightly
  checker soak status --json soak/shard-* | jq .findings[].id`,
		RunE: func(_ *cobra.Command, args []string) error {
			sum, err := soakSummary(args)
			if err != nil {
				return err
			}
			if !asJSON {
				return soakStatus(sum, sum.Text(std.out))
			}
			enc := json.NewEncoder(std.out)
			enc.SetIndent("", "  ")
			return soakStatus(sum, enc.Encode(sum))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print summary.json")
	return cmd
}

// soakSummary is the summary of the directories of a command line.
func soakSummary(dirs []string) (soak.Summary, error) {
	if len(dirs) == 0 {
		return soak.Summary{}, usage(errors.New("name the directory of a soak, soak/NAME"))
	}
	sum, err := soak.Merge(dirs)
	if err != nil {
		return sum, usage(err)
	}
	return sum, nil
}

// soakStatus is the exit status of a summary that was printed.
func soakStatus(sum soak.Summary, err error) error {
	if err != nil {
		return err
	}
	status := map[soak.Outcome]check.Verdict{
		soak.Valid: check.Valid, soak.Unknown: check.Unknown, soak.Violated: check.Invalid,
	}
	if v, ok := status[sum.Outcome]; ok {
		return verdictReached{v}
	}
	return errors.New(sum.Reason)
}

func newSoakMerge(std streams) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "merge DIR…",
		Short: "Make one summary of several soaks: the shards of a plan, or several nights",
		Long: `Merge writes one summary of several soaks of one plan, in all its forms, as if they had
been one: summary.md, summary.json, junit.xml, metrics.prom, issues/. The soaks may be
shards, or nights with other seeds, for what was seen first and last; a run that two of
them have is a mistake. They may go on.

Exit status: as of one soak.`,
		Example: `  checker soak merge soak/shard-* --out soak/all
  checker soak merge soak/2026-11-2* --out soak/week`,
		RunE: func(_ *cobra.Command, args []string) error {
			sum, err := soakSummary(args)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return usage(fmt.Errorf("merge: %w", err))
			}
			return soaked(std, out, sum, sum.Write(out))
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "soak/merged",
		"directory of the summary")
	return cmd
}
