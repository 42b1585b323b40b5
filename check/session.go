package check

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// SessionOptions refine Session and Log.
type SessionOptions struct {
	// Grace is how long after the last fault and the last write the system may
	// take to spread what was written. Default: 5 s.
	Grace time.Duration

	_ struct{} // keyed literals only
}

func (o SessionOptions) grace() history.Time {
	if o.Grace == 0 {
		return history.Time(5 * time.Second)
	}
	return history.Time(o.Grace)
}

// SessionDetails are the Details of Session.
type SessionDetails struct {
	Sessions int `json:"sessions"`
	Writes   int `json:"writes"`
	Reads    int `json:"reads"`
	// OwnReads are reads of a key by the session that wrote it, Again those of a
	// key that the session had read before, Late those that came when everything
	// had to be known everywhere.
	OwnReads int `json:"ownReads"`
	Again    int `json:"again"`
	Late     int `json:"late"`
	// The violations, by the guarantee that was broken.
	ReadYourWrites  int `json:"readYourWrites"`
	MonotonicReads  int `json:"monotonicReads"`
	MonotonicWrites int `json:"monotonicWrites"`
	Unexpected      int `json:"unexpected"`
}

// Session checks the guarantees that a session has although its client goes from one
// replica to another (Terry et al., "Session guarantees for weakly consistent
// replicated data", 1994). A session is a process. Each key is written by one
// process, which writes 1, 2, 3, … (operation write), and read by all: a register
// then returns a number that stands for itself and all before it, a log the list of
// all that were written.
//
//   - read your writes: a process reads what it was told that it had written;
//   - monotonic reads: a process never reads less than before;
//   - monotonic writes: once everybody knows everything, nobody reads less than the
//     last write that was acknowledged.
//
// Between processes nothing is promised, so two of them may see different things for
// a while.
func Session(o SessionOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return sessionCheck(ctx, h, o)
	})
}

const sessionName = "session"

func sessionCheck(ctx context.Context, h *history.History, o SessionOptions) Result {
	r := Result{Name: sessionName}
	var d SessionDetails
	var bad violations
	quiet := quietFrom(h)
	processes := make(map[history.Process]bool)
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, sessionName); stop {
			return r
		}
		for _, op := range ops {
			processes[op.Process] = true
		}
		if err := d.key(key, ops, later(quiet, o.grace()), o.grace(), &bad); err != nil {
			return Result{Name: sessionName, Verdict: Unknown, Reason: err.Error()}
		}
	}
	d.Sessions = len(processes)
	r.Details = d
	r.Power = []Measure{measure("sessions", d.Sessions), measure("writes", d.Writes),
		measure("reads", d.Reads), measure("reads of own writes", d.OwnReads),
		measure("reads again", d.Again), measure("reads at the end", d.Late)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Reads, "read", "reads"), tallies(
		tally{d.ReadYourWrites, "against read-your-writes"},
		tally{d.MonotonicReads, "against monotonic reads"},
		tally{d.MonotonicWrites, "against monotonic writes"}, tally{d.Unexpected, "unexpected"})),
		func() (Verdict, string) {
			if d.OwnReads == 0 || d.Again == 0 {
				return Unknown, "nothing was shown: no session read what it had written, or read twice"
			}
			return Valid, fmt.Sprintf("%s, %d of own writes, %d again",
				count(d.Reads, "read", "reads"), d.OwnReads, d.Again)
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

// sessionKey is what is known of a key.
type sessionKey struct {
	writes map[int64]*history.Operation
	// lastAck is the greatest number acknowledged, and ended when the last write
	// had its answer.
	lastAck *history.Operation
	ack     int64
	ended   history.Time
}

func (d *SessionDetails) key(
	key history.Key, ops []*history.Operation, quiet, grace history.Time, bad *violations,
) error {
	k := sessionKey{writes: make(map[int64]*history.Operation)}
	for _, op := range ops {
		if op.F == "write" {
			if err := k.write(op); err != nil {
				return misfit(op, "sessions", err)
			}
			d.Writes++
		}
	}
	late := max(quiet, later(k.ended, grace))
	before := make(map[history.Process]seenList)
	acked := make(map[history.Process][]*history.Operation)
	for _, op := range ops { // by their calls, so in the order of each process
		switch {
		case op.F == "write":
			if op.Type == history.OK {
				acked[op.Process] = append(acked[op.Process], op)
			}
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
		d.read(key, &k, s, acked[op.Process], before, late, bad)
		before[op.Process] = s
	}
	return nil
}

func (k *sessionKey) write(op *history.Operation) error {
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

// read judges one read. own are the writes of the same process to this key that were
// acknowledged before.
func (d *SessionDetails) read(
	key history.Key, k *sessionKey, s seenList, own []*history.Operation,
	before map[history.Process]seenList, late history.Time, bad *violations,
) {
	got := fmt.Sprintf("Process %d read %s at %s", s.op.Process, s.op.Out, seconds(s.op.Return))
	if why, w := k.unexpected(s); why != "" {
		d.Unexpected++
		bad.add(key, got+", "+why, w, s.op)
		return
	}
	if len(own) > 0 {
		d.OwnReads++
	}
	for _, w := range slices.Backward(own) {
		if n, _ := w.In.AsInt(); !s.has(n) {
			d.ReadYourWrites++
			bad.add(key, fmt.Sprintf("%s, although it had been told at %s that it had written %d itself.",
				got, seconds(w.Return), n), w, s.op)
			return
		}
	}
	if earlier, again := before[s.op.Process]; again {
		d.Again++
		for _, n := range earlier.numbers {
			if n > 0 && !s.has(n) {
				d.MonotonicReads++
				bad.add(key, fmt.Sprintf("%s, although it had read %s itself at %s.", got, earlier.op.Out,
					seconds(earlier.op.Return)), earlier.op, s.op)
				return
			}
		}
	}
	if late == history.Never || s.op.Call <= late {
		return
	}
	d.Late++
	if k.lastAck != nil && !s.has(k.ack) {
		d.MonotonicWrites++
		bad.add(key, fmt.Sprintf("%s, long after process %d had been told at %s that %d was written, "+
			"its last.", got, k.lastAck.Process, seconds(k.lastAck.Return), k.ack), k.lastAck, s.op)
	}
}

// unexpected says why something that was read cannot have been there.
func (k *sessionKey) unexpected(s seenList) (string, *history.Operation) {
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
