package recall

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/run"
)

// least is the shortest budget: a run of a few seconds says nothing.
const least = 10 * time.Second

// outcome is what came out of a campaign.
type outcome struct {
	job
	verdict check.Verdict
	none    bool // there is no verdict at all
	cut     bool // the measurement was interrupted before its end
	// witness is the workload time until the first contradiction was complete, operations
	// how many had been called by then; without a contradiction both are those of the
	// whole campaign.
	witness    time.Duration
	operations int64
	runs       int
	reason     string
	dir        string
	err        string // empty when the harness did not fail
}

// found reports whether the campaign showed a violation.
func (o outcome) found() bool { return o.verdict == check.Invalid }

// runSeed is the seed of one of a campaign's runs: rows do not share theirs, so that they
// do not all meet the same faults.
func (j job) runSeed(i int) uint64 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s %s", j.protocol, j.bug, j.workload)
	return uint64(h.Sum32())*100_000 + j.seed*1000 + uint64(i)
}

// lengths are those of a campaign's runs: many short ones, each with other faults and
// another workload, and among them some that are long enough for what takes long. What is
// left over makes the last run longer.
func (c Config) lengths() []time.Duration {
	if c.Matrix {
		return []time.Duration{c.Budget}
	}
	turns := []time.Duration{20, 20, 30, 30, 60}
	var out []time.Duration
	for left := c.Budget; left > 0; {
		next := turns[len(out)%len(turns)] * time.Second
		if left-next < least {
			next = left
		}
		out = append(out, next)
		left -= next
	}
	return out
}

// deal is the order in which a campaign takes the workloads: another for each seed, and the
// same for all rows of a protocol.
func (j job) deal() []string {
	h := fnv.New32a()
	fmt.Fprint(h, j.protocol)
	rng := rand.New(rand.NewPCG(uint64(h.Sum32()), j.seed))
	deck := j.workloads()
	rng.Shuffle(len(deck), func(a, b int) { deck[a], deck[b] = deck[b], deck[a] })
	return deck
}

// config is one of a campaign's runs.
func (c Config) config(j job, i int, target string) run.Config {
	cfg := run.Default()
	cfg.Store, cfg.Target = c.Store, target
	cfg.Protocol, cfg.Bug = j.protocol, j.bug
	deck := j.deal()
	cfg.Workload = deck[i%len(deck)]
	cfg.Faults = strings.Split(j.faults, ",")
	cfg.TimeLimit, cfg.Rate = c.lengths()[i], c.Rate
	if !c.Matrix {
		cfg.Seed = j.runSeed(0)
		cfg = cfg.Vary(i)
	}
	if c.Nodes > 0 {
		cfg.Nodes = c.Nodes
	}
	cfg.Seed = j.runSeed(i)
	cfg.Cluster, cfg.StopOnViolation = c.Cluster, c.Cluster == "sim"
	return cfg
}

// campaign runs tests until one is invalid or the budget is spent.
func campaign(ctx context.Context, c Config, env Env, target string, j job) outcome {
	out := outcome{job: j}
	for i, length := range c.lengths() {
		res, err := run.Run(ctx, c.config(j, i, target), run.Env{
			Out: io.Discard, Logger: env.Logger, Version: env.Version, Abort: env.Abort,
		})
		out.runs++
		if err != nil {
			out.err = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if res.Result == nil {
			out.none = out.runs == 1 || out.verdict == check.Valid
			return out
		}
		if i == 0 || res.Result.Verdict > out.verdict {
			out.verdict, out.reason, out.dir = res.Result.Verdict, res.Result.Reason, res.Dir
		}
		spent, operations, err := untilWitness(res, length)
		if err == nil && out.err == "" && res.Result.Verdict == check.Valid && !c.Keep {
			err = os.RemoveAll(res.Dir)
			if out.dir == res.Dir {
				out.dir = ""
			}
		}
		if err != nil && out.err == "" {
			out.err = err.Error()
		}
		out.witness += spent
		out.operations += operations
		if out.found() {
			return out
		}
	}
	return out
}

// untilWitness returns the workload time and the operations of a run until the first
// violation was complete, or all of them.
func untilWitness(res run.Outcome, length time.Duration) (time.Duration, int64, error) {
	spent := length
	if at, ok := check.FirstWitness(*res.Result); ok && res.Result.Verdict == check.Invalid {
		spent = min(spent, at)
	}
	h, err := history.Load(res.Dir)
	if err != nil {
		return spent, 0, err
	}
	var operations int64
	for _, op := range h.Ops {
		if op.Call <= history.Time(spent) {
			operations++
		}
	}
	return spent, operations, nil
}
