//go:build unix

package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxAside bounds what truncate keeps of a file, so that a fault fills no disk.
const maxAside = 64 << 20

// fileID tells whether a path still leads to the same file.
type fileID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

func identify(info fs.FileInfo) fileID {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{Device: uint64(s.Dev), Inode: s.Ino}
	}
	return fileID{}
}

// openSame opens a file if it is still the one that was injured.
func openSame(path string, id fileID) (f *os.File, why string, err error) {
	f, err = os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path + " is gone", nil
	}
	if err != nil {
		return nil, "", err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	if identify(info) != id {
		return nil, path + " was replaced", f.Close()
	}
	return f, "", nil
}

// chosen returns the file that is meant: of a directory the largest file in it, of a
// pattern of filepath.Match the file that was written last, the greatest name of several.
func chosen(pattern string) (string, error) {
	if info, err := os.Lstat(pattern); err == nil && info.IsDir() {
		return largest(pattern)
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return pattern, nil
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrUsage, pattern, err)
	}
	best, written := "", time.Time{}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(written) {
			continue
		}
		best, written = path, info.ModTime()
	}
	if best == "" {
		return "", fmt.Errorf("no file is %s: %w", pattern, fs.ErrNotExist)
	}
	return best, nil
}

// largest returns the largest file in a tree, the last of several.
func largest(dir string) (string, error) {
	best, size := "", int64(-1)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() >= size {
			best, size = path, info.Size()
		}
		return err
	})
	if err == nil && best == "" {
		err = fmt.Errorf("there is no file in %s: %w", dir, fs.ErrNotExist)
	}
	return best, err
}

// flipBit flips one bit of a file.
type flipBit struct {
	// Path is that of a file, or what is chosen says.
	Path string `json:"path"`
	// Place is where, from 0, the file's first byte, to less than 1; or Offset the
	// byte, if not negative. Bit is 0…7.
	Place  float64 `json:"place"`
	Offset int64   `json:"offset"`
	Bit    int     `json:"bit"`

	// At is the byte that is hit, Was and Is what it is before and after.
	At  int64  `json:"at"`
	Was byte   `json:"was"`
	Is  byte   `json:"is"`
	ID  fileID `json:"id"`
}

func (*flipBit) kind() string { return "flip" }

func (x *flipBit) prepare(string) error {
	if x.Bit < 0 || x.Bit > 7 || !(x.Place >= 0 && x.Place < 1) {
		return fmt.Errorf("%w: bit %d, place %v", ErrUsage, x.Bit, x.Place)
	}
	var err error
	if x.Path, err = chosen(x.Path); err != nil {
		return err
	}
	f, err := os.Open(x.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if x.At = x.Offset; x.Offset < 0 {
		x.At = int64(x.Place * float64(info.Size()))
	}
	if !info.Mode().IsRegular() || x.At >= info.Size() {
		return fmt.Errorf("%s has no byte %d", x.Path, x.At)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], x.At); err != nil {
		return err
	}
	x.Was, x.Is, x.ID = b[0], b[0]^1<<x.Bit, identify(info)
	return nil
}

func (x *flipBit) apply(string) error {
	why, err := x.put(x.Was, x.Is)
	if err == nil && why != "" {
		err = errors.New(why)
	}
	return err
}

func (x *flipBit) undo(string) (string, error) { return x.put(x.Is, x.Was) }

// put changes the byte if it is from; it may be to already.
func (x *flipBit) put(from, to byte) (why string, err error) {
	f, why, err := openSame(x.Path, x.ID)
	if f == nil {
		return why, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var b [1]byte
	if _, err := f.ReadAt(b[:], x.At); errors.Is(err, io.EOF) {
		return fmt.Sprintf("%s has no byte %d any more", x.Path, x.At), nil
	} else if err != nil {
		return "", err
	}
	switch b[0] {
	case to:
		return "", nil
	case from:
		b[0] = to
		_, err = f.WriteAt(b[:], x.At)
		return "", errors.Join(err, f.Sync())
	}
	return fmt.Sprintf("byte %d of %s was written anew", x.At, x.Path), nil
}

// truncate cuts the end of a file off.
type truncate struct {
	// Path is that of a file, or what is chosen says.
	Path string `json:"path"`
	// Cut is how many bytes; a shorter file becomes empty.
	Cut int64 `json:"cut"`

	Size int64  `json:"size"` // before
	Left int64  `json:"left"` // after
	ID   fileID `json:"id"`
}

func (*truncate) kind() string { return "truncate" }

func (x *truncate) prepare(aside string) error {
	if x.Cut <= 0 || x.Cut > maxAside {
		return fmt.Errorf("%w: cut %d bytes, at most %d", ErrUsage, x.Cut, maxAside)
	}
	var err error
	if x.Path, err = chosen(x.Path); err != nil {
		return err
	}
	f, err := os.Open(x.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return fmt.Errorf("%s has nothing to cut off", x.Path)
	}
	x.Size, x.ID = info.Size(), identify(info)
	x.Left = max(0, x.Size-x.Cut)
	end := make([]byte, x.Size-x.Left)
	if _, err := f.ReadAt(end, x.Left); err != nil {
		return err
	}
	return writeWhole(aside, end)
}

func (x *truncate) apply(string) error {
	f, why, err := openSame(x.Path, x.ID)
	if err == nil && f == nil {
		err = errors.New(why)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(x.Left), f.Sync(), f.Close())
}

func (x *truncate) undo(aside string) (why string, err error) {
	f, why, err := openSame(x.Path, x.ID)
	if f == nil {
		return why, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	end, err := os.ReadFile(aside)
	if err != nil {
		return "", err
	}
	// A call that was killed may have written a part of it.
	if info.Size() < x.Left || info.Size() > x.Size {
		return x.Path + " was written to", nil
	}
	now := make([]byte, info.Size()-x.Left)
	if _, err := f.ReadAt(now, x.Left); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if string(now) != string(end[:len(now)]) {
		return x.Path + " was written to", nil
	}
	_, err = f.WriteAt(end, x.Left)
	return "", errors.Join(err, f.Sync())
}
