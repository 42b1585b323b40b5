// Command throughput measures how many operations a second the harness can
// generate, perform with a client that does nothing, and record: the ceiling of
// every test, whatever the system under test can do. An operation counts when both
// of its events are in the history file and the file is synced.
//
// It prints one line a run, and repeats as often as asked:
//
//	go run ./bench/throughput -workload register -threads 10 -ops 1000000 -repeat 3
//
// With -watch every run is done twice, without and with what checker test
// --stop-on-violation does besides, so that its cost can be seen. The system is one that
// keeps its promise then, and with -latency takes a while to answer, as real ones do.
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
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
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

// bench is what all runs have in common.
type bench struct {
	w            workload.Workload
	o            workload.Options
	threads, ops int
	seed         uint64
	latency      time.Duration
	// real asks for a system that does something.
	real bool
	out  io.Writer
}

// figures are what a run took.
type figures struct{ seconds, cpu float64 }

func measure(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("throughput", flag.ContinueOnError)
	name := flags.String("workload", "register", "the workload")
	threads := flags.Int("threads", 10, "worker threads")
	ops := flags.Int("ops", 1_000_000, "operations in a run")
	repeat := flags.Int("repeat", 3, "number of runs")
	seed := flags.Uint64("seed", 1, "seed of the choices")
	latency := flags.Duration("latency", 0, "how long an operation takes, with -watch")
	watch := flags.Bool("watch", false, "compare runs with those that are watched")
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
	b := bench{
		w: w, o: o, real: *watch, threads: *threads, ops: *ops, seed: *seed, latency: *latency,
		out: out,
	}
	fmt.Fprintf(out, "%s, %d threads, %d operations a run, GOMAXPROCS %d, %s\n",
		w.Name, *threads, *ops, runtime.GOMAXPROCS(0), runtime.Version())
	var plain, watched figures
	for range *repeat {
		f, err := b.once(nil)
		if err != nil {
			return err
		}
		plain.add(f)
		if !*watch {
			continue
		}
		m := w.Early(o)
		if m == nil {
			return fmt.Errorf("workload %s is not watched", w.Name)
		}
		if f, err = b.once(m); err != nil {
			return err
		}
		watched.add(f)
	}
	if *watch {
		fmt.Fprintf(out, "watched: %+.1f %% throughput, %+.1f %% processor time\n",
			100*(plain.seconds/watched.seconds-1), 100*(watched.cpu/plain.cpu-1))
	}
	return nil
}

func (f *figures) add(o figures) {
	f.seconds += o.seconds
	f.cpu += o.cpu
}

// cpu is the processor time of this process so far, in seconds.
func cpu() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, nil
}

// follow has a monitor watch what is recorded, and look at it ten times a second. What it
// returns ends that.
func follow(rec *history.Recorder, m check.Monitor) (end func() error) {
	rec.Follow(m.Observe)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var wrong error
	crash.Go(func() {
		defer close(done)
		for rest := time.Duration(0); ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(max(rest, 100*time.Millisecond)):
			}
			begin := rec.Now()
			if found, bad := m.Look(ctx, begin); bad {
				wrong = fmt.Errorf("a violation, where there is none: %s", found.Why)
				return
			}
			rest = 50 * time.Duration(rec.Now()-begin)
		}
	})
	return func() error {
		cancel()
		<-done
		rec.Follow(nil)
		return wrong
	}
}

// once does one run in a directory of its own. The recorder is the clock: it is
// read when the run begins and when everything is on the disk.
func (b *bench) once(m check.Monitor) (f figures, err error) {
	dir, err := os.MkdirTemp("", "ordeal-throughput-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, history.FileName)
	rec, err := history.Create(path, history.Header{Test: "throughput", Seed: b.seed})
	if err != nil {
		return f, err
	}
	end := func() error { return nil }
	open := func(context.Context, int) (workload.Client, error) { return noop{}, nil }
	if b.real {
		s := newStore()
		open = func(context.Context, int) (workload.Client, error) {
			return client{s: s, latency: b.latency}, nil
		}
	}
	if m != nil {
		end = follow(rec, m)
	}
	var stats workload.Stats
	used, err := cpu()
	begin := rec.Now()
	runErr := workload.Run(context.Background(), workload.RunConfig{
		Generator: workload.Limit(b.ops, b.w.Generator(b.o)), Recorder: rec,
		Concurrency: b.threads, Seed: b.seed, Stats: &stats,
		Open: open,
	})
	if err := errors.Join(err, runErr, end(), rec.Close()); err != nil {
		return f, err
	}
	f.seconds = float64(rec.Now()-begin) / 1e9
	if f.cpu, err = cpu(); err != nil {
		return f, err
	}
	f.cpu -= used
	if n := stats.Snapshot(0); n.OK+n.Fail != int64(b.ops) || n.Fail > 0 && !b.real {
		return f, fmt.Errorf("%d operations completed, want %d", n.OK, b.ops)
	}
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	what := ""
	if m != nil {
		what = "   watched"
	}
	fmt.Fprintf(b.out, "%9.0f ops/s   %6.2f s   %5.2f µs of processor time/op   %4.0f bytes/op%s\n",
		float64(b.ops)/f.seconds, f.seconds, 1e6*f.cpu/float64(b.ops),
		float64(info.Size())/float64(b.ops), what)
	return f, nil
}
