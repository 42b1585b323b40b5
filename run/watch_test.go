package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// TestWatch tells a watch of a register: first what is fine, also while a read is
// still open, then a read of what was never written.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := check.MonitorRegisters()
		now := history.Time(0)
		tell := func(process history.Process, typ history.Type, f history.F, v history.Value) {
			now++
			m.Observe(history.Event{Time: now, Process: process, Type: typ, F: f, Value: v})
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan string, 1)
		go func() {
			found, _ := watch(ctx, m, func() history.Time { return 0 })
			ended <- found.Why
		}()
		write := func(n int64) {
			tell(1, history.Invoke, "write", history.Int(n))
			tell(1, history.OK, "write", history.Nil())
		}
		tell(2, history.Invoke, "read", history.Nil())
		for n := range int64(500) {
			write(n)
			<-time.After(20 * time.Millisecond) // of the bubble's clock
		}
		select {
		case why := <-ended:
			t.Fatalf("ended: %s", why)
		default:
		}
		tell(2, history.OK, "read", history.Int(-1))
		for n := range int64(500) {
			write(1000 + n)
		}
		synctest.Wait()
		<-time.After(2 * watchEvery)
		synctest.Wait()
		cancel()
		if why := <-ended; why == "" {
			t.Error("nothing was found")
		}
	})
}
