package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const dir = "data"

var errPower = errors.New("power cut")

// The oracle. A run is a list of changes, each an appended group or a checkpoint.
// After a crash the log must be found as it was after some change j, where j is
// at least the last change known to be durable, and at most the last one begun.

// change is one appended group or, if checkpoint is not nil, a checkpoint.
type change struct {
	group      []string
	checkpoint *string
}

// stateAfter describes what must be found after the first n changes.
func stateAfter(changes []change, n int) string {
	checkpoint, records := "none", []string{}
	for _, c := range changes[:n] {
		if c.checkpoint != nil {
			checkpoint, records = fmt.Sprintf("%q", *c.checkpoint), nil
			continue
		}
		records = append(records, c.group...)
	}
	return fmt.Sprintf("checkpoint %s records %q", checkpoint, strings.Join(records, " "))
}

func stateOf(rec Recovered) string {
	checkpoint := "none"
	if rec.Checkpoint != nil {
		checkpoint = fmt.Sprintf("%q", rec.Checkpoint)
	}
	return fmt.Sprintf("checkpoint %s records %q",
		checkpoint, bytes.Join(rec.Records, []byte(" ")))
}

// life is one log through several lives of its process.
type life struct {
	mem     *Mem
	wrap    func(FS) FS // what the log sees of mem
	log     *Log
	changes []change
	durable int // changes known to be durable
	epoch   uint64
	next    int // to make every record and checkpoint different
}

// step does one operation, which may fail when the power goes.
func (l *life) step(op string) error {
	switch op {
	case "append":
		l.next++
		group := []string{fmt.Sprintf("a%d", l.next), strings.Repeat("b", l.next%40)}
		l.changes = append(l.changes, change{group: group})
		return l.log.Append([]byte(group[0]), []byte(group[1]))
	case "sync":
		if err := l.log.Sync(); err != nil {
			return err
		}
		l.durable = len(l.changes)
		return nil
	case "checkpoint":
		l.next++
		state := fmt.Sprintf("c%d", l.next)
		l.changes = append(l.changes, change{checkpoint: &state})
		if err := l.log.Checkpoint([]byte(state)); err != nil {
			return err
		}
		l.durable = len(l.changes)
		return nil
	case "open":
		return l.open()
	}
	panic("no such step: " + op)
}

// open starts the process again and holds what it finds against the oracle.
func (l *life) open() error {
	if l.log != nil {
		l.log.Close()
	}
	log, rec, err := Open(l.wrap(l.mem), dir, Options{})
	if err != nil {
		return err
	}
	l.log = log
	if rec.Epoch <= l.epoch {
		return fmt.Errorf("%w: epoch %d after %d", errWrong, rec.Epoch, l.epoch)
	}
	l.epoch = rec.Epoch
	found := stateOf(rec)
	for n := len(l.changes); n >= l.durable; n-- {
		if stateAfter(l.changes, n) == found {
			// Whatever came behind is gone for good; what is here is durable.
			l.changes, l.durable = l.changes[:n], n
			return nil
		}
	}
	return fmt.Errorf("%w: found %s, want %s or more", errWrong, found,
		stateAfter(l.changes, l.durable))
}

var errWrong = errors.New("the log broke its promise")

// countdown cuts the power at the n-th change of the file system from now on.
func countdown(mem *Mem, n int) {
	mem.FailWith(func(Op, string) error {
		if n--; n < 0 {
			return errPower
		}
		return nil
	})
}

// crash cuts the power for the process that runs, and leaves a disk behind.
func (l *life) crash(s Survivors) {
	l.mem = l.mem.Crash(s)
	l.log = nil
}

func newLife(wrap func(FS) FS) *life { return &life{mem: NewMem(), wrap: wrap} }

func honest(fs FS) FS { return fs }

// script visits every transition: first start, groups with and without sync,
// checkpoints over each of them, restarts.
var script = strings.Fields(`open append sync append append sync append checkpoint append sync
	checkpoint open append append checkpoint checkpoint append sync open append sync`)

// cutAt runs the script with the power cut at change n of the file system, and
// again at change m of the recovery, and then reads the log. It reports whether
// the script ended before n.
func cutAt(wrap func(FS) FS, n, m int, s func() Survivors) (ended bool, err error) {
	l := newLife(wrap)
	countdown(l.mem, n)
	ended = true
	for _, op := range script {
		if err := l.step(op); err != nil {
			if !errors.Is(err, errPower) {
				return false, err
			}
			ended = false
			break
		}
	}
	l.crash(s())
	countdown(l.mem, m)
	if err := l.open(); err != nil && !errors.Is(err, errPower) {
		return ended, fmt.Errorf("recovery: %w", err)
	}
	l.crash(s())
	for _, op := range []string{"open", "append", "sync", "open"} {
		if err := l.step(op); err != nil {
			return ended, fmt.Errorf("second recovery, %s: %w", op, err)
		}
	}
	return ended, nil
}

