package rw

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// serial makes a strictly serializable history: transactions that take effect one after
// the other, at a moment between their call and their return. So many are under way at
// once; blind is how many of the writes come without a read of the key.
func serial(seed uint64, txns, steps int, sessions, keys int32, blind float64) *weak.History {
	r := rand.New(rand.NewPCG(seed, 2))
	h := &weak.History{}
	state := make([]int64, keys)
	for k := range state {
		state[k] = weak.Unwritten
	}
	free := make([]int64, sessions)
	value := int64(0)
	for t := range int64(txns) {
		now := 10 * t
		s := r.Int32N(sessions)
		for free[s] > now {
			s = (s + 1) % sessions
		}
		h.Begin(s, weak.Committed)
		call := max(free[s], now-r.Int64N(5*int64(sessions)))
		ret := now + r.Int64N(5*int64(sessions)) + 1
		free[s] = ret + 1
		h.Timed(call, ret)
		for range steps {
			k := r.Int32N(keys)
			write := r.IntN(2) == 0
			if !write || r.Float64() >= blind {
				h.Read(k, state[k])
			}
			if write {
				value++
				h.Write(k, value)
				state[k] = value
			}
		}
	}
	return h
}

// BenchmarkStrict decides all levels of strictly serializable histories of 100,000
// transactions with 10 operations or more, from the raw operations on.
func BenchmarkStrict(b *testing.B) {
	for _, blind := range []float64{0, 0.5, 1} {
		h := serial(1, 100_000, 10, 50, 1000, blind)
		b.Run(fmt.Sprintf("blind=%v", blind), func(b *testing.B) {
			b.ReportAllocs()
			start := cpu(b)
			for b.Loop() {
				x, err := weak.NewIndex(h)
				if err != nil {
					b.Fatal(err)
				}
				r := Analyze(b.Context(), x, Options{})
				if r.Methods[graph.StrictSerializable] != Scheduled {
					b.Fatal(r.Methods)
				}
			}
			b.ReportMetric(float64((cpu(b)-start).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(len(h.Ops)), "operations")
		})
	}
}

// cpu is the time that the process has used, which other processes do not lengthen.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
