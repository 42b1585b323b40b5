package history

import (
	"fmt"
	"slices"
)

// joiner pairs invocations with completions, event by event in the order of the
// history, and rejects what no recorder can have seen.
type joiner struct {
	h *History
	// loose is for the files of other tools, where the order of the lines is the
	// truth: times that are missing, equal or contradict it are moved up by as
	// little as makes them agree.
	loose bool
	o     LoadOptions

	open    [256]int32        // of small processes: 1 + index into h.Ops, 0 if none
	others  map[Process]int32 // the same for the rest
	last    Time
	seen    bool
	nextIdx int64
	// numbers and digits say whether steps had keys that are numbers, and strings that
	// look like numbers: as keys they would be the same.
	numbers, digits bool
	// with and without say whether there were events with and without a process.
	with, without bool
	// sink, if not nil, gets everything instead of h, whose Ops are then only those that
	// are open, and free are the places among them that are not used.
	sink *Sink
	free []int32
}

// eventError is what is wrong with an event, and which of its fields shows it.
type eventError struct {
	field string
	msg   string
}

func (e *eventError) Error() string { return e.msg }

func badEvent(field, format string, args ...any) error {
	return &eventError{field: field, msg: fmt.Sprintf(format, args...)}
}

func newJoiner(source string, ops int, o LoadOptions) *joiner {
	h := &History{Source: source}
	if ops > 0 {
		h.Ops = make([]Operation, 0, ops)
	}
	return &joiner{h: h, o: o, others: make(map[Process]int32)}
}

// add takes the next event.
func (j *joiner) add(p *parsed) error {
	e := &p.Event
	if err := j.order(e, p.hasTime, p.hasIndex); err != nil {
		return err
	}
	if err := j.processes(p); err != nil {
		return err
	}
	if err := j.stepKeys(e.Value); err != nil {
		return err
	}
	switch {
	case e.Process == Nemesis:
		if e.Type != Invoke && e.Type != Info && !j.loose {
			return badEvent("type", "the nemesis reports %v: want invoke or info", e.Type)
		}
		if j.sink != nil {
			return j.sink.event(e)
		}
		j.h.Nemesis = append(j.h.Nemesis, *e)
		return nil
	case j.o.Independent && e.Key == "":
		if err := j.split(e); err != nil {
			return err
		}
	}
	act := j.complete
	if e.Type == Invoke {
		act = j.invoke
	}
	if err := act(e); err != nil || j.sink == nil {
		return err
	}
	return j.sink.event(e)
}

// processes allows a history in which nobody has a process: it is one client's.
func (j *joiner) processes(p *parsed) error {
	switch {
	case p.noProcess:
		j.without = true
	case p.Process != Nemesis:
		j.with = true
	}
	if j.with && j.without {
		return badEvent("process", "some operations have no process, others have: nobody "+
			"knows which completion belongs to which invocation")
	}
	return nil
}

// stepKeys rejects a transaction when 5 and "5" are keys of the same history.
func (j *joiner) stepKeys(v Value) error {
	switch v.kind {
	case kindIntSteps:
		j.numbers = true
	case kindSteps:
		for _, s := range v.steps() {
			j.digits = j.digits || looksLikeNumber(string(s.Key))
		}
	case KindList:
		for _, e := range v.list() {
			if e.kind != KindList || e.Len() < 2 || e.At(0).kind != KindString {
				continue
			}
			if key := e.At(1); key.kind == KindInt {
				j.numbers = true
			} else if s, isText := key.AsString(); isText {
				j.digits = j.digits || looksLikeNumber(s)
			}
		}
	}
	if j.numbers && j.digits {
		return badEvent("value", "keys of steps are numbers, and others are texts that look like "+
			"numbers: 5 and \"5\" would be one key")
	}
	return nil
}

func looksLikeNumber(s string) bool {
	return s != "" && (s[0]-'0' <= 9 || s[0] == '-' && len(s) > 1 && s[1]-'0' <= 9)
}

