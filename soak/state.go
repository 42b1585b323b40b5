package soak

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is what a journal says.
type State struct {
	*Header
	// Dir is the directory of the soak.
	Dir string
	// Started is when the soak began, Last when its journal was written last.
	Started, Last time.Time
	// Active is the time on the clock during which a process was at work.
	Active time.Duration
	// Checkers are the versions of the programs that were at work.
	Checkers []string
	// Ended are the results, Order their order in time.
	Ended map[Attempt]Ended
	Order []Attempt
	// Open are those that were begun, and of which nothing is known since.
	Open map[Attempt]Entry
	// Interrupted counts runs that were cut off and repeated, or are still to be.
	Interrupted int
	// Pruned are those of which only the journal knows.
	Pruned map[Attempt]bool
	// Stopped is why the last process stopped working; "" if it did not say.
	Stopped string

	begun map[Attempt]Entry
	// low: no run up to it is still to be begun.
	low int
}

// Ended is a result.
type Ended struct {
	Record
	Attempt
	Cell string
	Seed uint64
	At   time.Time
}

func newState() *State {
	return &State{
		Ended: map[Attempt]Ended{}, Open: map[Attempt]Entry{}, Pruned: map[Attempt]bool{},
		begun: map[Attempt]Entry{},
	}
}

// apply takes in an entry. What cannot come next is an error: a journal that says that a run
// came out twice is not to be believed.
func (s *State) apply(e Entry) error {
	if (e.Type == entryPlan) != (s.Header == nil) {
		return fmt.Errorf("%s: the plan has to be said first, and once", e.Type)
	}
	open, isOpen := s.Open[e.Attempt]
	switch e.Type {
	case entryPlan:
		if e.Header == nil {
			return errors.New("plan: it is missing")
		}
		if e.Header.Format != journalFormat {
			return fmt.Errorf("format %d, this checker knows %d", e.Header.Format, journalFormat)
		}
		s.Header, s.Started = e.Header, e.At
	case entrySession:
		s.Last, s.Stopped = e.At, ""
		if !slices.Contains(s.Checkers, e.Checker) {
			s.Checkers = append(s.Checkers, e.Checker)
		}
	case entryBegin:
		if _, ended := s.Ended[e.Attempt]; ended || isOpen {
			return fmt.Errorf("run %s begins a second time", e.Attempt)
		}
		if first, again := s.begun[e.Attempt]; again && first.RunSeed != e.RunSeed {
			return fmt.Errorf("run %s begins again, with another seed", e.Attempt)
		}
		s.Open[e.Attempt], s.begun[e.Attempt] = e, e
	case entryEnd, entryInterrupted:
		if !isOpen {
			return fmt.Errorf("run %s: %s, and was not begun", e.Attempt, e.Type)
		}
		delete(s.Open, e.Attempt)
		if e.Type == entryInterrupted {
			s.Interrupted++
			s.low = min(s.low, max(0, e.Run-1))
			break
		}
		if e.Record == nil {
			return fmt.Errorf("run %s ended without saying how", e.Attempt)
		}
		s.Order = append(s.Order, e.Attempt)
		s.Ended[e.Attempt] = Ended{
			Record: *e.Record, Attempt: e.Attempt, Cell: open.Cell, Seed: open.RunSeed, At: e.At,
		}
	case entryPruned:
		s.Pruned[e.Attempt] = true
	case entryStop:
		s.Stopped = e.Why
	default:
		return fmt.Errorf("entry %q: unknown", e.Type)
	}
	// The clock may have been set back, or the machine was off.
	if !s.Last.IsZero() && e.At.After(s.Last) {
		s.Active += e.At.Sub(s.Last)
	}
	s.Last = e.At
	return nil
}

// info returns the cell of a name.
func (s *State) info(id string) CellInfo {
	i := slices.IndexFunc(s.Cells, func(c CellInfo) bool { return c.ID == id })
	if i < 0 {
		return CellInfo{ID: id}
	}
	return s.Cells[i]
}

// mine reports whether a run belongs to the shard.
func (s *State) mine(number int) bool { return (number-1)%s.Shards == s.Shard-1 }

// next returns the lowest number of a run of the shard that was neither begun nor ended.
func (s *State) next() int {
	for n := s.low + 1; ; n++ {
		_, ended := s.Ended[Attempt{Run: n}]
		_, open := s.Open[Attempt{Run: n}]
		if s.mine(n) && !ended && !open {
			return n
		}
		if n == s.low+1 && !open {
			s.low = n
		}
	}
}

// repetitions are the attempts at what runs have shown that are still to be made: the first
// run of each signature is repeated as often as the plan says.
func (s *State) repetitions() []Attempt {
	var out []Attempt
	for _, run := range s.discoverers() {
		for try := 1; try <= s.Repeat; try++ {
			a := Attempt{Run: run, Try: try}
			_, ended := s.Ended[a]
			_, open := s.Open[a]
			if !ended && !open {
				out = append(out, a)
			}
		}
	}
	return out
}

// discoverers are the runs that showed a signature that none before them had shown.
func (s *State) discoverers() []int {
	known := map[string]bool{}
	var runs []int
	for _, a := range s.Order {
		e := s.Ended[a]
		if a.Try > 0 || s.info(e.Cell).Canary {
			continue
		}
		fresh := false
		for _, v := range e.Violations {
			fresh = fresh || !known[v.ID()]
			known[v.ID()] = true
		}
		if fresh {
			runs = append(runs, a.Run)
		}
	}
	return runs
}
