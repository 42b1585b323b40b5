package run

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// TestWatchStalls lets the clock of a test jump while nothing runs, as it does for a
// process that was stopped, and once by less than what counts.
func TestWatchStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var jumped atomic.Int64
		now := func() history.Time {
			return history.Time(time.Since(start) + time.Duration(jumped.Load()))
		}
		var told []history.Time
		ctx, cancel := context.WithCancel(t.Context())
		lost := make(chan time.Duration)
		go func() {
			lost <- watchStalls(ctx, now, func(from history.Time) { told = append(told, from) })
		}()
		for _, d := range []time.Duration{0, 3 * time.Second, 500 * time.Millisecond, 2 * time.Second} {
			<-time.After(stallPoll + time.Millisecond) // of the bubble's clock
			synctest.Wait()
			jumped.Add(int64(d))
		}
		<-time.After(2 * stallPoll)
		synctest.Wait()
		cancel()
		// Each stall is as long as the jump and what is between two looks.
		if got := <-lost; got < 5*time.Second || got > 5*time.Second+4*stallPoll || len(told) != 2 ||
			!slices.IsSorted(told) {
			t.Errorf("%v in all, told from %v", got, told)
		}
	})
}
