package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// figure is one measurement.
type figure struct {
	Verdict check.Verdict
	Reason  string
	// CPU is in seconds, Bytes how much the heap grew.
	CPU   float64
	Bytes uint64
	// By is what decided.
	By string
}

// measure decides one generated history.
func measure(ctx context.Context, s shape, engine string, l limits) (figure, error) {
	h, err := generate(s, 1)
	if err != nil {
		return figure{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := check.Options{
		Engine: engine, KeepUnknown: true, Timeout: 24 * time.Hour, Memory: uint64(l.Memory),
		Refusals: true, Counterexamples: -1, Certify: -1,
	}
	c := check.Linearizable(s.Model, o)
	runtime.GC()
	base := heap()
	before, err := spent()
	if err != nil {
		return figure{}, err
	}
	peak := make(chan uint64)
	stop := make(chan struct{})
	go watch(stop, peak, before+l.Time, cancel)
	r := c.Check(ctx, h)
	after, err := spent()
	if err != nil {
		return figure{}, err
	}
	last := heap()
	close(stop)
	f := figure{
		Verdict: r.Verdict, Reason: r.Reason, CPU: (after - before).Seconds(),
		Bytes: max(last, <-peak),
	}
	f.Bytes -= min(f.Bytes, base)
	if d, ok := r.Details.(check.LinearizableDetails); ok {
		for _, a := range d.Algorithms {
			if a.Keys > 0 {
				f.By = a.Name
			}
		}
	}
	runtime.KeepAlive(h)
	return f, nil
}

// watch remembers the size of the heap when it was largest, and cancels what takes more
// CPU time than it may.
func watch(stop <-chan struct{}, peak chan<- uint64, limit time.Duration, cancel func()) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	most := uint64(0)
	for {
		select {
		case <-tick.C:
			most = max(most, heap())
			if now, err := spent(); err != nil || now > limit {
				cancel()
			}
		case <-stop:
			peak <- most
			return
		}
	}
}

func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// spent is the CPU time of this process.
func spent() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func describe(out io.Writer, l limits) error {
	_, err := fmt.Fprintf(out, "%s, %s/%s, %d cores, limits %v of CPU time and %d MiB of memory\n\n"+
		"| model | keys | clients | operations | crashed | history | Porcupine | ours | ratio | by |\n"+
		"|---|---|---|---|---|---|---|---|---|---|\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), l.Time, l.Memory>>20)
	return err
}

// row prints one line.
func row(out io.Writer, s shape, theirs, ours figure, l limits) error {
	if theirs.Verdict != check.Unknown && theirs.Verdict != ours.Verdict {
		return fmt.Errorf("%s: Porcupine says %s, we say %s: %s", s, theirs.Verdict, ours.Verdict,
			ours.Reason)
	}
	ratio := theirs.CPU / max(ours.CPU, 1e-6)
	times := rounded(ratio)
	if theirs.Verdict == check.Unknown {
		times = "> " + times
	}
	if ours.Verdict == check.Unknown {
		times = "–"
	}
	_, err := fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %s | %s | %s | %s | %s |\n",
		s.Model, s.Keys, s.Clients, s.Ops, s.Crashed, s.kind(), theirs.show(), ours.show(), times,
		ours.By)
	return err
}

// show renders time and memory, or at which limit it gave up.
func (f figure) show() string {
	took := fmt.Sprintf("%.2g s, %s", f.CPU, megabytes(f.Bytes))
	switch {
	case f.Verdict != check.Unknown:
		return took
	case strings.Contains(f.Reason, "memory"):
		return "out of memory (" + took + ")"
	default:
		return "no answer (" + took + ")"
	}
}

func megabytes(n uint64) string {
	if n < 100_000 {
		return "< 0.1 MB"
	}
	return rounded(float64(n)/1e6) + " MB"
}

// rounded shows two digits.
func rounded(x float64) string {
	unit := 1.0
	for x/unit >= 100 {
		unit *= 10
	}
	if unit > 1 || x >= 10 {
		return fmt.Sprintf("%.0f", unit*math.Round(x/unit))
	}
	return fmt.Sprintf("%.2g", x)
}
