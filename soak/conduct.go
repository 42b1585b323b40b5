package soak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/reports/store"
	"github.com/ordeal-dev/ordeal/run"
)

const consoleFile = "console.log" // what a checker has printed

// workOf is the directory of a run while it goes on: a store of its own.
func (s *soak) workOf(a Attempt) string { return filepath.Join(s.Dir, workDir, "r"+a.String()) }

// child is the command of a run: the test of its cell, or the stored test again.
func (s *soak) child(a Attempt, cell *Cell, seed uint64, work string) child {
	argv := slices.Clone(s.Program)
	if a.Try > 0 {
		first := s.journal.Ended[Attempt{Run: a.Run}]
		argv = append(argv, "replay", filepath.Join(s.Dir, filepath.FromSlash(first.Files)))
	} else {
		cfg := cell.Config
		cfg.Seed = seed
		if cfg.System == run.Default().System && cfg.Cluster != "sim" {
			cfg.Target = s.Target
		}
		argv = append(argv, cfg.Args()...)
	}
	return child{
		argv: append(argv, "--store", work, "--leash"), log: filepath.Join(work, consoleFile),
		limit: cell.Limit, memory: s.allowed.Memory / int64(s.abreast), grace: s.Grace, now: s.Now,
	}
}

// conduct waits for a run to end, cleans up after one that did not end well, and reads what
// came of it.
func (s *soak) conduct(
	ctx context.Context, a Attempt, cell *Cell, c child, work string,
) finished {
	f := finished{attempt: a, exited: c.run(ctx, s.Abort.Done())}
	f.record, f.dir = record(f.exited, work, cell.CellInfo)
	if f.exited.failed() != "" || f.exited.cut || f.exited.status < 0 || f.exited.status > 2 {
		f.healing = heal(work)
	}
	return f
}

// healTries is how often healing is tried, healPause the time between: a host may be away for
// a while, or a checker that lost its leash still be healing by itself.
const (
	healTries = 3
	healPause = 5 * time.Second
)

