//go:build unix

package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scene is a directory with some data and a place for a record.
type scene struct {
	t                 *testing.T
	dir, file, record string
}

var content = bytes.Repeat([]byte("some bytes of a log\n"), 50)

func newScene(t *testing.T) *scene {
	t.Helper()
	dir := t.TempDir()
	s := &scene{t: t, dir: filepath.Join(dir, "data"), record: filepath.Join(dir, "record")}
	s.file = filepath.Join(s.dir, "log")
	if err := os.Mkdir(s.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	s.write(s.file, content)
	return s
}

func (s *scene) write(path string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(path, data, 0o640); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) read() []byte {
	s.t.Helper()
	data, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// inflict does an injury twice: the answer to the first call may have been lost.
func (s *scene) inflict(make func() injury) {
	s.t.Helper()
	for range 2 {
		if err := inflict(s.record, make()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// undo undoes, and then again, which must find nothing.
func (s *scene) undo() Undone {
	s.t.Helper()
	u, err := Undo(s.record)
	if err != nil || !u.Found {
		s.t.Fatalf("%+v, %v", u, err)
	}
	if again, err := Undo(s.record); err != nil || again.Found {
		s.t.Errorf("again: %+v, %v", again, err)
	}
	for _, left := range []string{s.record, aside(s.record)} {
		if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
			s.t.Errorf("%s is left: %v", left, err)
		}
	}
	return u
}

func (s *scene) flip() injury { return &flipBit{Path: s.file, Place: 0.5, Offset: -1, Bit: 3} }
func (s *scene) cut() injury  { return &truncate{Path: s.file, Cut: 100} }

func TestFlipABitOfAFile(t *testing.T) {
	s := newScene(t)
	s.inflict(s.flip)
	want := bytes.Clone(content)
	want[len(want)/2] ^= 1 << 3
	if got := s.read(); !bytes.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if u := s.undo(); u.Left != "" || !bytes.Equal(s.read(), content) {
		t.Errorf("%+v: %q", u, s.read())
	}
}

func TestTruncate(t *testing.T) {
	s := newScene(t)
	s.inflict(s.cut)
	if got := s.read(); !bytes.Equal(got, content[:len(content)-100]) {
		t.Errorf("%q", got)
	}
	if u := s.undo(); u.Left != "" || !bytes.Equal(s.read(), content) {
		t.Errorf("%+v: %q", u, s.read())
	}
}

// An undoing that was killed half-way is finished by the next.
func TestTruncateHalfUndone(t *testing.T) {
	s := newScene(t)
	s.inflict(s.cut)
	s.write(s.file, content[:len(content)-60])
	if u := s.undo(); u.Left != "" || !bytes.Equal(s.read(), content) {
		t.Errorf("%+v: %q", u, s.read())
	}
}

// What the system has made its own is left alone.
func TestUndoLeavesWhatIsTheSystems(t *testing.T) {
	for _, tc := range []struct {
		name   string
		injury func(*scene) injury
		change func(*scene)
		left   string
	}{
		{"flip, replaced", (*scene).flip, func(s *scene) {
			s.write(s.file+".new", s.read())
			if err := os.Rename(s.file+".new", s.file); err != nil {
				t.Fatal(err)
			}
		}, "replaced"},
		{"flip, gone", (*scene).flip, func(s *scene) { _ = os.Remove(s.file) }, "gone"},
		{"flip, shorter", (*scene).flip, func(s *scene) { s.write(s.file, []byte("new")) },
			"no byte"},
		{"flip, written anew", (*scene).flip, func(s *scene) {
			s.write(s.file, bytes.Repeat([]byte{1}, len(content)))
		}, "written anew"},
		{"truncate, appended", (*scene).cut, func(s *scene) {
			s.write(s.file, append(s.read(), "more"...))
		}, "written to"},
		{"truncate, cut again", (*scene).cut, func(s *scene) { s.write(s.file, nil) }, "written to"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t)
			s.inflict(func() injury { return tc.injury(s) })
			tc.change(s)
			before, missing := os.ReadFile(s.file)
			if u := s.undo(); !strings.Contains(u.Left, tc.left) {
				t.Errorf("left %q, want %q", u.Left, tc.left)
			}
			if missing == nil && !bytes.Equal(s.read(), before) {
				t.Error("it was changed")
			}
		})
	}
}

// A record is written before the act: whoever was killed between them undoes nothing.
func TestUndoOfWhatWasNeverDone(t *testing.T) {
	for _, make := range []func(*scene) injury{(*scene).flip, (*scene).cut} {
		s := newScene(t)
		in := make(s)
		if err := in.prepare(aside(s.record)); err != nil {
			t.Fatal(err)
		}
		if err := saveRecord(s.record, nil, in); err != nil {
			t.Fatal(err)
		}
		if u := s.undo(); u.Left != "" || !bytes.Equal(s.read(), content) {
			t.Errorf("%s: %+v: %q", in.kind(), u, s.read())
		}
	}
}

func TestARecordIsOfOneInjury(t *testing.T) {
	s := newScene(t)
	s.inflict(s.flip)
	err := inflict(s.record, s.cut())
	if err == nil || !strings.Contains(err.Error(), "something else: flip") {
		t.Errorf("%v", err)
	}
	s.undo()
}

func TestInjuriesThatAreRefused(t *testing.T) {
	s := newScene(t)
	for _, tc := range []struct {
		in   injury
		part string
	}{
		{&flipBit{Path: s.file, Offset: -1, Place: 1}, "place 1"},
		{&flipBit{Path: s.file, Offset: int64(len(content))}, "has no byte"},
		{&flipBit{Path: s.file, Bit: 8}, "bit 8"},
		{&flipBit{Path: "/dev/null"}, "has no byte"},
		{&flipBit{Path: s.dir + "/none"}, "no such file"},
		{&truncate{Path: s.file, Cut: maxAside + 1}, "at most"},
		{&truncate{Path: "/dev/null", Cut: 1}, "nothing to cut"},
		{&restore{From: s.dir}, "no whole snapshot"},
		{&limitCPU{Proc: "/proc", Percent: 0}, "0 percent"},
	} {
		err := inflict(s.record, tc.in)
		if err == nil || !strings.Contains(err.Error(), tc.part) {
			t.Errorf("%s: %v, want %q", tc.in.kind(), err, tc.part)
		}
		if u, err := Undo(s.record); err != nil || u.Found {
			t.Errorf("%s left a record: %+v, %v", tc.in.kind(), u, err)
		}
	}
	if err := inflict("relative", s.flip()); !errors.Is(err, ErrUsage) {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(s.read(), content) {
		t.Error("a refused injury changed the file")
	}
}

// An undoing that was killed before it removed the record is none of the system's doings.
func TestRestoreUndoneTwice(t *testing.T) {
	s := newScene(t)
	backup := filepath.Join(filepath.Dir(s.dir), "backup")
	if err := snapshot([]string{s.dir}, backup); err != nil {
		t.Fatal(err)
	}
	s.write(s.file, []byte("later"))
	in := &restore{From: backup}
	if err := inflict(s.record, in); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if why, err := in.undo(aside(s.record)); err != nil || why != "" {
			t.Errorf("%q, %v", why, err)
		}
	}
	if got := s.read(); string(got) != "later" {
		t.Errorf("%q", got)
	}
	s.undo()
}

// tree describes a directory.
func (s *scene) tree() string {
	s.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		b.WriteString(strings.TrimPrefix(path, s.dir) + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			data, _ := os.ReadFile(path)
			b.Write(data[:min(9, len(data))])
		}
		b.WriteByte('\n')
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// A snapshot is put in place, as from an old backup, and taken back: at once, after the
// undoing was interrupted, or not at all when the system has gone on from it.
func TestSnapshotAndRestore(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after func(s *scene)
		left  bool
	}{
		{"at once", func(*scene) {}, false},
		{"interrupted", func(s *scene) {
			s.write(filepath.Join(aside(s.record), undoing), nil)
			_ = os.Remove(s.file)
		}, false},
		{"gone on", func(s *scene) { s.write(s.file, []byte("gone on")) }, true},
		{"something new", func(s *scene) { s.write(s.file+"2", []byte("gone on")) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t)
			backup := filepath.Join(filepath.Dir(s.dir), "backup")
			if err := os.Symlink("log", s.file+".link"); err != nil {
				t.Fatal(err)
			}
			old := s.tree()
			for range 2 {
				if err := snapshot([]string{s.dir, s.dir + "/none"}, backup); err != nil {
					t.Fatal(err)
				}
			}
			s.write(s.file, []byte("later"))
			if err := os.MkdirAll(filepath.Join(s.dir, "none", "deep"), 0o700); err != nil {
				t.Fatal(err)
			}
			late := s.tree()
			s.inflict(func() injury { return &restore{From: backup} })
			if got := s.tree(); got != old {
				t.Errorf("restored\n%s\nwant\n%s", got, old)
			}
			tc.after(s)
			want := late
			if tc.left {
				want = s.tree()
			}
			if u := s.undo(); (u.Left != "") != tc.left || s.tree() != want {
				t.Errorf("%+v\n%s\nwant\n%s", u, s.tree(), want)
			}
		})
	}
}

// Which file is meant: a pattern means the newest, a directory its largest file.
func TestChosen(t *testing.T) {
	s := newScene(t)
	old := filepath.Join(s.dir, "wal", "log-1")
	if err := os.Mkdir(filepath.Dir(old), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(old, content[:100])
	s.write(filepath.Join(s.dir, "wal", "log-2"), content[:50])
	past := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		s.file: s.file, s.dir: s.file, s.dir + "/wal": old, s.dir + "/*": s.file,
		s.dir + "/wal/log-*": filepath.Join(s.dir, "wal", "log-2"), s.dir + "/wal/log-1": old,
	} {
		if got, err := chosen(pattern); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{s.dir + "/none-*", t.TempDir()} {
		if got, err := chosen(pattern); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s, %v", pattern, got, err)
		}
	}
}

// A restored snapshot says how many files were others: one that was written, one that is
// new, one that is gone.
func TestRestoreCounts(t *testing.T) {
	s := newScene(t)
	s.write(filepath.Join(s.dir, "gone"), content)
	kept := filepath.Join(t.TempDir(), "kept")
	if err := snapshot([]string{s.dir}, kept); err != nil {
		t.Fatal(err)
	}
	same := &restore{From: kept}
	if err := inflict(s.record, same); err != nil || same.Changed != 0 {
		t.Errorf("%d files, %v", same.Changed, err)
	}
	s.undo()
	s.write(s.file, content[1:])
	s.write(filepath.Join(s.dir, "new"), content)
	if err := os.Remove(filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	other := &restore{From: kept}
	if err := inflict(s.record, other); err != nil || other.Changed != 3 {
		t.Errorf("%d files, %v", other.Changed, err)
	}
}
