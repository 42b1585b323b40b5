package server

import (
	"log/slog"
	"sync/atomic"

	"github.com/ordeal-dev/ordeal/target/wal"
)

// counters count what a node has done since its start. They only grow.
type counters struct {
	received, sent                atomic.Uint64 // datagrams handed on, and written
	requests                      atomic.Uint64 // handed to the machine
	ok, fail, info                atomic.Uint64 // answers to requests
	malformed, refused, abandoned atomic.Uint64
	stray                         atomic.Uint64 // replies to requests nobody knows
	batches, ticks                atomic.Uint64
	records, syncs, checkpoints   atomic.Uint64
	dropped                       map[drop]*atomic.Uint64
}

func newCounters() *counters {
	c := &counters{dropped: map[drop]*atomic.Uint64{}}
	for _, reason := range drops() {
		c.dropped[reason] = new(atomic.Uint64)
	}
	return c
}

func (c *counters) drop(reason drop) { c.dropped[reason].Add(1) }

// snapshot returns the counters by their names in /status.
func (c *counters) snapshot(disk wal.DiskCounts) map[string]uint64 {
	m := map[string]uint64{
		"messages_received":  c.received.Load(),
		"messages_sent":      c.sent.Load(),
		"requests":           c.requests.Load(),
		"replies_ok":         c.ok.Load(),
		"replies_fail":       c.fail.Load(),
		"replies_info":       c.info.Load(),
		"replies_stray":      c.stray.Load(),
		"requests_malformed": c.malformed.Load(),
		"requests_refused":   c.refused.Load(),
		"requests_abandoned": c.abandoned.Load(),
		"batches":            c.batches.Load(),
		"ticks":              c.ticks.Load(),
		"records":            c.records.Load(),
		"syncs":              c.syncs.Load(),
		"checkpoints":        c.checkpoints.Load(),

		"disk_delayed_syncs":  disk.DelayedSyncs,
		"disk_failed_syncs":   disk.FailedSyncs,
		"disk_refused_writes": disk.RefusedWrites,
		"disk_torn_writes":    disk.TornWrites,
	}
	for reason, n := range c.dropped {
		m["dropped_"+string(reason)] = n.Load()
	}
	return m
}

// dropLog tells what was dropped since it was last asked.
type dropLog struct {
	counters *counters
	told     map[drop]uint64
}

func (d *dropLog) tell(log *slog.Logger) {
	var attrs []any
	for _, reason := range drops() {
		n := d.counters.dropped[reason].Load()
		if more := n - d.told[reason]; more > 0 {
			attrs = append(attrs, string(reason), more)
			d.told[reason] = n
		}
	}
	if len(attrs) > 0 {
		log.Warn("datagrams dropped", attrs...)
	}
}
