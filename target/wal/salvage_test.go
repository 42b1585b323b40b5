package wal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// written makes a log with a checkpoint and synced groups behind it.
func written(t *testing.T, groups ...string) *Mem {
	t.Helper()
	mem := NewMem()
	log, _, err := Open(mem, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Checkpoint([]byte("state")); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if err := errors.Join(log.Append([]byte(g)), log.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

// flip changes a byte in the middle of a file.
func flip(mem *Mem, name string, at func(content string) int) {
	mem.Corrupt(name, func(b []byte) []byte { b[at(string(b))] ^= 0x40; return b })
}

// TestSalvage damages a log in every way: it is refused, unless it is to be
// salvaged, and then every start says that something is missing, until the repair.
func TestSalvage(t *testing.T) {
	find := func(what string) func(string) int {
		return func(content string) int { return strings.Index(content, what) }
	}
	for _, c := range []struct {
		name   string
		damage func(*Mem)
		want   string
	}{
		{"middle record", func(m *Mem) { flip(m, segmentName(dir, 1), find("two")) },
			`checkpoint "state" records "one"`},
		{"header", func(m *Mem) { flip(m, segmentName(dir, 1), find("ORDWAL1")) },
			`checkpoint "state" records ""`},
		{"checkpoint", func(m *Mem) { flip(m, checkpointName(dir, 1), find("state")) },
			`checkpoint none records ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := written(t, "one", "two", "three")
			c.damage(mem)
			if _, _, err := Open(mem, dir, Options{}); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("opened with %v", err)
			}
			log, rec, err := Open(mem, dir, Options{Salvage: true})
			if err != nil || !rec.Damaged || stateOf(rec) != c.want || rec.Epoch != 2 {
				t.Fatalf("%s, damaged %t, epoch %d, %v; want %s",
					stateOf(rec), rec.Damaged, rec.Epoch, err, c.want)
			}
			if err := errors.Join(log.Append([]byte("new")), log.Sync()); err != nil {
				t.Fatal(err)
			}
			after := mem.Crash(None())
			log, rec, err = Open(after, dir, Options{Salvage: true})
			want := strings.Replace(c.want, `one"`, `one new"`, 1)
			want = strings.Replace(want, `""`, `"new"`, 1)
			if err != nil || !rec.Damaged || stateOf(rec) != want {
				t.Fatalf("%s, damaged %t, %v; want %s", stateOf(rec), rec.Damaged, err, want)
			}
			if err := errors.Join(log.Repaired(), log.Repaired()); err != nil {
				t.Fatal(err)
			}
			_, rec, err = Open(after.Crash(None()), dir, Options{})
			if err != nil || rec.Damaged {
				t.Errorf("damaged %t after the repair, %v", rec.Damaged, err)
			}
		})
	}
}

// TestSalvageCrash cuts the power at every step of a salvage: the next start
// still knows of the damage.
func TestSalvageCrash(t *testing.T) {
	for file, what := range map[string]string{
		segmentName(dir, 1): "two", checkpointName(dir, 1): "state",
	} {
		for n := 1; ; n++ {
			mem := written(t, "one", "two", "three")
			flip(mem, file, func(s string) int { return strings.Index(s, what) })
			countdown(mem, n)
			_, _, err := Open(mem, dir, Options{Salvage: true})
			after := mem.Crash(None())
			_, rec, second := Open(after, dir, Options{Salvage: true})
			if second != nil || !rec.Damaged {
				t.Fatalf("%s, power cut at step %d: damaged %t, %v", file, n, rec.Damaged, second)
			}
			if err == nil {
				break
			}
		}
	}
}

// The tests of flaws show each beside what a correct log does.

func TestFlawTornTail(t *testing.T) {
	for _, flawed := range []bool{false, true} {
		mem := written(t, "one")
		log, _, err := Open(mem, dir, Options{})
		if err != nil || log.Append([]byte("two"), []byte("three")) != nil {
			t.Fatal(err)
		}
		torn := None()
		torn.Bytes = func(_ string, n int) int { return max(0, n-2) }
		_, rec, err := Open(mem.Crash(torn), dir,
			Options{Flaws: Flaws{NoChecksums: flawed}})
		want := `checkpoint "state" records "one"`
		if flawed {
			want = `checkpoint "state" records "one two thr\x00\x00"`
		}
		if err != nil || stateOf(rec) != want {
			t.Errorf("flawed %t: %s, %v; want %s", flawed, stateOf(rec), err, want)
		}
	}
}

func TestFlawSyncAgain(t *testing.T) {
	for _, flawed := range []bool{false, true} {
		mem := written(t, "one")
		disk := NewDisk(mem, nil)
		log, _, err := Open(disk, dir, Options{Flaws: Flaws{RetrySync: flawed}})
		if err != nil || log.Append([]byte("two")) != nil {
			t.Fatal(err)
		}
		disk.Set(Trouble{SyncErrors: 1})
		if err := log.Sync(); (err == nil) != flawed {
			t.Errorf("flawed %t: sync says %v", flawed, err)
		}
		if !flawed {
			continue
		}
		if err := errors.Join(log.Append([]byte("three")), log.Sync()); err != nil {
			t.Fatal(err)
		}
		// The first group was called durable and is a hole.
		if _, _, err := Open(mem.Crash(None()), dir, Options{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("opened with %v", err)
		}
	}
}

func TestFlawFull(t *testing.T) {
	for _, flawed := range []bool{false, true} {
		mem := written(t, "one")
		disk := NewDisk(mem, nil)
		log, _, err := Open(disk, dir, Options{Flaws: Flaws{IgnoreFull: flawed}})
		if err != nil {
			t.Fatal(err)
		}
		disk.Set(Trouble{Full: true})
		err = log.Append([]byte("two"))
		if (err == nil) != flawed || err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("flawed %t: append says %v", flawed, err)
		}
		disk.Set(Trouble{})
		if !flawed {
			continue
		}
		if err := errors.Join(log.Append([]byte("three")), log.Sync()); err != nil {
			t.Fatal(err)
		}
		_, _, err = Open(mem.Crash(None()), dir, Options{})
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("opened with %v", err)
		}
	}
}

func TestFlawCutFirst(t *testing.T) {
	for _, flawed := range []bool{false, true} {
		mem := written(t, "one")
		log, _, err := Open(mem, dir, Options{Flaws: Flaws{CutFirst: flawed}})
		if err != nil || log.Checkpoint([]byte("newer")) != nil {
			t.Fatal(err)
		}
		_, rec, err := Open(mem.Crash(None()), dir, Options{Flaws: Flaws{CutFirst: flawed}})
		want := `checkpoint "newer" records ""`
		if flawed {
			want = `checkpoint "state" records ""` // and "one" is gone
		}
		if err != nil || stateOf(rec) != want {
			t.Errorf("flawed %t: %s, %v; want %s", flawed, stateOf(rec), err, want)
		}
	}
}

// TestDisk troubles a real directory: a kill finds half of what was written, a
// slow sync waits, and each trouble is counted.
func TestDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wal")
	volatile, err := NewVolatile(path)
	if err != nil {
		t.Fatal(err)
	}
	var slept time.Duration
	disk := NewDisk(volatile, func(d time.Duration) { slept += d })
	log, _, err := Open(disk, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	disk.Set(Trouble{SyncDelay: 30 * time.Millisecond})
	if err := errors.Join(log.Append([]byte("one")), log.Sync()); err != nil {
		t.Fatal(err)
	}
	disk.Set(Trouble{Torn: true})
	if err := log.Append([]byte(strings.Repeat("two", 50))); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(segmentName(path, 0))
	if err != nil || !strings.Contains(string(content), "twotwo") ||
		strings.Count(string(content), "two") > 30 {
		t.Errorf("on the disk before the sync: %q, %v", content, err)
	}
	again, err := NewVolatile(path) // as after a kill
	if err != nil {
		t.Fatal(err)
	}
	_, rec, err := Open(again, path, Options{})
	if err != nil || stateOf(rec) != `checkpoint none records "one"` || rec.Cut == 0 {
		t.Errorf("%s, %d bytes cut, %v", stateOf(rec), rec.Cut, err)
	}
	want := DiskCounts{DelayedSyncs: 1, TornWrites: 1}
	if got := disk.Counts(); got != want || slept != 30*time.Millisecond {
		t.Errorf("counts %+v, slept %v", got, slept)
	}
}
