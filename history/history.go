package history

import (
	"fmt"
	"iter"
	"slices"
)

// History is what one test recorded, joined into operations.
type History struct {
	// Header is the first line of the file; zero for the files of other tools.
	Header Header
	// Ops are the operations of the clients, by index.
	Ops []Operation
	// Nemesis are the events of the nemesis, by index.
	Nemesis []Event
	// Untimed is true when nothing is known of the order of what different processes
	// did: the file has sessions of transactions and no times. Every operation then
	// lasts from 0 to End, and those of one process are in their order.
	Untimed bool
	// Torn is true when the file ended inside a line: the writer was killed,
	// and everything before that line is here.
	Torn bool
	// Source names where the history came from, for messages.
	Source string

	end Time
}

// New joins events, in this order, into a history. It numbers them from 0. Times
// must not decrease; if all are 0, an event's time is its position. New rejects a
// completion without an invocation and an invocation by a process whose last
// operation is open.
func New(events ...Event) (*History, error) {
	timed := slices.ContainsFunc(events, func(e Event) bool { return e.Time != 0 })
	j := newJoiner("", len(events)/2, LoadOptions{})
	p := parsed{hasTime: true, hasIndex: true}
	for i := range events {
		p.Event = events[i]
		p.Index = int64(i)
		if !timed {
			p.Time = Time(i)
		}
		if err := j.add(&p); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return j.history(), nil
}

// End returns the time of the last event.
func (h *History) End() Time {
	end := h.end
	if end > 0 {
		return end
	}
	for i := range h.Ops { // a history that was not read but put together
		op := &h.Ops[i]
		end = max(end, op.Call)
		for _, t := range [...]Time{op.Return, op.Ended} {
			if t != Never {
				end = max(end, t)
			}
		}
	}
	if n := len(h.Nemesis); n > 0 {
		end = max(end, h.Nemesis[n-1].Time)
	}
	return end
}

// Keys returns the keys of the operations in the order of their first
// appearance. The empty key is one of them if an operation has it.
func (h *History) Keys() []Key {
	keys, _ := h.keyNumbers()
	return keys
}

// keyNumbers returns the keys and, for each, how many operations it has.
func (h *History) keyNumbers() (keys []Key, counts []int) {
	number := make(map[Key]int)
	for i := range h.Ops {
		k := h.Ops[i].Key
		n, ok := number[k]
		if !ok {
			n = len(keys)
			number[k] = n
			keys, counts = append(keys, k), append(counts, 0)
		}
		counts[n]++
	}
	return keys, counts
}

// ByKey returns the keys in the order of their first appearance, each with its
// operations by index. The operations are those of h.Ops, not copies.
func (h *History) ByKey() iter.Seq2[Key, []*Operation] {
	return func(yield func(Key, []*Operation) bool) {
		keys, counts := h.keyNumbers()
		all := make([]*Operation, len(h.Ops)) // the keys' operations one after another
		groups := make(map[Key][]*Operation, len(keys))
		at := 0
		for i, k := range keys {
			groups[k] = all[at : at : at+counts[i]]
			at += counts[i]
		}
		for i := range h.Ops {
			op := &h.Ops[i]
			groups[op.Key] = append(groups[op.Key], op)
		}
		for _, k := range keys {
			if !yield(k, groups[k]) {
				return
			}
		}
	}
}

// Window is the time from just before a fault was injected until just after it
// was healed (Never, if it was not).
type Window struct {
	ID         int64
	Fault      string
	What       string
	Nodes      []string
	Start, End Time
}

// Windows returns the fault windows, by their start. A window begins with the
// nemesis's invocation of "start" and ends with a "stop" that reports no error;
// the "id" in their values joins them. Events without an id are no windows.
func (h *History) Windows() []Window {
	var ws []Window
	byID := make(map[int64]int) // id to index of the window that is open
	for i := range h.Nemesis {
		e := &h.Nemesis[i]
		id, ok := e.Value.Get("id").AsInt()
		if !ok {
			continue
		}
		at, open := byID[id]
		switch {
		case e.F == "start" && e.Type == Invoke && !open:
			byID[id] = len(ws)
			fault, _ := e.Value.Get("fault").AsString()
			what, _ := e.Value.Get("what").AsString()
			ws = append(ws, Window{
				ID:    id,
				Fault: fault,
				What:  what,
				Nodes: stringsOf(e.Value.Get("nodes")),
				Start: e.Time,
				End:   Never,
			})
		case e.F == "stop" && e.Type == Info && e.Error == "" && open:
			ws[at].End = e.Time
			delete(byID, id)
		}
	}
	return ws
}

// stringsOf returns the strings in a list.
func stringsOf(v Value) []string {
	if v.Kind() != KindList {
		return nil
	}
	var ss []string
	for i := range v.Len() {
		if s, ok := v.At(i).AsString(); ok {
			ss = append(ss, s)
		}
	}
	return ss
}

// Health says that from From until To the listed nodes, a majority, were up, not
// paused, and reached each other and their clients undisturbed: whatever is
// available with a majority has to make progress. Nodes is empty when no such
// majority existed.
type Health struct {
	From, To Time
	Nodes    []string
}

// Health returns the nemesis's statements about healthy majorities, which follow
// each other without gap from the first until End. It is empty when the nemesis
// made none.
func (h *History) Health() []Health {
	var hs []Health
	for i := range h.Nemesis {
		e := &h.Nemesis[i]
		if e.F != "topology" || e.Type != Info {
			continue
		}
		if n := len(hs); n > 0 {
			hs[n-1].To = e.Time
			if hs[n-1].From == e.Time {
				hs = hs[:n-1] // it never held
			}
		}
		nodes := stringsOf(e.Value.Get("healthy"))
		hs = append(hs, Health{From: e.Time, To: h.End(), Nodes: nodes})
	}
	return hs
}
