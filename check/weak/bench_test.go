package weak

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// snapshots makes a history as a database with snapshot isolation gives it: every
// transaction reads a state that the last ones to commit are missing from, but never one
// before what its session committed or read last.
func snapshots(seed uint64, txns, steps int, sessions, keys int32) *History {
	r := rand.New(rand.NewPCG(seed, 1))
	type version struct {
		at    int
		value int64
	}
	h := &History{}
	versions := make([][]version, keys)
	last := make([]int, sessions)
	value := int64(0)
	for t := range txns {
		s := r.Int32N(sessions)
		h.Begin(s, Committed)
		snapshot := max(last[s], t-r.IntN(2*int(sessions)))
		last[s] = snapshot
		wrote := map[int32]int64{}
		for range steps {
			k := r.Int32N(keys)
			if r.IntN(2) == 0 {
				value++
				h.Write(k, value)
				wrote[k] = value
				continue
			}
			v, own := wrote[k]
			if !own {
				v = Unwritten
				for at := len(versions[k]) - 1; at >= 0; at-- {
					if ver := versions[k][at]; ver.at < snapshot {
						v = ver.value
						break
					}
				}
			}
			h.Read(k, v)
		}
		for k, v := range wrote {
			versions[k] = append(versions[k], version{t, v})
		}
		if len(wrote) > 0 {
			last[s] = t + 1
		}
	}
	return h
}

var levels = []struct {
	name     string
	level    Level
	sessions bool
}{
	{"read-committed", ReadCommitted, false},
	{"monotonic-atomic-view", MonotonicAtomicView, true},
	{"read-atomic", ReadAtomic, true},
	{"causal", Causal, true},
}

// BenchmarkLevels decides valid histories of 1,000,000 operations, 10 in a transaction,
// from the raw operations on.
func BenchmarkLevels(b *testing.B) {
	for _, sessions := range []int32{10, 50, 100} {
		h := snapshots(1, 100_000, 10, sessions, 1000)
		for _, l := range levels {
			b.Run(fmt.Sprintf("%s/sessions=%d", l.name, sessions), func(b *testing.B) {
				b.ReportAllocs()
				start := cpu(b)
				for b.Loop() {
					x, err := NewIndex(h)
					if err != nil || len(x.Wrong()) > 0 {
						b.Fatal(err, x.Wrong())
					}
					if v, err := x.Check(l.level, l.sessions); v != nil || err != nil {
						b.Fatal(v, err)
					}
				}
				b.ReportMetric(float64((cpu(b)-start).Milliseconds())/float64(b.N), "cpu-ms/op")
			})
		}
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
