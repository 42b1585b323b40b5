package soak

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// errDisk says that the disk's budget is used up by what is never removed.
var errDisk = errors.New("the disk budget is used up")

// makeRoom removes the files of old runs until those that go on, and one more, have room:
// each is taken to become as large as the largest so far.
func (s *soak) makeRoom() error {
	limit := s.allowed.Disk
	if limit == 0 {
		return nil
	}
	for {
		var used, largest int64
		kept := 0
		for a, e := range s.journal.Ended {
			largest = max(largest, e.Bytes)
			if !s.journal.Pruned[a] {
				used += e.Bytes
				kept++
			}
		}
		if used+largest*int64(len(s.going)+1) <= limit {
			return nil
		}
		a, ok := s.journal.dispensable()
		if !ok {
			return fmt.Errorf("%w: %s of %s are taken by the %d runs that are left, all of them "+
				"invalid or repetitions of such, which are never removed, and a run takes up to %s: "+
				"move some away, or allow more", errDisk, formatSize(used), formatSize(limit), kept,
				formatSize(largest))
		}
		if err := s.journal.write(Entry{Type: entryPruned, At: s.Now(), Attempt: a}); err != nil {
			return err
		}
		if err := s.remove(a); err != nil {
			return err
		}
	}
}

// dispensable is the run that is to go first: the oldest valid one, then what a canary has
// shown once more, then the oldest of those without a verdict. Never one that is invalid,
// nor a repetition of one.
func (s *State) dispensable() (Attempt, bool) {
	found := map[string]bool{} // canaries
	again := map[Attempt]bool{}
	for _, a := range s.Order {
		if e := s.Ended[a]; e.Outcome == Violated && s.info(e.Cell).Canary {
			again[a] = found[e.Cell]
			found[e.Cell] = true
		}
	}
	for _, goes := range []func(Ended) bool{
		func(e Ended) bool { return e.Outcome == Valid },
		func(e Ended) bool { return again[e.Attempt] },
		func(e Ended) bool { return e.Outcome == Unknown },
		func(e Ended) bool { return e.Outcome == Crashed },
	} {
		for _, a := range s.Order {
			if e := s.Ended[a]; a.Try == 0 && e.Bytes > 0 && !s.Pruned[a] && goes(e) {
				return a, true
			}
		}
	}
	return Attempt{}, false
}

// remove removes the files of a run.
func (s *soak) remove(a Attempt) error {
	e := s.journal.Ended[a]
	for _, rel := range []string{e.Files, e.Log} {
		if rel == "" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.Dir, filepath.FromSlash(rel))); err != nil {
			return fmt.Errorf("prune run %s: %w", a, err)
		}
	}
	return nil
}
