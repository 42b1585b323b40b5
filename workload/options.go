package workload

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/session"
)

// Options shape a workload. Zero fields have defaults; Concurrency, Nodes and
// TimeLimit have to be given.
type Options struct {
	// Concurrency is the number of threads, Nodes the number of nodes they talk
	// to.
	Concurrency int
	Nodes       int
	// Seed is mixed into the random choices, beside the seed of the run.
	Seed uint64
	// TimeLimit is how long the main part goes on.
	TimeLimit time.Duration
	// Rate is operations a second of all threads together; 0 is as fast as
	// possible. At a high rate keys pass quickly: one lives for about
	// Keys * OpsPerKey / Rate seconds, a slow one about LongLife.
	Rate float64
	// Rushes are times of the main part at which operations come as fast as possible, in the
	// order of their beginnings. Without a rate they mean nothing.
	Rushes []Rush
	// Keys is the number of keys in use at a time. Default: the workload's, 10
	// for registers.
	Keys int
	// OpsPerKey is the number of operations after which a key is retired.
	// Default: the workload's, 120 for registers. Above about 150 a
	// linearizability check may not end in time.
	OpsPerKey int
	// ThreadsPerKey is the greatest number of concurrent operations on a key.
	// Default: 5. Each one more makes a linearizability check dearer by half.
	ThreadsPerKey int
	// MaxUnknownPerKey is the number of mutations of unknown outcome at which a
	// key is retired. Default: 4. Each one more can make finding a violation two
	// and a half times as slow.
	MaxUnknownPerKey int
	// LongLife is how long the slow keys live, four in ten: they rest between
	// bursts of operations. It should exceed a fault window. Default: 12 s.
	LongLife time.Duration
	// FinalKeys is the greatest number of keys that are read at the end.
	// Default: 500.
	FinalKeys int
	// FinalLimit is how long the final phase may go on. Default: a minute. Keys that
	// are not read by then make the verdict unknown.
	FinalLimit time.Duration

	// Promise says what the system claims, where that makes a difference.
	Promise Promise
	// Settle is how long the final reads wait after a system without real-time
	// order has been healed. Default: 5 s.
	Settle time.Duration
	// Check bounds the search for linearizability.
	Check check.Options
	// Available says that the system promises progress whenever a majority is
	// healthy for longer than AvailabilityGrace (default: the checker's).
	Available         bool
	AvailabilityGrace time.Duration
	// Rest is how long a transaction may rest in its midst, with its locks: so long others
	// wait, and longer if one after the other rests.
	Rest time.Duration
	// Foreign says that somebody else runs the nodes: nobody knows whether they were
	// healthy, so that a lack of progress proves nothing.
	Foreign bool
}

// Promise is what a workload has to know of what a system claims. The zero Promise
// is the strongest.
type Promise struct {
	// Eventual says that the system promises no more of a set than that its
	// elements are all there in the end: a read may miss the latest ones.
	Eventual bool
	// Growing says that nothing can be taken away from an eventual counter.
	Growing bool
	// Stale says that no real-time order is claimed: what is read may be old.
	Stale bool
	// Isolation is the level that transactions keep.
	Isolation graph.Level
	// Unordered says that the elements of a log have no order in which they
	// appear, only that they are all there in the end, and ids none at all.
	Unordered bool
	// Sessions are the guarantees that sessions have. 0 stands for all, as whatever is
	// linearizable or serializable in real time has them.
	Sessions session.Guarantees
	// NoOverdraft says that a transfer which would make a balance negative does
	// not happen.
	NoOverdraft bool
	// Recovers says that every key works again once all nodes are healthy and
	// connected, also where less than that may block.
	Recovers bool
	// Drift is the greatest relative error of a clock's rate within which leases
	// and locks are promised, 0.05 for five percent.
	Drift float64
	// Renews says that whoever has a lock can renew it (operation renew, value: the token).
	Renews bool
}

// isolation is the level by which transactions are judged.
func (p Promise) isolation() graph.Level {
	switch {
	case p.Stale && p.Isolation == graph.StrictSerializable:
		return graph.Serializable
	case p.Stale && p.Isolation == graph.StrongSnapshotIsolation:
		return graph.SnapshotIsolation
	default:
		return p.Isolation
	}
}

// maxConcurrency bounds the threads; a history with more tells nothing more.
const maxConcurrency = 10_000

// Validate reports every problem of the options at once, or nil.
func (o Options) Validate() error {
	var errs []error
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(o.Concurrency < 1 || o.Concurrency > maxConcurrency,
		"concurrency is %d, not between 1 and %d", o.Concurrency, maxConcurrency)
	bad(o.Nodes < 1, "nodes is %d, not positive", o.Nodes)
	bad(o.TimeLimit <= 0, "time limit is %v, not positive", o.TimeLimit)
	bad(!(o.Rate >= 0 && o.Rate <= 1e9), "rate is %v, not between 0 and 1e9", o.Rate)
	for _, n := range []struct {
		name  string
		value int
	}{
		{"keys", o.Keys}, {"operations per key", o.OpsPerKey},
		{"threads per key", o.ThreadsPerKey}, {"unknown mutations per key", o.MaxUnknownPerKey},
		{"final keys", o.FinalKeys},
	} {
		bad(n.value < 0, "%s is negative: %d", n.name, n.value)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"long life", o.LongLife}, {"final limit", o.FinalLimit},
		{"availability grace", o.AvailabilityGrace}, {"settle time", o.Settle},
	} {
		bad(d.value < 0, "%s is negative: %v", d.name, d.value)
	}
	perKey := o.ThreadsPerKey
	orElse(&perKey, defaultThreadsPerKey)
	bad(o.Keys > 0 && o.Concurrency > 0 && perKey > 0 && o.Keys*perKey < o.Concurrency,
		"%d keys with up to %d threads each leave some of %d threads idle",
		o.Keys, perKey, o.Concurrency)
	return errors.Join(errs...)
}

const defaultThreadsPerKey = 5

// withDefaults fills what the user left open, with the workload's own numbers for
// keys.
func (o Options) withDefaults(keys, opsPerKey int) Options {
	orElse(&o.ThreadsPerKey, defaultThreadsPerKey)
	// Every thread needs a place, and resting keys should be there besides.
	places := (o.Concurrency + o.ThreadsPerKey - 1) / o.ThreadsPerKey
	orElse(&o.Keys, max(keys, 2*places))
	orElse(&o.OpsPerKey, opsPerKey)
	orElse(&o.MaxUnknownPerKey, 4)
	orElse(&o.LongLife, 12*time.Second)
	orElse(&o.FinalKeys, 500)
	orElse(&o.FinalLimit, time.Minute)
	orElse(&o.Settle, 5*time.Second)
	return o
}

// availabilityGrace is the time without progress that is allowed; 0: the checker's own. All
// clients may rest at the same time, and those that do not wait for the locks of others.
func (o Options) availabilityGrace() time.Duration {
	if o.Rest == 0 {
		return o.AvailabilityGrace
	}
	return cmp.Or(o.AvailabilityGrace, 5*time.Second) + 3*o.Rest
}