// sweepCuts tries every moment of the first cut with many of the second, and
// returns the first broken promise.
func sweepCuts(wrap func(FS) FS, seeds int) (cuts int, err error) {
	for n := 0; ; n++ {
		all := true
		for seed := range uint64(seeds) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			survivors := func() Survivors { return Some(rng) }
			switch seed {
			case 0:
				survivors = None
			case 1:
				survivors = All
			}
			m := int(seed) % 12
			ended, err := cutAt(wrap, n, m, survivors)
			if err != nil {
				return cuts, fmt.Errorf("cut at %d, then at %d, seed %d: %w", n, m, seed, err)
			}
			all = all && ended
			cuts++
		}
		if all {
			return cuts, nil
		}
	}
}

func TestPowerCutAtEveryOperation(t *testing.T) {
	cuts, err := sweepCuts(honest, 60)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pairs of power cuts survived", cuts)
	if cuts < 60*50 {
		t.Errorf("only %d pairs of power cuts: the script ends too early", cuts)
	}
}

// deaf is a file system that does not do one kind of operation and says it did.
type deaf struct {
	FS
	op Op
	on string // part of the name
}

func (d deaf) Create(name string) (File, error) {
	f, err := d.FS.Create(name)
	return d.file(f, name), err
}

func (d deaf) Append(name string) (File, error) {
	f, err := d.FS.Append(name)
	return d.file(f, name), err
}

func (d deaf) file(f File, name string) File {
	if d.op == OpSync && strings.Contains(name, d.on) {
		return deafFile{f}
	}
	return f
}

func (d deaf) SyncDir(name string) error {
	if d.op == OpSyncDir {
		return nil
	}
	return d.FS.SyncDir(name)
}

type deafFile struct{ File }

func (deafFile) Sync() error { return nil }

// The torture must find a log that leaves out a sync: else it tests nothing.
func TestTortureFindsMissingSyncs(t *testing.T) {
	for _, d := range []deaf{
		{op: OpSync, on: "log-"},
		{op: OpSync, on: "checkpoint"},
		{op: OpSync, on: "epoch"},
		{op: OpSyncDir},
	} {
		t.Run(fmt.Sprintf("%s %s", d.op, d.on), func(t *testing.T) {
			wrap := func(fs FS) FS { d.FS = fs; return d }
			if cuts, err := sweepCuts(wrap, 60); err == nil {
				t.Errorf("%d pairs of power cuts found nothing", cuts)
			} else {
				t.Log(err)
			}
		})
	}
}

func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(honest)
		steps := rapid.SampledFrom([]string{"append", "append", "sync", "checkpoint", "open"})
		for range rapid.IntRange(1, 4).Draw(t, "crashes") {
			cut := rapid.IntRange(1, 60).Draw(t, "cut")
			countdown(l.mem, cut)
			err := l.step("open")
			for err == nil {
				err = l.step(steps.Draw(t, "step"))
			}
			if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			l.crash(Some(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "survivors"), 1))))
		}
		if err := l.step("open"); err != nil {
			t.Fatal(err)
		}
	})
}

// A group that was being written when the power went is found whole or not at
// all, whatever byte it was torn at.
func TestTornAtEveryByte(t *testing.T) {
	for _, hole := range []bool{false, true} {
		for kept := 0; ; kept++ {
			l := newLife(honest)
			for _, op := range []string{"open", "append", "sync", "append"} {
				if err := l.step(op); err != nil {
					t.Fatal(err)
				}
			}
			unsynced := 0
			l.crash(Survivors{
				Names: func(n int) int { return n },
				Bytes: func(name string, n int) int {
					unsynced = max(unsynced, n)
					return min(kept, n)
				},
				Hole: func(string) bool { return hole },
			})
			for _, op := range []string{"open", "append", "sync", "open"} {
				if err := l.step(op); err != nil {
					t.Fatalf("hole %v, %d of %d bytes kept, %s: %v", hole, kept, unsynced, op, err)
				}
			}
			if want := 2; kept < unsynced && len(l.changes) != want {
				t.Fatalf("hole %v, %d of %d bytes kept: %d groups found, want %d",
					hole, kept, unsynced, len(l.changes), want)
			}
			if kept >= unsynced {
				break
			}
		}
	}
}
