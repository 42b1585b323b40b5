package reports

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/ordeal-dev/ordeal/history"
)

// lanes are the operations in the order in which the page has them: client by client, and
// by their calls. A client goes on as a new process after an unknown outcome, so its
// operations never overlap.
type lanes struct {
	all []client
	// first is where each lane's operations begin in ops, and where the last one's end.
	first     []int
	ops       []*history.Operation
	functions []string
	// weights are how many operations each one stands for, by outcome.
	weights [4]float64
}

// client is one lane.
type client struct{ label, node string }

const (
	// The outcomes, with one more for operations that never ended.
	unanswered = 3
	// functionsMax is how many kinds of operations are told apart.
	functionsMax = 63
	// processLanes is up to how many processes have lanes of their own, where it is not
	// known which process went on as which.
	processLanes = 64
	// endless is the code of a duration without end.
	endless = 0xffff
)

// chosen are the operations for the page, and how many each stands for: all, if they are
// not too many. Otherwise every k-th of each outcome that is too frequent.
func chosen(r Run) (ops []*history.Operation, weights [4]float64) {
	all := r.History.Ops
	var counts [4]int
	for i := range all {
		counts[outcome(&all[i])]++
	}
	every := [4]int{1, 1, 1, 1}
	for left := embedMax; ; {
		total := 0
		for o, n := range counts {
			total += n / every[o]
		}
		if total <= left {
			break
		}
		most := 0
		for o := range counts {
			if counts[o]/every[o] > counts[most]/every[most] {
				most = o
			}
		}
		every[most]++
	}
	keep := map[int64]bool{}
	for _, f := range counterexamples(r.Result) {
		for _, op := range f.Ops {
			keep[op.Index] = true
		}
	}
	var seen [4]int
	for i := range all {
		o := outcome(&all[i])
		if seen[o]%every[o] == 0 || keep[all[i].Index] {
			ops = append(ops, &all[i])
		}
		seen[o]++
	}
	for o, n := range every {
		weights[o] = float64(n)
	}
	return ops, weights
}

func outcome(op *history.Operation) int {
	switch {
	case op.Ended == history.Never:
		return unanswered
	case op.Type == history.OK:
		return 0
	case op.Type == history.Fail:
		return 1
	}
	return 2
}

// newLanes gives each operation of the page a lane.
func newLanes(r Run) *lanes {
	ops, weights := chosen(r)
	l := &lanes{weights: weights}
	lane, count := laneOf(r, ops)
	sorted := make([][]*history.Operation, count)
	for _, op := range ops {
		n := lane(op)
		sorted[n] = append(sorted[n], op)
		if !slices.Contains(l.functions, string(op.F)) && len(l.functions) < functionsMax {
			l.functions = append(l.functions, string(op.F))
		}
	}
	slices.Sort(l.functions)
	l.first = []int{0}
	for n, ops := range sorted {
		if len(ops) == 0 {
			continue
		}
		slices.SortStableFunc(ops, func(a, b *history.Operation) int {
			return sign(int64(a.Call - b.Call))
		})
		c := client{label: fmt.Sprintf("client %d", n)}
		if r.Concurrency <= 0 {
			c.label = fmt.Sprintf("process %d", ops[0].Process)
		}
		if c.node = nodeOf(r, int64(ops[0].Process)); c.node != "" {
			c.label += " at " + c.node
		}
		l.all = append(l.all, c)
		l.ops = append(l.ops, ops...)
		l.first = append(l.first, len(l.ops))
	}
	return l
}

// laneOf returns which lane an operation belongs to. It has to be asked in the order of
// calls.
func laneOf(r Run, ops []*history.Operation) (lane func(*history.Operation) int, count int) {
	if c := r.Concurrency; c > 0 {
		return func(op *history.Operation) int {
			return int(max(0, int64(op.Process)) % int64(c))
		}, c
	}
	number := map[history.Process]int{}
	for _, op := range ops {
		if _, ok := number[op.Process]; !ok {
			number[op.Process] = len(number)
		}
	}
	if len(number) <= processLanes {
		return func(op *history.Operation) int { return number[op.Process] }, len(number)
	}
	// A process takes the first lane whose last one has ended.
	return packed(ops)
}

