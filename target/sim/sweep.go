package sim

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Sweep runs count seeds from first on, on all processors, and returns the error
// of the lowest seed that failed; it begins no seed above one that has failed.
// run gets one seed and must be safe to call from several goroutines.
func Sweep(first, count uint64, run func(seed uint64) error) error {
	var (
		next  atomic.Uint64
		limit atomic.Uint64
		wg    sync.WaitGroup
		mu    sync.Mutex
		worst error
	)
	limit.Store(count)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < limit.Load(); i = next.Add(1) - 1 {
				err := run(first + i)
				if err == nil {
					continue
				}
				mu.Lock()
				if i < limit.Load() {
					limit.Store(i)
					worst = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return worst
}
