// Command trackrecord puts systems that other people wrote under test and looks whether
// their known anomalies are found, and whether their safe settings are left alone. Each
// row has a red and a green side, which differ by one setting. The verdict is that of the
// ordinary workloads and checkers (checker test, as the table's commands show); nothing
// here knows how an anomaly comes about.
//
// It runs nodes in network namespaces, so it needs Linux and root, and installs what is
// missing: packages of Debian, and programs built from the Go module proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	only, out, store, cache string
	times                   int
	seed                    uint64
	install                 bool
}

func main() {
	var o options
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	flag.StringVar(&o.only, "only", "", "rows whose name contains this")
	flag.StringVar(&o.out, "out", "", "file for the table; empty is standard output")
	flag.StringVar(&o.store, "store", "store", "directory of all runs")
	flag.StringVar(&o.cache, "cache", filepath.Join(cache, "ordeal", "systems"),
		"where programs are built that are no packages")
	flag.IntVar(&o.times, "times", 3, "runs of each side")
	flag.Uint64Var(&o.seed, "seed", 1, "the first run's seed; the others follow")
	flag.BoolVar(&o.install, "install", true, "install missing packages by apt-get")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "trackrecord:", err)
		os.Exit(1)
	}
}

// errDiffer is returned when a side did not come out as stated.
var errDiffer = errors.New("not all rows came out as stated")

func record(ctx context.Context, o options) error {
	chosen := slices.DeleteFunc(rows(), func(r row) bool { return !strings.Contains(r.name, o.only) })
	if len(chosen) == 0 {
		return fmt.Errorf("no row has %q in its name", o.only)
	}
	bench, err := prepare(ctx, o, chosen)
	if err != nil {
		return err
	}
	defer bench.close()
	var done []outcome
	for _, r := range chosen {
		for i := range o.times {
			for _, s := range []*side{&r.red, &r.green} {
				began := time.Now()
				got, err := bench.run(ctx, r, *s, o.seed+uint64(i))
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, s.name, err)
				}
				fmt.Fprintf(os.Stderr, "%s  %-6s %-45s seed %d  %-7s  %s  (%.0f s)\n",
					time.Now().Format("15:04:05"), got.mark(), r.name+": "+s.name, got.seed, got.verdict,
					got.reason, time.Since(began).Seconds())
				done = append(done, got)
			}
		}
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
	if err := writeTable(w, o, chosen, done); err != nil {
		return err
	}
	if slices.ContainsFunc(done, func(o outcome) bool { return !o.asStated }) {
		return errDiffer
	}
	return nil
}