// heal undoes what the runs of a directory left behind.
func heal(work string) error {
	dirs, err := runDirs(work)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		var err error
		for try := range healTries {
			if try > 0 {
				<-time.After(healPause)
			}
			// It has a time limit of its own, and nothing cuts it short.
			if _, err = run.Heal(context.Background(), dir); err == nil {
				break
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// settle takes in a run that came to its end: as a result, which is in the journal before
// anything is done with its files, or as one that was cut off. What it returns ends the soak.
func (s *soak) settle(f finished) error {
	delete(s.going, f.attempt)
	if f.exited.cut && f.record.Outcome != Violated {
		return errors.Join(f.healing, s.interrupted(f.attempt, "the soak was interrupted"))
	}
	if err := s.end(f.attempt, f.record, f.dir, f.healing != nil); err != nil {
		return err
	}
	if f.healing != nil {
		return fmt.Errorf("run %s could not be healed, so that nothing after it would be to be "+
			"believed; when its hosts are back, go on with the same command: %w", f.attempt, f.healing)
	}
	s.streak++
	if f.record.Outcome != Crashed {
		s.streak = 0
	}
	s.tell(f)
	if s.streak >= crashesMost {
		return fmt.Errorf("%d runs in a row crashed, the last one, %s, because: %s", s.streak,
			f.attempt, f.record.Reason)
	}
	if f.record.Outcome == Violated || s.Now().Sub(s.written) >= publishEvery {
		_, err := s.publish()
		return err
	}
	return nil
}

// end makes a run a result. One that could not be healed stays where it is, because healing
// knows its processes by that place.
func (s *soak) end(a Attempt, r Record, dir string, stays bool) (err error) {
	if r.Bytes, err = size(s.workOf(a)); err != nil {
		return fmt.Errorf("run %s: %w", a, err)
	}
	r.Log = filepath.ToSlash(filepath.Join(logsDir, "r"+a.String()+".log"))
	if dir != "" {
		name := filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir)+"-r"+a.String())
		r.Files = filepath.ToSlash(filepath.Join(storeDir, name))
		r.Log = r.Files + "/" + consoleFile
	}
	if err := s.journal.write(Entry{Type: entryEnd, At: s.Now(), Attempt: a, Record: &r}); err != nil {
		return err
	}
	if stays {
		return nil
	}
	return s.adopt(a)
}

// adopt moves the files of a result to where its record says, and removes what else there
// is of it. It can be done again.
func (s *soak) adopt(a Attempt) error {
	e, work := s.journal.Ended[a], s.workOf(a)
	dirs, err := runDirs(work)
	if err != nil {
		return fmt.Errorf("run %s: %w", a, err)
	}
	console := filepath.Join(work, consoleFile)
	if len(dirs) > 0 && e.Files != "" {
		to := filepath.Join(s.Dir, filepath.FromSlash(e.Files))
		err := errors.Join(
			rename(console, filepath.Join(dirs[0], consoleFile)),
			os.MkdirAll(filepath.Dir(to), 0o755), rename(dirs[0], to),
		)
		if err != nil {
			return fmt.Errorf("run %s: %w", a, err)
		}
		// A run without results is not in the index; those who read the store find it.
		if line, err := store.Read(to); err == nil {
			if err := store.Append(filepath.Join(s.Dir, storeDir), line); err != nil {
				return fmt.Errorf("run %s: %w", a, err)
			}
		}
	} else if e.Files == "" {
		if err := rename(console, filepath.Join(s.Dir, filepath.FromSlash(e.Log))); err != nil {
			return fmt.Errorf("run %s: %w", a, err)
		}
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("run %s: %w", a, err)
	}
	return nil
}

// rename moves a file that may have been moved before.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// interrupted makes a run as if it had never been.
func (s *soak) interrupted(a Attempt, why string) error {
	err := s.journal.write(Entry{Type: entryInterrupted, At: s.Now(), Attempt: a, Why: why})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(s.workOf(a)); err != nil {
		return fmt.Errorf("run %s: %w", a, err)
	}
	return nil
}

// orphanTime is how long killed processes may take to be gone.
const orphanTime = 10 * time.Second

// recover finishes what an earlier process left: it ends its children, heals what they hurt,
// keeps what they proved, and forgets the rest of what was not finished.
func (s *soak) recover(ctx context.Context) error {
	for _, a := range sortedAttempts(s.journal.Open) {
		if err := s.recoverOne(ctx, a); err != nil {
			return fmt.Errorf("recover run %s: %w", a, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(s.Dir, workDir))
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, d := range left {
		work := filepath.Join(s.Dir, workDir, d.Name())
		var a Attempt
		_, _ = fmt.Sscanf(d.Name(), "r%d.%d", &a.Run, &a.Try) // without a try it is 0
		if _, ended := s.journal.Ended[a]; !ended {
			if err := os.RemoveAll(work); err != nil {
				return fmt.Errorf("recover: %w", err)
			}
			continue
		}
		if err := errors.Join(heal(work), s.adopt(a)); err != nil {
			return fmt.Errorf("recover run %s: %w", a, err)
		}
	}
	for a := range s.journal.Pruned {
		if err := s.remove(a); err != nil {
			return err
		}
	}
	return nil
}

// recoverOne cleans up after a run that was under way.
func (s *soak) recoverOne(ctx context.Context, a Attempt) error {
	work := s.workOf(a)
	for deadline := s.Now().Add(orphanTime); ; {
		groups := orphans(work)
		if len(groups) == 0 {
			break
		}
		if s.Now().After(deadline) {
			return fmt.Errorf("processes %v of it do not end", groups)
		}
		for _, g := range groups {
			_ = syscall.Kill(-g, syscall.SIGKILL) // it may just have ended
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	begun := s.journal.Open[a]
	r, dir := record(exited{status: -1, signal: "killed"}, work, s.journal.info(begun.Cell))
	if err := heal(work); err != nil {
		return err
	}
	if r.Outcome == Violated {
		return s.end(a, r, dir, false)
	}
	s.progress.say("run %s was cut off: it is cleaned up, and done again", a)
	return s.interrupted(a, "the soak did not live to its end")
}

func sortedAttempts[V any](m map[Attempt]V) []Attempt {
	var out []Attempt
	for a := range m {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Attempt) int {
		if a.Run != b.Run {
			return a.Run - b.Run
		}
		return a.Try - b.Try
	})
	return out
}
