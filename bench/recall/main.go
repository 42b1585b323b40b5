// Command recall measures how well the harness finds what it claims to find: it
// runs every planted bug of the reference cluster under a generic test that knows
// nothing of the bug, over several seeds, and the correct protocols under the
// same test, and writes the table of docs/RECALL.md.
//
// One seed of one bug is a campaign: runs of growing length, each with a seed of
// its own, until one is invalid or the budget of workload time is spent. The time
// to the first witness is counted over the whole campaign.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/run"
	"github.com/ordeal-dev/ordeal/systems"
)

// subject is one row of the table: a protocol with a planted bug, or without.
type subject struct {
	protocol, bug string
	// workload is one, or several that a campaign takes in turn, with commas.
	workload string
	faults   string
}

// workloads are those of the subject.
func (s subject) workloads() []string { return strings.Split(s.workload, ",") }

// subjects are the rows: of the bugs those that every harness should find, of the
// correct protocols each with the first of its workloads; or, for the matrix, the
// correct protocols with each of theirs.
func subjects(ctx context.Context, target string, o options) ([]subject, error) {
	bugs, err := plantedBugs(ctx, target)
	if err != nil {
		return nil, err
	}
	planted := map[string]bool{} // and not to be planted again
	var rows []subject
	for _, p := range systems.Protocols() {
		if o.matrix {
			for _, w := range p.Workloads {
				rows = append(rows, subject{
					protocol: p.Name, workload: w, faults: strings.Join(p.Faults, ","),
				})
			}
			continue
		}
		// Two protocols are the yardstick: one workload, and the general faults. Of the
		// others a bug may need any workload and any fault of the claim.
		chosen, faults := p.Workloads[0], "all"
		if p.Name != "paxos" && p.Name != "quorum" {
			chosen, faults = strings.Join(p.Workloads, ","), strings.Join(p.Faults, ",")
		}
		for _, b := range bugs {
			if (o.all || b.Smoke) && slices.Contains(b.Protocols, p.Name) && !planted[b.ID] {
				planted[b.ID] = o.all
				rows = append(rows, subject{p.Name, b.ID, chosen, faults})
			}
		}
		rows = append(rows, subject{protocol: p.Name, workload: p.Workloads[0], faults: faults})
	}
	return rows, nil
}

// plantedBug is what the target says of a bug.
type plantedBug struct {
	ID        string   `json:"id"`
	Protocols []string `json:"protocols"`
	Smoke     bool     `json:"smoke"`
}

func plantedBugs(ctx context.Context, target string) ([]plantedBug, error) {
	out, err := exec.CommandContext(ctx, target, "bugs", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("bugs of %s: %w", target, err)
	}
	var bugs []plantedBug
	if err := json.Unmarshal(out, &bugs); err != nil {
		return nil, fmt.Errorf("bugs of %s: %w", target, err)
	}
	return bugs, nil
}

// job is one campaign.
type job struct {
	subject
	seed uint64
}

// runSeed is the seed of one of a campaign's runs: rows do not share theirs, so that they
// do not all meet the same faults.
func (j job) runSeed(i int) uint64 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s %s", j.protocol, j.bug, j.workload)
	return uint64(h.Sum32())*100_000 + j.seed*1000 + uint64(i)
}

// outcome is what came out of a campaign.
type outcome struct {
	job
	verdict check.Verdict
	// witness is the workload time until the first contradiction was complete.
	witness time.Duration
	runs    int
	reason  string
	dir     string
	err     string // empty when the harness did not fail
}

type options struct {
	seeds, parallel int
	budget          time.Duration
	store, out      string
	only, skip      string
	results         string
	matrix, all     bool
	cluster         string
	nodes           int
	rate            float64
}

