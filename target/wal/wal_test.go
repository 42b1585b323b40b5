package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func mustOpen(t *testing.T, fs FS, dir string) (*Log, Recovered) {
	t.Helper()
	l, rec, err := Open(fs, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l, rec
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill opens a log and writes checkpoint "state" and five groups behind it.
func fill(t *testing.T, fs FS, dir string) {
	t.Helper()
	l, _ := mustOpen(t, fs, dir)
	must(t, l.Append([]byte("before")))
	must(t, l.Checkpoint([]byte("state")))
	for i := range 5 {
		must(t, l.Append(fmt.Appendf(nil, "r%d", i), nil))
		must(t, l.Sync())
	}
	must(t, l.Close())
}

const filled = `checkpoint "state" records "r0  r1  r2  r3  r4 "`

func TestReopen(t *testing.T) {
	for name, fs := range map[string]FS{"OS": OS{}, "Mem": NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "dir")
			fill(t, fs, dir)
			for epoch := uint64(2); epoch < 5; epoch++ {
				l, rec := mustOpen(t, fs, dir)
				if got := stateOf(rec); got != filled || rec.Epoch != epoch || rec.Cut != 0 {
					t.Errorf("found %s, epoch %d, cut %d; want %s, epoch %d",
						got, rec.Epoch, rec.Cut, filled, epoch)
				}
				must(t, l.Close())
			}
			names, err := fs.List(dir)
			must(t, err)
			slices.Sort(names)
			want := []string{"checkpoint-0000000000000001", "epoch", "log-0000000000000001"}
			if !slices.Equal(names, want) {
				t.Errorf("files %q, want %q", names, want)
			}
		})
	}
}

// An empty checkpoint is one: nil means that there was none.
func TestEmptyCheckpoint(t *testing.T) {
	fs := NewMem()
	l, rec := mustOpen(t, fs, dir)
	if rec.Checkpoint != nil {
		t.Errorf("new log has checkpoint %q", rec.Checkpoint)
	}
	must(t, l.Checkpoint(nil))
	if _, rec = mustOpen(t, fs, dir); rec.Checkpoint == nil || len(rec.Checkpoint) > 0 {
		t.Errorf("checkpoint %#v, want an empty one", rec.Checkpoint)
	}
}

// Whatever byte of durable data is flipped, the log never hands out another
// state as if it were whole, except for the last group, which looks torn.
func TestEveryFlippedByte(t *testing.T) {
	clean := NewMem()
	fill(t, clean, dir)
	frames := frameOffsets(t, clean)
	for _, name := range []string{
		segmentName(dir, 1), checkpointName(dir, 1), filepath.Join(dir, epochName),
	} {
		content, err := clean.ReadFile(name)
		must(t, err)
		for at := range content {
			fs := clean.Crash(All())
			fs.Corrupt(name, func(b []byte) []byte { b[at] ^= 0x40; return b })
			_, rec, err := Open(fs, dir, Options{})
			last := frames[len(frames)-1]
			if name == segmentName(dir, 1) && int64(at) >= last {
				const want = `checkpoint "state" records "r0  r1  r2  r3 "`
				if err != nil || stateOf(rec) != want || rec.Cut == 0 {
					t.Errorf("last group, byte %d: %s, %v; want %s", at, stateOf(rec), err, want)
				}
				continue
			}
			var corrupt *CorruptError
			if !errors.Is(err, ErrCorrupt) || !errors.As(err, &corrupt) {
				t.Fatalf("%s, byte %d: error %v, want ErrCorrupt", name, at, err)
			}
			if want := frameAt(frames, name, at); corrupt.File != name || corrupt.Offset != want {
				t.Errorf("%s, byte %d: reported at %s, offset %d, want offset %d",
					name, at, corrupt.File, corrupt.Offset, want)
			}
		}
	}
}

