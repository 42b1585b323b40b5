package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fillDisk fills a filesystem with one file.
type fillDisk struct {
	Dir string `json:"dir"`
	// Leave is how many bytes stay free.
	Leave int64 `json:"leave"`
	// Most is how many bytes may be taken: a larger volume is refused, because it is
	// likely the machine's own.
	Most int64 `json:"most"`

	Path string `json:"path"`
	// Took is the filler's size, Free what is free beside it.
	Took int64 `json:"took"`
	Free int64 `json:"free"`
	// Reserve is what was free when the filesystem gave nothing any more: ext4 keeps some
	// megabytes for itself.
	Reserve int64 `json:"reserve"`
}

func (*fillDisk) kind() string { return "fill" }

// fillerName is that of the file that fills.
const fillerName = ".ordeal-full-disk"

func (x *fillDisk) prepare(string) error {
	free, err := freeBytes(x.Dir)
	if err != nil {
		return err
	}
	if x.Leave < 0 || free-x.Leave > x.Most {
		return fmt.Errorf("%w: %s has %d bytes free, more than %d to be taken and %d left",
			ErrUsage, x.Dir, free, x.Most, x.Leave)
	}
	x.Path = filepath.Join(x.Dir, fillerName)
	if _, err := os.Lstat(x.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: %w", x.Path, errors.Join(fs.ErrExist, err))
	}
	return nil
}

// freeBytes is what this process could write into a filesystem.
func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("look at %s: %w", dir, err)
	}
	blocks := s.Bavail
	if os.Geteuid() == 0 {
		blocks = s.Bfree // root has the reserve, too
	}
	return int64(blocks) * s.Bsize, nil
}

// apply grows the filler, in ever smaller steps, until nothing is left to take.
func (x *fillDisk) apply(string) error {
	f, err := os.OpenFile(x.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	x.Took = info.Size()
	refused := false
	for step := int64(64 << 20); step >= 512; {
		free, err := freeBytes(x.Dir)
		if err != nil {
			return err
		}
		want := min(step, free-x.Leave, x.Most-x.Took)
		if want <= 0 {
			break
		}
		err = grow(f, x.Took, want)
		switch {
		case err == nil:
			x.Took += want
		case outOfSpace(err):
			step /= 2
			refused = step < 512
		default:
			return fmt.Errorf("fill %s: %w", x.Dir, err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	x.Free, err = freeBytes(x.Dir)
	if refused {
		x.Reserve = x.Free
	}
	return err
}

// grow takes n bytes behind at; not every filesystem can do that without writing them.
func grow(f *os.File, at, n int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, at, n)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		zeros := make([]byte, min(n, 1<<20))
		for err = nil; n > 0 && err == nil; {
			var m int
			m, err = f.WriteAt(zeros[:min(n, int64(len(zeros)))], at)
			at, n = at+int64(m), n-int64(m)
		}
	}
	return err
}

func (x *fillDisk) undo(string) (string, error) {
	if err := remove(x.Path); err != nil {
		return "", err
	}
	return "", syncDir(x.Dir)
}

// status looks at the volume again. A record on that very volume could not be written once
// more when it was full: what the filesystem keeps for itself is found out anew.
func (x *fillDisk) status() (VolumeStatus, error) {
	info, err := os.Lstat(x.Path)
	if err != nil {
		return VolumeStatus{Path: x.Path}, err
	}
	free, err := freeBytes(x.Dir)
	s := VolumeStatus{Path: x.Path, Took: info.Size(), Free: free, Reserve: x.Reserve}
	if err == nil && s.Reserve == 0 && free > x.Leave {
		s.Reserve, err = x.reserved(info.Size(), free)
	}
	return s, err
}

// reserved is all that is free if the filesystem gives no more of it.
func (x *fillDisk) reserved(size, free int64) (int64, error) {
	f, err := os.OpenFile(x.Path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if err := grow(f, size, 4096); !outOfSpace(err) {
		return 0, errors.Join(err, f.Truncate(size))
	}
	return free, nil
}
