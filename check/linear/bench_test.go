//go:build unix

package linear

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// sizes are how many operations benchmarks decide: ten million, too, if
// BENCH_LARGE is set.
func sizes() []int {
	if os.Getenv("BENCH_LARGE") != "" {
		return []int{1_000_000, 10_000_000}
	}
	return []int{1_000_000}
}

// measured runs f for a benchmark and reports the processor's time per operation,
// which does not depend on what else the machine does.
func measured(b *testing.B, operations int, f func()) {
	b.ReportAllocs()
	start := processorTime(b)
	for b.Loop() {
		f()
	}
	used := processorTime(b) - start
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/float64(operations), "cpu-ns/operation")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// closedLoop draws the history of clients that call again as soon as they can. It
// tells begin of every operation, sorted by call, and effect when one takes effect.
// Of a thousand operations, crashed have an unknown outcome; half of these take
// effect, some of them much later.
func closedLoop(n, clients, crashed int, begin func(op int, s Span), effect func(op int)) {
	rng := rand.New(rand.NewPCG(7, 7))
	var agenda returns // of effects, an operation's number times two, and ends, one more
	now, next := history.Time(0), 0
	call := func() {
		length := history.Time(100 + rng.IntN(1900))
		s := Span{now, now + length}
		at := now + history.Time(rng.Int64N(int64(length)+1))
		takes := true
		if rng.IntN(1000) < crashed {
			s.Return = history.Never
			at += history.Time(rng.IntN(100_000))
			takes = rng.IntN(2) == 0
		}
		if takes {
			agenda.push(due{at, 2 * next})
		}
		agenda.push(due{now + length, 2*next + 1})
		begin(next, s)
		next++
	}
	for next < min(clients, n) {
		now++
		call()
	}
	for agenda.len() > 0 {
		d := agenda.pop()
		now = max(now, d.at)
		switch {
		case d.op%2 == 0:
			effect(d.op / 2)
		case next < n:
			now++
			call()
		}
	}
}

// registerHistory is half writes, with a stale read at the end if it is not valid.
func registerHistory(n, clients, crashed int, valid bool) []RegisterOp {
	ops := make([]RegisterOp, 0, n)
	rng := rand.New(rand.NewPCG(8, 8))
	values, state := Nil, Nil
	closedLoop(n, clients, crashed, func(_ int, s Span) {
		op := RegisterOp{Span: s, Write: rng.IntN(2) == 0}
		if op.Write {
			values++
			op.Value = values
		}
		ops = append(ops, op)
	}, func(i int) {
		if ops[i].Write {
			state = ops[i].Value
		} else {
			ops[i].Value = state
		}
	})
	for i := n - 1; !valid; i-- {
		if !ops[i].Write && !ops[i].crashed() {
			ops[i].Value = 1
			break
		}
	}
	return ops
}

func BenchmarkRegister(b *testing.B) {
	for _, n := range sizes() {
		for _, bb := range []struct {
			clients, crashed int
			valid            bool
		}{{100, 10, true}, {30, 0, false}, {10, 0, true}} {
			name := fmt.Sprintf("n=%d/clients=%d/crashed=%d/valid=%v", n, bb.clients, bb.crashed, bb.valid)
			b.Run(name, func(b *testing.B) {
				ops := registerHistory(n, bb.clients, bb.crashed, bb.valid)
				measured(b, n, func() {
					if r := Register(ops); (r.Answer == Linearizable) != bb.valid {
						b.Fatal(r)
					}
				})
			})
		}
	}
}