// frameOffsets lists where the groups of a filled log begin.
func frameOffsets(t *testing.T, fs FS) []int64 {
	t.Helper()
	segment, err := fs.ReadFile(segmentName(dir, 1))
	must(t, err)
	var offsets []int64
	for at := int64(segmentHeader); at < int64(len(segment)); {
		offsets = append(offsets, at)
		_, next, err := parseFrame(segment, 1, at)
		must(t, err)
		at = next
	}
	return offsets
}

// frameAt is the offset that a report of damage at a byte must name.
func frameAt(frames []int64, name string, at int) int64 {
	var start int64
	if name == segmentName(dir, 1) {
		for _, f := range frames {
			if f <= int64(at) {
				start = f
			}
		}
	}
	return start
}

// Cutting a corrupt log is possible, for those who ask for it.
func TestCutCorrupt(t *testing.T) {
	fs := NewMem()
	fill(t, fs, dir)
	second := frameOffsets(t, fs)[1]
	fs.Corrupt(segmentName(dir, 1), func(b []byte) []byte { b[second] ^= 1; return b })
	_, rec, err := Open(fs, dir, Options{CutCorrupt: true})
	must(t, err)
	if got, want := stateOf(rec), `checkpoint "state" records "r0 "`; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	if _, rec = mustOpen(t, fs, dir); rec.Cut != 0 {
		t.Errorf("%d bytes cut again", rec.Cut)
	}
}

func TestMissingFiles(t *testing.T) {
	for _, name := range []string{
		segmentName(dir, 1), checkpointName(dir, 1), filepath.Join(dir, epochName),
	} {
		fs := NewMem()
		fill(t, fs, dir)
		must(t, fs.Remove(name))
		if _, rec, err := Open(fs, dir, Options{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s: %s, error %v; want ErrCorrupt", name, stateOf(rec), err)
		}
	}
}

// A log that was begun is not begun anew because it was cut to nothing.
func TestEmptiedLog(t *testing.T) {
	for _, size := range []int{0, segmentHeader - 1} {
		fs := NewMem()
		l, _ := mustOpen(t, fs, dir)
		must(t, l.Append([]byte("r")))
		must(t, l.Sync())
		fs.Corrupt(segmentName(dir, 0), func(b []byte) []byte { return b[:size] })
		if _, rec, err := Open(fs, dir, Options{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %s, error %v; want ErrCorrupt", size, stateOf(rec), err)
		}
	}
}

// The first error is final, also when the disk says that all is well again.
func TestFirstErrorIsFinal(t *testing.T) {
	for _, tc := range []struct {
		op  Op
		err error
	}{
		{OpWrite, syscall.ENOSPC}, {OpSync, syscall.EIO},
		{OpCreate, syscall.ENOSPC}, {OpRename, syscall.EIO}, {OpSyncDir, syscall.EIO},
	} {
		t.Run(string(tc.op), func(t *testing.T) {
			fs := NewMem()
			l, _ := mustOpen(t, fs, dir)
			must(t, l.Append([]byte("durable")))
			must(t, l.Sync())
			fs.FailWith(func(op Op, _ string) error {
				if op == tc.op {
					return tc.err
				}
				return nil
			})
			err := errors.Join(l.Append([]byte("lost")), l.Sync(), l.Checkpoint([]byte("c")))
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			fs.FailWith(nil)
			for name, err := range map[string]error{
				"append": l.Append([]byte("after")), "sync": l.Sync(),
				"checkpoint": l.Checkpoint([]byte("after")),
			} {
				if !errors.Is(err, tc.err) {
					t.Errorf("%s after the failure: %v, want %v", name, err, tc.err)
				}
			}
			_, rec := mustOpen(t, fs.Crash(None()), dir)
			if len(rec.Records) == 0 || string(rec.Records[0]) != "durable" {
				t.Errorf("found %s after the failure", stateOf(rec))
			}
		})
	}
}

// Volatile over real files loses and keeps what Mem loses and keeps in a power cut
// in which nothing unsynced survives.
func TestVolatileIsMemOnDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		real, err := os.MkdirTemp("", "volatile")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(real)
		mem := NewMem()
		for range rapid.IntRange(1, 3).Draw(t, "lives") {
			volatile, err := NewVolatile(real)
			if err != nil {
				t.Fatal(err)
			}
			twin := twins{t: t, dir: real, a: mem, b: volatile}
			for range rapid.IntRange(1, 30).Draw(t, "steps") {
				twin.step()
			}
			mem = mem.Crash(None()) // and the process with volatile is gone
			same(t, real, mem, OS{})
		}
	})
}