func main() {
	var o options
	flag.IntVar(&o.seeds, "seeds", 10, "campaigns for each row")
	flag.IntVar(&o.parallel, "parallel", 3, "campaigns at the same time")
	flag.DurationVar(&o.budget, "for", 3*time.Minute, "workload time of a campaign")
	flag.StringVar(&o.store, "store", "store", "directory of all runs")
	flag.StringVar(&o.out, "out", "", "file for the table; empty is standard output")
	flag.StringVar(&o.only, "only", "", "rows whose protocol/bug contains this")
	flag.StringVar(&o.skip, "skip", "", "no rows whose protocol/bug contains this")
	flag.StringVar(&o.results, "results", "", "file of campaigns, a line each: those that it has "+
		"are not run again, so that an interrupted measurement goes on")
	flag.BoolVar(&o.matrix, "matrix", false,
		"only correct protocols, each with each workload of its claim")
	flag.BoolVar(&o.all, "all", false,
		"every planted bug, once, in the first protocol that it can be planted in")
	flag.StringVar(&o.cluster, "cluster", "local", "how nodes are run; sim: in virtual time, and "+
		"every run ends at the first violation")
	flag.IntVar(&o.nodes, "nodes", run.Default().Nodes, "nodes of a cluster")
	flag.Float64Var(&o.rate, "rate", run.Default().Rate, "operations a second of a campaign")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "recall:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) error {
	target, err := run.FindTarget(ctx, "", run.BuildDir())
	if err != nil {
		return err
	}
	rows, err := subjects(ctx, target, o)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(s subject) bool {
		id := s.protocol + "/" + name(s.bug)
		return !strings.Contains(id, o.only) || o.skip != "" && strings.Contains(id, o.skip)
	})
	memory, err := openMemory(o.results)
	if err != nil {
		return err
	}
	defer memory.close()
	results := map[subject][]outcome{}
	var pending []job
	for seed := range o.seeds {
		for _, s := range rows {
			j := job{s, uint64(seed + 1)}
			if known, ok := memory.known[j]; ok {
				results[s] = append(results[s], known)
				continue
			}
			pending = append(pending, j)
		}
	}
	for r := range campaigns(ctx, o, target, pending) {
		fmt.Fprintf(os.Stderr, "%s %-17s %-22s %-14s seed %-3d %-8s %6.1fs in %d runs  %s %v\n",
			time.Now().Format("15:04:05"), r.protocol, name(r.bug), r.workload, r.seed, r.verdict,
			r.witness.Seconds(), r.runs, r.dir, r.err)
		if ctx.Err() != nil {
			continue // cut short, so not a result
		}
		results[r.subject] = append(results[r.subject], r)
		if err := memory.add(r); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	w := io.Writer(os.Stdout)
	if o.out != "" {
		f, err := os.Create(o.out)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	return writeTable(w, o, rows, results)
}

// campaigns runs campaigns, as many at a time as the options say. The channel is closed
// after the last.
func campaigns(ctx context.Context, o options, target string, pending []job) <-chan outcome {
	jobs, done := make(chan job), make(chan outcome)
	var workers sync.WaitGroup
	for range o.parallel {
		workers.Go(func() {
			for j := range jobs {
				done <- campaign(ctx, o, target, j)
			}
		})
	}
	go func() {
		defer close(jobs)
		for _, j := range pending {
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { workers.Wait(); close(done) }()
	return done
}

// campaign runs tests until one is invalid or the budget is spent. The correct
// protocol gets the whole budget in one run.
func campaign(ctx context.Context, o options, target string, j job) outcome {
	lengths := []time.Duration{o.budget / 6, o.budget / 3, o.budget / 2}
	if j.bug == "" {
		lengths = []time.Duration{o.budget}
	}
	out := outcome{job: j}
	var spent time.Duration
	for i, length := range lengths {
		cfg := run.Default()
		cfg.Store, cfg.Target = o.store, target
		cfg.Protocol, cfg.Bug = j.protocol, j.bug
		cfg.Workload = j.workloads()[i%len(j.workloads())]
		cfg.Faults = strings.Split(j.faults, ",")
		cfg.TimeLimit, cfg.Nodes, cfg.Rate = length, o.nodes, o.rate
		cfg.Seed = j.runSeed(i)
		cfg.Cluster, cfg.StopOnViolation = o.cluster, o.cluster == "sim"
		res, err := run.Run(ctx, cfg, run.Env{
			Out: io.Discard, Logger: slog.New(slog.DiscardHandler), Version: "recall", Abort: ctx,
		})
		out.runs++
		out.err, out.dir = errorText(err), res.Dir
		if res.Result == nil {
			return out
		}
		out.verdict, out.reason = res.Result.Verdict, res.Result.Reason
		if out.verdict == check.Invalid {
			out.witness = spent + witness(*res.Result, length)
			return out
		}
		spent += length
		out.witness = spent
	}
	return out
}

// witness returns when the earliest complete counter-example was complete.
func witness(r check.Result, length time.Duration) time.Duration {
	first := length
	for _, c := range r.Counterexamples {
		var last int64
		for _, op := range c.Ops {
			last = max(last, op.Call, op.Return)
		}
		if last > 0 {
			first = min(first, time.Duration(last))
		}
	}
	if d, ok := r.Details.(check.AvailabilityDetails); ok && r.Verdict == check.Invalid {
		for _, g := range d.Gaps {
			first = min(first, time.Duration(g.To))
		}
	}
	for _, p := range r.Parts {
		first = min(first, witness(p, length))
	}
	return first
}

func name(bug string) string {
	if bug == "" {
		return "(correct)"
	}
	return bug
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
