//go:build unix

package linear

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// sizes are how many operations of a register are decided: ten million, too, if
// BENCH_LARGE is set.
func sizes() []int {
	if os.Getenv("BENCH_LARGE") != "" {
		return []int{1_000_000, 10_000_000}
	}
	return []int{1_000_000}
}

// measured runs f for a benchmark and reports the processor's time per operation,
// which does not depend on what else the machine does.
func measured(b *testing.B, operations int, f func()) {
	b.ReportAllocs()
	start := processorTime(b)
	for b.Loop() {
		f()
	}
	used := processorTime(b) - start
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/float64(operations), "cpu-ns/operation")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// closedLoop draws the history of clients that call again as soon as they can. It
// tells begin of every operation, sorted by call, and effect when one takes effect.
// Of a thousand operations, crashed have an unknown outcome; half of these take
// effect, some of them much later.
func closedLoop(n, clients, crashed int, begin func(op int, s Span), effect func(op int)) {
	rng := rand.New(rand.NewPCG(7, 7))
	var agenda returns // of effects, an operation's number times two, and ends, one more
	now, next := history.Time(0), 0
	call := func() {
		length := history.Time(100 + rng.IntN(1900))
		s := Span{now, now + length}
		at := now + history.Time(rng.Int64N(int64(length)+1))
		takes := true
		if rng.IntN(1000) < crashed {
			s.Return = history.Never
			at += history.Time(rng.IntN(100_000))
			takes = rng.IntN(2) == 0
		}
		if takes {
			agenda.push(due{at, 2 * next})
		}
		agenda.push(due{now + length, 2*next + 1})
		begin(next, s)
		next++
	}
	for next < min(clients, n) {
		now++
		call()
	}
	for agenda.len() > 0 {
		d := agenda.pop()
		now = max(now, d.at)
		switch {
		case d.op%2 == 0:
			effect(d.op / 2)
		case next < n:
			now++
			call()
		}
	}
}

// registerHistory is half writes, with a stale read at the end if it is not valid.
func registerHistory(n, clients, crashed int, valid bool) []RegisterOp {
	ops := make([]RegisterOp, 0, n)
	rng := rand.New(rand.NewPCG(8, 8))
	values, state := Nil, Nil
	closedLoop(n, clients, crashed, func(_ int, s Span) {
		op := RegisterOp{Span: s, Write: rng.IntN(2) == 0}
		if op.Write {
			values++
			op.Value = values
		}
		ops = append(ops, op)
	}, func(i int) {
		if ops[i].Write {
			state = ops[i].Value
		} else {
			ops[i].Value = state
		}
	})
	for i := n - 1; !valid; i-- {
		if !ops[i].Write && !ops[i].crashed() {
			ops[i].Value = 1
			break
		}
	}
	return ops
}

func BenchmarkRegister(b *testing.B) {
	for _, n := range sizes() {
		for _, bb := range []struct {
			clients, crashed int
			valid            bool
		}{{100, 10, true}, {30, 0, false}, {10, 0, true}} {
			name := fmt.Sprintf("n=%d/clients=%d/crashed=%d/valid=%v", n, bb.clients, bb.crashed, bb.valid)
			b.Run(name, func(b *testing.B) {
				ops := registerHistory(n, bb.clients, bb.crashed, bb.valid)
				measured(b, n, func() {
					if r := Register(ops); (r.Answer == Linearizable) != bb.valid {
						b.Fatal(r)
					}
				})
			})
		}
	}
}

// workload is a closed loop of 30 clients, of one thousand operations ten of unknown
// outcome. draw makes an operation when it is called, effect lets it take effect.
func workload[T any](n int, draw func(rng *rand.Rand, s Span) T, effect func(op *T)) []T {
	ops := make([]T, 0, n)
	rng := rand.New(rand.NewPCG(8, 8))
	closedLoop(n, 30, 10,
		func(_ int, s Span) { ops = append(ops, draw(rng, s)) },
		func(i int) { effect(&ops[i]) })
	return ops
}

// benchmark decides a valid history of a million operations.
func benchmark[T any](b *testing.B, draw func(n int) []T, run func(ops []T) Result) {
	const n = 1_000_000
	ops := draw(n)
	measured(b, n, func() {
		if r := run(ops); r.Answer != Linearizable {
			b.Fatal(r)
		}
	})
}

// BenchmarkRegisterMonitor decides while the operations happen.
func BenchmarkRegisterMonitor(b *testing.B) {
	const n = 1_000_000
	events := registerEvents(registerHistory(n, 30, 10, true))
	measured(b, n, func() {
		if r := monitorRegister(n, events); r.Answer != Linearizable {
			b.Fatal(r)
		}
	})
}

