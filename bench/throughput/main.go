// Command throughput measures how many operations a second the harness can
// generate, perform with a client that does nothing, and record: the ceiling of
// every test, whatever the system under test can do. An operation counts when both
// of its events are in the history file and the file is synced.
//
// It prints one line a run, and repeats as often as asked:
//
//	go run ./bench/throughput -workload register -threads 10 -ops 1000000 -repeat 3
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

func main() {
	if err := measure(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "throughput:", err)
		os.Exit(1)
	}
}

// noop is a client of a system that answers at once.
type noop struct{}

func (noop) Invoke(_ context.Context, op history.Event) (history.Event, error) { return op, nil }
func (noop) Close() error                                                      { return nil }

func measure(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("throughput", flag.ContinueOnError)
	name := flags.String("workload", "register", "the workload")
	threads := flags.Int("threads", 10, "worker threads")
	ops := flags.Int("ops", 1_000_000, "operations in a run")
	repeat := flags.Int("repeat", 3, "number of runs")
	seed := flags.Uint64("seed", 1, "seed of the choices")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w, err := workload.Lookup(*name)
	if err != nil {
		return err
	}
	o := workload.Options{Concurrency: *threads, Nodes: 5, TimeLimit: 24 * time.Hour}
	if err := o.Validate(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %d threads, %d operations a run, GOMAXPROCS %d, %s\n",
		w.Name, *threads, *ops, runtime.GOMAXPROCS(0), runtime.Version())
	for range *repeat {
		gen := workload.Limit(*ops, w.Generator(o))
		if err := once(gen, *threads, *ops, *seed, out); err != nil {
			return err
		}
	}
	return nil
}

// once does one run in a directory of its own. The recorder is the clock: it is
// read when the run begins and when everything is on the disk.
func once(gen workload.Generator, threads, ops int, seed uint64, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "ordeal-throughput-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, history.FileName)
	rec, err := history.Create(path, history.Header{Test: "throughput", Seed: seed})
	if err != nil {
		return err
	}
	var stats workload.Stats
	begin := rec.Now()
	runErr := workload.Run(context.Background(), workload.RunConfig{
		Generator: gen, Recorder: rec, Concurrency: threads, Seed: seed, Stats: &stats,
		Open: func(context.Context, int) (workload.Client, error) { return noop{}, nil },
	})
	if err := errors.Join(runErr, rec.Close()); err != nil {
		return err
	}
	seconds := float64(rec.Now()-begin) / 1e9
	if n := stats.Snapshot(0).OK; n != int64(ops) {
		return fmt.Errorf("%d operations completed, want %d", n, ops)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%9.0f ops/s   %6.2f s   %4.0f bytes/op\n",
		float64(ops)/seconds, seconds, float64(info.Size())/float64(ops))
	return nil
}
