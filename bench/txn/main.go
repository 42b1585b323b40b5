// Command txn measures how fast the isolation of list-append histories is decided: on
// generated ones, with anomalies planted in them if asked for. It prints the time of each
// part (on one core, from operations in memory), the memory, and the verdict.
//
//	go run ./bench/txn -txns 1000000
//	go run ./bench/txn -txns 100000 -anomaly write-skew -plant 100 -level strong-snapshot-isolation
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/txn"
	"github.com/ordeal-dev/ordeal/history"
)

func main() {
	if err := measure(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "txn:", err)
		os.Exit(1)
	}
}

func measure(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("txn", flag.ContinueOnError)
	var p plan
	flags.IntVar(&p.txns, "txns", 1_000_000, "transactions")
	flags.IntVar(&p.clients, "clients", 50, "clients")
	flags.IntVar(&p.steps, "steps", 4, "greatest number of steps of a transaction")
	flags.IntVar(&p.keys, "keys", 10, "keys in use at a time")
	flags.IntVar(&p.appends, "appends", 32, "appends to a key")
	flags.Float64Var(&p.crashed, "crashed", 0.01, "share of transactions without answer")
	flags.Float64Var(&p.stale, "stale", 0, "share of reads that miss the end of a list")
	flags.StringVar(&p.anomaly, "anomaly", none, "one of "+strings.Join(anomalies(), ", "))
	flags.IntVar(&p.plant, "plant", 0, "how many times it is planted")
	flags.Uint64Var(&p.seed, "seed", 1, "seed of the choices")
	level := flags.String("level", graph.StrictSerializable.String(), "the level that is judged")
	repeat := flags.Int("repeat", 3, "number of runs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := graph.ParseLevel(*level)
	if err != nil {
		return err
	}
	if p.txns < 1 || p.clients < 1 || p.steps < 1 || p.keys < 1 || p.appends < 1 {
		return errors.New("numbers have to be positive")
	}
	runtime.GOMAXPROCS(1)
	h := generate(p)
	fmt.Fprintf(out, "%s, %s\n", p.describe(), runtime.Version())
	debug.FreeOSMemory()
	own := memory()
	for range *repeat {
		if err := once(out, h, l); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d MiB of history, %d MiB in all\n", own>>20, memory()>>20)
	return nil
}

// once measures a graph with one order each, and the whole judgement.
func once(out io.Writer, h *history.History, l graph.Level) error {
	runtime.GC()
	start := cpu()
	g, err := txn.Graph(context.Background(), h)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "graph of %d edges %.3f s", g.Edges(), (cpu() - start).Seconds())
	for _, l := range []graph.Level{graph.Serializable, graph.StrictSerializable,
		graph.SnapshotIsolation, graph.StrongSnapshotIsolation} {
		start := cpu()
		_, ok := g.Order(l)
		fmt.Fprintf(out, ", %s %v %.3f s", l, ok, (cpu() - start).Seconds())
	}
	fmt.Fprintln(out)
	g = nil
	runtime.GC()
	start = cpu()
	r := check.ListAppend(check.TxnOptions{Level: l}).Check(context.Background(), h)
	took := cpu() - start
	fmt.Fprintf(out, "%s in %.3f s: %s\n", r.Verdict, took.Seconds(), r.Reason)
	return nil
}

// cpu returns the processor time that the program has used: the wall clock tells more of
// what else runs.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory returns the bytes of heap that the program holds now.
func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys - m.HeapReleased
}
