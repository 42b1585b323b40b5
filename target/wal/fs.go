package wal

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// FS is the little that a log needs of a file system. Names are paths. As on a
// real disk, what was written survives a power cut only after File.Sync, and a
// name that was created, renamed or removed only after SyncDir of its directory.
type FS interface {
	// MkdirAll makes the directory and its parents; an existing one is no error.
	MkdirAll(dir string) error
	// List returns the names, without dir, of the files in dir, in any order.
	List(dir string) ([]string, error)
	// ReadFile returns the whole content. A missing file is fs.ErrNotExist.
	ReadFile(name string) ([]byte, error)
	// Create opens a file for appending; an existing one is emptied.
	Create(name string) (File, error)
	// Append opens an existing file for appending.
	Append(name string) (File, error)
	// Rename replaces whatever is at newName.
	Rename(oldName, newName string) error
	Remove(name string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// File is an open file that grows at its end.
type File interface {
	io.Writer
	// Truncate cuts the file to size bytes; writing goes on from there.
	Truncate(size int64) error
	// Sync makes the content durable; see FS for the name.
	Sync() error
	Close() error
}

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// MkdirAll implements FS.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// ReadFile implements FS.
func (OS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return openFile(name, os.O_CREATE|os.O_TRUNC)
}

// Append implements FS.
func (OS) Append(name string) (File, error) { return openFile(name, 0) }

// openFile always appends: the offset of every write is the end of the file,
// so a truncation needs no seek behind it.
func openFile(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|flags, 0o644)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename implements FS.
func (OS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir implements FS. Windows cannot sync a directory; there the order in
// which NTFS journals its metadata must do.
func (OS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return err
	}
	return d.Close()
}
