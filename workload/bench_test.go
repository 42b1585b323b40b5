package workload

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// idleClient does nothing, at once.
type idleClient struct{}

func (idleClient) Invoke(_ context.Context, op history.Event) (history.Event, error) {
	return op, nil
}
func (idleClient) Close() error { return nil }

func openIdle(context.Context, int) (Client, error) { return idleClient{}, nil }

// BenchmarkRun measures how many operations a second are generated, performed by a
// client that does nothing, recorded and on disk.
func BenchmarkRun(b *testing.B) {
	trivial := func(Options) Generator {
		return Func(func(Context) Op { return Op{F: Read, Key: "k"} })
	}
	for _, c := range []struct {
		name        string
		gen         func(Options) Generator
		concurrency int
	}{
		{"trivial/10", trivial, 10},
		{"register/2", registerWorkload().Generator, 2},
		{"register/10", registerWorkload().Generator, 10},
		{"register/100", registerWorkload().Generator, 100},
		{"cas-register/10", casWorkload().Generator, 10},
		{"set-full/10", setWorkload().Generator, 10},
		{"counter/10", counterWorkload().Generator, 10},
	} {
		b.Run(c.name, func(b *testing.B) {
			rec, err := history.Create(filepath.Join(b.TempDir(), history.FileName), history.Header{})
			if err != nil {
				b.Fatal(err)
			}
			o := Options{Concurrency: c.concurrency, Nodes: 5, TimeLimit: time.Hour}
			b.ReportAllocs()
			b.ResetTimer()
			err = Run(context.Background(), RunConfig{
				Generator: Limit(b.N, c.gen(o)), Final: nil, Open: openIdle,
				Recorder: rec, Concurrency: c.concurrency, Seed: 1,
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := rec.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