// split takes the key out of the value of an event.
func (j *joiner) split(e *Event) error {
	v := e.Value
	if v.IsNil() && (e.Type == Fail || e.Type == Info) {
		return nil
	}
	if v.Kind() != KindList || v.Len() != 2 || v.At(0).IsNil() {
		return badEvent("value", "value of %s is %s: want [key, value], as every operation "+
			"of a history of independent keys has", e.F, brief(v))
	}
	name, isText := v.At(0).AsString()
	if !isText {
		name = string(v.At(0).AppendJSON(nil))
	}
	e.Key, e.Value = Key(name), v.At(1)
	return nil
}

// accept asks the caller about an operation.
func (j *joiner) accept(op *Operation) error {
	if j.o.Accept == nil {
		return nil
	}
	if err := j.o.Accept(*op); err != nil {
		return &eventError{field: "value", msg: err.Error()}
	}
	return nil
}

// order checks, or repairs, time and index.
func (j *joiner) order(e *Event, hasTime, hasIndex bool) error {
	switch {
	case j.loose && j.seen && (!hasTime || e.Time <= j.last):
		e.Time = j.last + 1
	case !j.loose && !hasTime:
		return badEvent("", `an event without "time"`)
	case j.seen && e.Time < j.last:
		return badEvent("time", "time goes back from %d to %d", j.last, e.Time)
	}
	switch {
	case !hasIndex, j.loose && e.Index < j.nextIdx:
		e.Index = j.nextIdx
	case e.Index < j.nextIdx:
		return badEvent("index", "index %d comes after index %d", e.Index, j.nextIdx-1)
	}
	j.last, j.nextIdx, j.seen = e.Time, e.Index+1, true
	return nil
}

func (j *joiner) invoke(e *Event) error {
	at := j.opened(e.Process)
	if at > 0 && j.without {
		return badEvent("process", "%s is invoked while the %s of index %d is open, and no "+
			"process tells which completion belongs to which", e.F, j.h.Ops[at-1].F,
			j.h.Ops[at-1].Index)
	}
	if at > 0 {
		return badEvent("process", "process %d invokes %s while its %s of index %d is open",
			e.Process, e.F, j.h.Ops[at-1].F, j.h.Ops[at-1].Index)
	}
	op := Operation{
		Index:   e.Index,
		Call:    e.Time,
		Return:  Never,
		Ended:   Never,
		Process: e.Process,
		F:       e.F,
		Key:     e.Key,
		In:      e.Value,
		Type:    Info,
	}
	at = int32(len(j.h.Ops))
	if n := len(j.free); n > 0 {
		at, j.free = j.free[n-1], j.free[:n-1]
		j.h.Ops[at] = op
	} else {
		j.h.Ops = append(j.h.Ops, op)
	}
	j.setOpened(e.Process, at+1)
	return j.accept(&j.h.Ops[at])
}

func (j *joiner) complete(e *Event) error {
	at := j.opened(e.Process)
	if at == 0 {
		return badEvent("process", "process %d completes %s without an invocation",
			e.Process, e.F)
	}
	op := &j.h.Ops[at-1]
	if e.F != op.F {
		return badEvent("f", "process %d completes %s but invoked %s at index %d",
			e.Process, e.F, op.F, op.Index)
	}
	if j.o.Independent && e.Key != "" && e.Key != op.Key {
		return badEvent("value", "process %d completes %s of key %q but invoked that of key %q "+
			"at index %d", e.Process, e.F, e.Key, op.Key, op.Index)
	}
	if op.Ended = e.Time; e.Type != Info {
		op.Return = e.Time
	}
	op.Type, op.Out, op.Error = e.Type, e.Value, e.Error
	j.setOpened(e.Process, 0)
	if err := j.accept(op); err != nil || j.sink == nil {
		return err
	}
	err := j.sink.op(op)
	*op = Operation{}
	j.free = append(j.free, at-1)
	return err
}

func (j *joiner) opened(p Process) int32 {
	if p >= 0 && p < Process(len(j.open)) {
		return j.open[p]
	}
	return j.others[p]
}

func (j *joiner) setOpened(p Process, at int32) {
	switch {
	case p >= 0 && p < Process(len(j.open)):
		j.open[p] = at
	case at == 0:
		delete(j.others, p)
	default:
		j.others[p] = at
	}
}

// history ends the joining.
func (j *joiner) history() *History {
	h := j.h
	h.end = j.last
	if n := len(h.Ops); cap(h.Ops)-n > n/64 {
		h.Ops = slices.Clone(h.Ops[:n:n])
	}
	return h
}
