package check

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// SpreadOptions refine Spread.
type SpreadOptions struct {
	// Grace is how long after the last fault and the last write the system may
	// take to spread what was written. Default: 5 s.
	Grace time.Duration

	_ struct{} // keyed literals only
}

func (o SpreadOptions) grace() history.Time {
	if o.Grace == 0 {
		return history.Time(5 * time.Second)
	}
	return history.Time(o.Grace)
}

// SpreadDetails are the Details of Spread.
type SpreadDetails struct {
	Sessions int `json:"sessions"`
	Writes   int `json:"writes"`
	Reads    int `json:"reads"`
	// Late are the reads that came when everything had to be known everywhere, Unspread
	// those of them that missed the last write that was acknowledged.
	Late       int `json:"late"`
	Unspread   int `json:"unspread"`
	Unexpected int `json:"unexpected"`
}

// Spread checks what sessions read beside the guarantees that they have (those are the
// matter of SessionGuarantees). Each key is written by one process, which writes 1, 2, 3, …
// (operation write), and read by all: a register then returns a number that stands for
// itself and all before it, a log the list of all that were written. Nobody may read what
// was not written by then, and once everybody has to know everything nobody may read less
// than the last write that was acknowledged. Before that nothing is asked.
func Spread(o SpreadOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return spreadCheck(ctx, h, o)
	})
}

const spreadName = "spread"

func spreadCheck(ctx context.Context, h *history.History, o SpreadOptions) Result {
	r := Result{Name: spreadName}
	var d SpreadDetails
	var bad violations
	quiet := quietFrom(h)
	processes := make(map[history.Process]bool)
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, spreadName); stop {
			return r
		}
		for _, op := range ops {
			processes[op.Process] = true
		}
		if err := d.key(key, ops, later(quiet, o.grace()), o.grace(), &bad); err != nil {
			return Result{Name: spreadName, Verdict: Unknown, Reason: err.Error()}
		}
	}
	d.Sessions = len(processes)
	r.Details = d
	r.Power = []Measure{measure("sessions", d.Sessions), measure("writes", d.Writes),
		measure("reads", d.Reads), measure("reads at the end", d.Late)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Reads, "read", "reads"), tallies(
		tally{d.Unspread, "without the last write"}, tally{d.Unexpected, "unexpected"})),
		func() (Verdict, string) {
			if d.Reads == 0 || d.Writes == 0 {
				return Unknown, "nothing was shown: nothing was read, or nothing written"
			}
			return Valid, fmt.Sprintf("%s, %d when everything had to be known",
				count(d.Reads, "read", "reads"), d.Late)
		})
	return r
}

// quietFrom returns when the last fault was over, Never if one is not.
func quietFrom(h *history.History) history.Time {
	var t history.Time
	for _, w := range h.Windows() {
		t = max(t, w.End)
	}
	return t
}

func later(t, d history.Time) history.Time {
	if t == history.Never {
		return t
	}
	return t + d
}

// seenList is what a read showed, as sorted numbers: of a register the number alone.
type seenList struct {
	op       *history.Operation
	register bool
	numbers  []int64
}

// has reports whether the write of n is among what was seen.
func (s seenList) has(n int64) bool {
	if s.register {
		return s.numbers[0] >= n
	}
	_, found := slices.BinarySearch(s.numbers, n)
	return found
}

func readNumbers(op *history.Operation) (seenList, error) {
	s := seenList{op: op}
	switch op.Out.Kind() {
	case history.KindNil:
		return seenList{op: op, register: true, numbers: []int64{0}}, nil
	case history.KindInt:
		n, _ := op.Out.AsInt()
		return seenList{op: op, register: true, numbers: []int64{n}}, nil
	case history.KindList:
	default:
		return s, fmt.Errorf("result: want a number or a list of them, got %s", op.Out)
	}
	for i := range op.Out.Len() {
		n, isInt := op.Out.At(i).AsInt()
		if !isInt {
			return s, fmt.Errorf("result: want numbers, got %s", op.Out.At(i))
		}
		s.numbers = append(s.numbers, n)
	}
	slices.Sort(s.numbers)
	return s, nil
}

// spreadKey is what is known of a key.
type spreadKey struct {
	writes map[int64]*history.Operation
	// lastAck is the greatest number acknowledged, and ended when the last write
	// had its answer.
	lastAck *history.Operation
	ack     int64
	ended   history.Time
}

func (d *SpreadDetails) key(
	key history.Key, ops []*history.Operation, quiet, grace history.Time, bad *violations,
) error {
	k := spreadKey{writes: make(map[int64]*history.Operation)}
	for _, op := range ops {
		if op.F == "write" {
			if err := k.write(op); err != nil {
				return misfit(op, "sessions", err)
			}
			d.Writes++
		}
	}
	late := max(quiet, later(k.ended, grace))
	for _, op := range ops {
		switch {
		case op.F == "write":
			continue
		case op.F != "read":
			return misfit(op, "sessions", fmt.Errorf("there is only write and read"))
		case op.Type != history.OK:
			continue
		}
		s, err := readNumbers(op)
		if err != nil {
			return misfit(op, "sessions", err)
		}
		d.Reads++
		d.read(key, &k, s, late, bad)
	}
	return nil
}

func (k *spreadKey) write(op *history.Operation) error {
	n, isInt := op.In.AsInt()
	if !isInt || n <= 0 {
		return fmt.Errorf("value: want a positive number, got %s", op.In)
	}
	for _, other := range k.writes {
		if other.Process != op.Process {
			return fmt.Errorf("process %d writes the same key", other.Process)
		}
		break
	}
	if k.writes[n] != nil {
		return fmt.Errorf("%d is written twice", n)
	}
	k.writes[n] = op
	k.ended = max(k.ended, op.Ended)
	if op.Type == history.OK && n > k.ack {
		k.lastAck, k.ack = op, n
	}
	return nil
}

// read judges one read.
func (d *SpreadDetails) read(
	key history.Key, k *spreadKey, s seenList, late history.Time, bad *violations,
) {
	got := fmt.Sprintf("Process %d read %s at %s", s.op.Process, s.op.Out, seconds(s.op.Return))
	if why, w := k.unexpected(s); why != "" {
		d.Unexpected++
		bad.add(key, "nobody wrote it by then", got+", "+why, w, s.op)
		return
	}
	if late == history.Never || s.op.Call <= late {
		return
	}
	d.Late++
	if k.lastAck != nil && !s.has(k.ack) {
		d.Unspread++
		bad.add(key, "misses the last value",
			fmt.Sprintf("%s, long after process %d had been told at %s that %d was written, "+
				"its last.", got, k.lastAck.Process, seconds(k.lastAck.Return), k.ack), k.lastAck, s.op)
	}
}

// unexpected says why something that was read cannot have been there.
func (k *spreadKey) unexpected(s seenList) (string, *history.Operation) {
	for i, n := range s.numbers {
		w := k.writes[n]
		switch {
		case n == 0 && s.register:
		case w == nil:
			return fmt.Sprintf("but nobody ever tried to write %d.", n), nil
		case w.Type == history.Fail:
			return fmt.Sprintf("but the write of %d had failed.", n), w
		case w.Call > s.op.Return:
			return fmt.Sprintf("but the write of %d only began at %s.", n, seconds(w.Call)), w
		case i > 0 && s.numbers[i-1] == n:
			return fmt.Sprintf("which has %d twice.", n), w
		}
	}
	return "", nil
}