// twins does the same to two file systems.
type twins struct {
	t    *rapid.T
	dir  string
	a, b FS
}

func (w twins) step() {
	names := rapid.SampledFrom([]string{"x", "y", "z"})
	name := filepath.Join(w.dir, names.Draw(w.t, "name"))
	other := filepath.Join(w.dir, names.Draw(w.t, "other"))
	op := rapid.SampledFrom([]string{
		"write", "write", "truncate", "sync", "create", "rename", "remove", "syncdir",
	}).Draw(w.t, "op")
	size := int64(rapid.IntRange(0, 20).Draw(w.t, "size"))
	do := func(fs FS) error {
		switch op {
		case "rename":
			return fs.Rename(name, other)
		case "remove":
			return fs.Remove(name)
		case "syncdir":
			return fs.SyncDir(w.dir)
		case "create":
			_, err := fs.Create(name)
			return err
		}
		f, err := fs.Append(name)
		if err != nil {
			return err
		}
		switch op {
		case "write":
			_, err = f.Write([]byte("0123456789"))
		case "truncate":
			err = f.Truncate(size)
		case "sync":
			err = f.Sync()
		}
		return err
	}
	if errA, errB := do(w.a), do(w.b); (errA == nil) != (errB == nil) {
		w.t.Fatalf("%s %s: %v and %v", op, name, errA, errB)
	}
	same(w.t, w.dir, w.a, w.b)
}

func same(t *rapid.T, dir string, a, b FS) {
	namesA, errA := a.List(dir)
	namesB, errB := b.List(dir)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	slices.Sort(namesB)
	if !slices.Equal(namesA, namesB) {
		t.Fatalf("files %q and %q", namesA, namesB)
	}
	for _, name := range namesA {
		contentA, errA := a.ReadFile(filepath.Join(dir, name))
		contentB, errB := b.ReadFile(filepath.Join(dir, name))
		if errA != nil || errB != nil || string(contentA) != string(contentB) {
			t.Fatalf("%s: %q (%v) and %q (%v)", name, contentA, errA, contentB, errB)
		}
	}
}

// Over a volatile disk, a process that dies loses exactly what it did not sync.
func TestVolatileLog(t *testing.T) {
	dir := t.TempDir()
	start := func() (*Log, Recovered) {
		fs, err := NewVolatile(dir)
		must(t, err)
		return mustOpen(t, fs, dir)
	}
	l, _ := start()
	must(t, l.Append([]byte("synced")))
	must(t, l.Sync())
	must(t, l.Append([]byte("not synced")))
	l, rec := start()
	if got, want := stateOf(rec), `checkpoint none records "synced"`; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	must(t, l.Checkpoint([]byte("state")))
	if _, rec = start(); stateOf(rec) != `checkpoint "state" records ""` || rec.Epoch != 3 {
		t.Errorf("found %s, epoch %d", stateOf(rec), rec.Epoch)
	}
}

func BenchmarkAppendSync(b *testing.B) {
	for _, kind := range []string{"OS", "Volatile"} {
		b.Run(kind, func(b *testing.B) {
			dir := b.TempDir()
			var fs FS = OS{}
			if kind == "Volatile" {
				v, err := NewVolatile(dir)
				if err != nil {
					b.Fatal(err)
				}
				fs = v
			}
			l, _, err := Open(fs, dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			record := make([]byte, 200)
			for b.Loop() {
				if err := errors.Join(l.Append(record), l.Sync()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