// packed puts operations that do not overlap into as few lanes as possible.
func packed(ops []*history.Operation) (func(*history.Operation) int, int) {
	var free []history.Time
	place := make(map[int64]int, len(ops))
	for _, op := range ops {
		n := slices.IndexFunc(free, func(t history.Time) bool { return t <= op.Call })
		if n < 0 && len(free) < processLanes {
			n = len(free)
			free = append(free, 0)
		}
		if n < 0 { // more at once than there are lanes
			n = int(op.Process) % len(free)
		}
		if op.Ended != history.Never {
			free[n] = max(free[n], op.Ended)
		}
		place[op.Index] = n
	}
	return func(op *history.Operation) int { return place[op.Index] }, len(free)
}

// places are the positions of operations by their index in the history.
func (l *lanes) places() map[int64]int {
	at := make(map[int64]int, len(l.ops))
	for i, op := range l.ops {
		at[op.Index] = i
	}
	return at
}

// columns encodes the operations, as exactly as there is room for. Of long runs, times are
// as exact as a 256th of the time between two operations of a client.
func (l *lanes) columns(h *header) ([]column, error) {
	h.Unit = max(1, int64(math.Ceil(h.End*1e9/(1<<30))))
	h.Mantissa = 10
	if n := len(l.ops); n > embedMax/5 {
		h.Mantissa = 7
		h.Unit = max(h.Unit, int64(h.End*1e9*float64(len(l.all))/float64(n)/256))
	}
	for ; ; h.Unit *= 4 {
		all := l.encode(h.Unit, h.Mantissa)
		if len(l.ops) < embedMax/5 {
			return all, nil
		}
		var parts [][]byte
		for _, c := range all {
			parts = append(parts, c.bytes)
		}
		b, err := deflate(flate.BestSpeed, parts...)
		if err != nil || len(b) <= columnsMost || h.Unit > int64(time.Second) {
			return all, err
		}
	}
}

// encode writes calls as gaps after the end of the client's operation before, in units,
// and durations with a few significant bits.
func (l *lanes) encode(unit int64, mantissa int) []column {
	n := len(l.ops)
	kind, low, high := make([]byte, n), make([]byte, n), make([]byte, n)
	gaps, processes := make([]uint32, n), make([]uint32, n)
	for lane := range l.all {
		end, process := int64(0), int64(0)
		for i := l.first[lane]; i < l.first[lane+1]; i++ {
			op := l.ops[i]
			f, ok := slices.BinarySearch(l.functions, string(op.F))
			if !ok {
				f = functionsMax
			}
			kind[i] = byte(f<<2 | outcome(op))
			code, nanos := endless, int64(0)
			if d, ok := took(op); ok {
				code, nanos = durationCode(int64(d), mantissa)
			}
			low[i], high[i] = byte(code), byte(code>>8)
			call := int64(op.Call) / unit
			gaps[i] = small(call - end)
			processes[i] = small(int64(op.Process) - process)
			end, process = call+nanos/unit, int64(op.Process)
		}
	}
	all := []column{{"kind", kind}, {"code0", low}, {"code1", high}}
	return append(append(all, planes("gap", gaps)...), planes("process", processes)...)
}

// durationCode keeps the first bits of a duration in nanoseconds, and returns what it
// then stands for.
func durationCode(nanos int64, mantissa int) (code int, means int64) {
	most := int64(1) << 44 // five hours
	v := min(max(0, nanos), most)
	exponent := max(0, bits.Len64(uint64(v))-mantissa-1)
	rest := v >> exponent
	if exponent == 0 {
		return int(rest), rest
	}
	return (exponent+1)<<mantissa | int(rest)&(1<<mantissa-1), rest << exponent
}

// small makes small numbers of both signs small.
func small(v int64) uint32 {
	v = min(max(v, math.MinInt32), math.MaxInt32)
	return uint32(v<<1) ^ uint32(v>>63)
}
