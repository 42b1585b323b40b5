package workload

import (
	"sync/atomic"

	"github.com/ordeal-dev/ordeal/history"
)

// Stats counts what a Run has done so far. It is safe for concurrent use; the zero
// value is ready.
type Stats struct {
	invoked, ok, fail, info atomic.Int64
}

// Snapshot is Stats at one moment.
type Snapshot struct {
	Time                    history.Time
	Invoked, OK, Fail, Info int64
}

// Snapshot reads the counters. now is kept in it for Rate.
func (s *Stats) Snapshot(now history.Time) Snapshot {
	// Completions are read first, so that they are never more than invocations.
	snap := Snapshot{Time: now, OK: s.ok.Load(), Fail: s.fail.Load(), Info: s.info.Load()}
	snap.Invoked = s.invoked.Load()
	return snap
}

// InFlight returns how many operations have not ended.
func (s Snapshot) InFlight() int64 { return s.Invoked - s.OK - s.Fail - s.Info }

// Rate returns the completions a second since an earlier snapshot.
func (s Snapshot) Rate(earlier Snapshot) float64 {
	dt := float64(s.Time-earlier.Time) / 1e9
	if dt <= 0 {
		return 0
	}
	n := s.OK + s.Fail + s.Info - earlier.OK - earlier.Fail - earlier.Info
	return float64(n) / dt
}

func (s *Stats) count(t history.Type) {
	switch t {
	case history.Invoke:
		s.invoked.Add(1)
	case history.OK:
		s.ok.Add(1)
	case history.Fail:
		s.fail.Add(1)
	case history.Info:
		s.info.Add(1)
	}
}
