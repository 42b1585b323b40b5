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
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/run"
)

// subject is one row of the table: a protocol with a planted bug, or without.
type subject struct {
	protocol, workload, bug string
}

func subjects() []subject {
	var all []subject
	for _, p := range []struct {
		protocol, workload string
		bugs               []string
	}{
		{"paxos", "cas-register", []string{
			"cli-no-dedup", "cli-timeout-as-fail", "cli-error-as-ok", "stor-no-fsync",
			"mp-read-local-leader", "mp-apply-over-hole", "mp-cas-at-propose",
			"mp-no-check-quorum",
		}},
		{"quorum", "register", []string{
			"cli-timeout-as-fail", "cli-error-as-ok", "stor-no-fsync",
			"abd-no-write-back", "abd-sloppy-quorum",
		}},
	} {
		for _, b := range p.bugs {
			all = append(all, subject{p.protocol, p.workload, b})
		}
		all = append(all, subject{p.protocol, p.workload, ""})
	}
	return all
}

// job is one campaign.
type job struct {
	subject
	seed uint64
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
	err     error
}

type options struct {
	seeds, parallel int
	budget          time.Duration
	store, out      string
	only            string
}

func main() {
	var o options
	flag.IntVar(&o.seeds, "seeds", 10, "campaigns for each row")
	flag.IntVar(&o.parallel, "parallel", 3, "campaigns at the same time")
	flag.DurationVar(&o.budget, "for", 3*time.Minute, "workload time of a campaign")
	flag.StringVar(&o.store, "store", "store", "directory of all runs")
	flag.StringVar(&o.out, "out", "", "file for the table; empty is standard output")
	flag.StringVar(&o.only, "only", "", "rows whose protocol/bug contains this")
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
	jobs := make(chan job)
	done := make(chan outcome)
	var workers sync.WaitGroup
	for range o.parallel {
		workers.Go(func() {
			for j := range jobs {
				done <- campaign(ctx, o, target, j)
			}
		})
	}
	rows := chosen(o.only)
	go func() {
		defer close(jobs)
		for seed := range o.seeds {
			for _, s := range rows {
				select {
				case jobs <- job{s, uint64(seed + 1)}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	go func() { workers.Wait(); close(done) }()
	results := map[subject][]outcome{}
	for r := range done {
		results[r.subject] = append(results[r.subject], r)
		fmt.Fprintf(os.Stderr, "%s %-7s %-22s seed %-3d %-8s %6.1fs in %d runs  %s %v\n",
			time.Now().Format("15:04:05"), r.protocol, name(r.bug), r.seed, r.verdict,
			r.witness.Seconds(), r.runs, r.dir, errorText(r.err))
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

func chosen(only string) []subject {
	var rows []subject
	for _, s := range subjects() {
		if strings.Contains(s.protocol+"/"+name(s.bug), only) {
			rows = append(rows, s)
		}
	}
	return rows
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
		cfg.Protocol, cfg.Workload, cfg.Bug = j.protocol, j.workload, j.bug
		cfg.TimeLimit = length
		cfg.Seed = j.seed*1000 + uint64(i)
		res, err := run.Run(ctx, cfg, run.Env{
			Out: io.Discard, Logger: slog.New(slog.DiscardHandler), Version: "recall", Abort: ctx,
		})
		out.runs++
		out.err, out.dir = err, res.Dir
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
