package run

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSimulation tells how many seconds of a test of five nodes pass in a second of
// one core: drive, faults, recording, without the judge and the report.
func BenchmarkSimulation(b *testing.B) {
	for _, protocol := range []string{"quorum", "paxos"} {
		for _, rate := range []float64{10, 50, 200, 500} {
			b.Run(fmt.Sprintf("%s/%v", protocol, rate), func(b *testing.B) {
				var virtual, used time.Duration
				for i := range b.N {
					cfg := Default()
					cfg.Store, cfg.Cluster, cfg.Protocol, cfg.Workload = b.TempDir(), "sim", protocol, ""
					cfg.Seed, cfg.Rate, cfg.TimeLimit = uint64(i), rate, 2*time.Minute
					if err := cfg.ChooseWorkload(); err != nil {
						b.Fatal(err)
					}
					before := processorTime(b)
					c, err := conduct(b.Context(), cfg, testEnv(b))
					if err != nil {
						b.Fatal(err)
					}
					used += processorTime(b) - before
					virtual += time.Duration(c.recorder.Now())
					c.uncrash()
					if err := errors.Join(c.finishCollecting(), c.tearDown()); err != nil {
						b.Fatal(err)
					}
					c.lock.release()
				}
				b.ReportMetric(virtual.Seconds()/used.Seconds(), "virtual-s/s")
			})
		}
	}
}

// processorTime is what this process has used of all cores.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