func BenchmarkCAS(b *testing.B) {
	benchmark(b, func(n int) []CASOp {
		values, state := Nil, Nil
		return workload(n, func(rng *rand.Rand, s Span) CASOp {
			op := CASOp{Span: s, Kind: CASKind(rng.IntN(3))}
			if op.Kind != CASRead {
				values++
				op.Value = values
			}
			return op
		}, func(op *CASOp) {
			if op.Kind == CASRead {
				op.Value = state
			}
			op.Old, state = state, op.Value
		})
	}, CAS)
}

func BenchmarkRevisions(b *testing.B) {
	benchmark(b, func(n int) []RevisionOp {
		values, state, at := Nil, Nil, int64(0)
		return workload(n, func(rng *rand.Rand, s Span) RevisionOp {
			op := RevisionOp{Span: s, Write: rng.IntN(2) == 0, Position: Unknown}
			if op.Write {
				values++
				op.Value = values
			}
			return op
		}, func(op *RevisionOp) {
			if op.Write {
				state = op.Value
				at++
			}
			op.Value, op.Position = state, at
		})
	}, func(ops []RevisionOp) Result { return Revisions(ops, RevisionOptions{}) })
}

func BenchmarkLogs(b *testing.B) {
	benchmark(b, func(n int) []LogOp {
		values, length := Nil, int64(0)
		return workload(n, func(_ *rand.Rand, s Span) LogOp {
			values++
			return LogOp{Span: s, Value: values, Offset: Unknown}
		}, func(op *LogOp) {
			if !op.crashed() {
				op.Offset = length
			}
			length++
		})
	}, Logs)
}

// BenchmarkSets has ten reads of the whole set, evenly spread.
func BenchmarkSets(b *testing.B) {
	benchmark(b, func(n int) []SetOp {
		values := Nil
		var state []Value
		return workload(n, func(_ *rand.Rand, s Span) SetOp {
			values++
			return SetOp{Span: s, Value: values, Read: int(values)%(n/10) == 0}
		}, func(op *SetOp) {
			if op.Read {
				op.Elements = state[:len(state):len(state)]
			} else {
				state = append(state, op.Value)
			}
		})
	}, Sets)
}

func BenchmarkCounters(b *testing.B) {
	benchmark(b, func(n int) []CounterOp {
		state := int64(0)
		return workload(n, func(rng *rand.Rand, s Span) CounterOp {
			return CounterOp{Span: s, Value: 1, Read: rng.IntN(2) == 0}
		}, func(op *CounterOp) {
			if op.Read {
				op.Value = state
			} else {
				state++
			}
		})
	}, Counters)
}

// drawQueues dequeues a little more often than there is something.
func drawQueues(n int) []QueueOp {
	values := Nil
	var state fifo[Value]
	return workload(n, func(rng *rand.Rand, s Span) QueueOp {
		op := QueueOp{Span: s, Dequeue: rng.IntN(100) < 51}
		if !op.Dequeue {
			values++
			op.Value = values
		}
		return op
	}, func(op *QueueOp) {
		if !op.Dequeue {
			state.push(op.Value)
		} else if state.len() > 0 {
			op.Value = state.pop()
		}
	})
}

func BenchmarkQueues(b *testing.B) { benchmark(b, drawQueues, Queues) }
func BenchmarkBags(b *testing.B)   { benchmark(b, drawQueues, Bags) }

// BenchmarkMembers adds elements one after the other and looks for one of the last
// twenty.
func BenchmarkMembers(b *testing.B) {
	benchmark(b, func(n int) []MemberOp {
		values := Nil
		state := map[Value]bool{}
		return workload(n, func(rng *rand.Rand, s Span) MemberOp {
			if rng.IntN(2) == 0 {
				values++
				return MemberOp{Span: s, Kind: MemberAdd, Value: values}
			}
			return MemberOp{Span: s, Kind: MemberFound, Value: values - min(values, Value(rng.IntN(20)))}
		}, func(op *MemberOp) {
			if op.Kind == MemberAdd {
				state[op.Value] = true
			} else if !state[op.Value] {
				op.Kind = MemberMissed
			}
		})
	}, Members)
}

func BenchmarkLocks(b *testing.B) {
	benchmark(b, func(n int) []LockOp {
		ops := make([]LockOp, n)
		for i := range ops { // acquires overlap the tenure before
			at := history.Time(i) * 100
			ops[i] = LockOp{Span: Span{at, at + 60}, Acquire: i%2 == 0, Owner: i / 2}
			if i%2 == 0 {
				ops[i].Call = max(0, at-150)
			}
		}
		return ops
	}, Locks)
}
