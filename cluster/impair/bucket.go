package impair

import "time"

const (
	// BurstTime is how much unused rate a link may save up.
	BurstTime = 50 * time.Millisecond
	// QueueTime bounds the queue in front of a slow datagram link: what finds
	// more than this in front of it is dropped, as by a router.
	QueueTime = time.Second
)

// Bucket is a token bucket kept as the time at which the line is free again. It
// lets bursts of BurstTime's worth of bytes through at once. The zero Bucket is a
// line that is free.
type Bucket struct {
	free time.Duration
}

// Backlog is how long a message must wait before it can begin to leave.
func (b *Bucket) Backlog(now time.Duration) time.Duration {
	return max(0, b.free-now)
}

// Take reserves n bytes at rate bytes a second and returns how long the sender
// has to wait for them.
func (b *Bucket) Take(now time.Duration, n, rate int) time.Duration {
	b.free = max(b.free, now-BurstTime)
	b.free += time.Duration(float64(n) / float64(rate) * float64(time.Second))
	return max(0, b.free-now)
}
