package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Volatile is a file system over one real directory in which everything that
// was not synced, bytes as well as names, lives in the memory of the process
// only. Killing the process then loses what a power cut would lose; without it
// the operating system's page cache survives the kill and hides every missing
// fsync.
//
// Sync and SyncDir hand over to the operating system and do not call fsync: the
// machine stays up, only the process dies.
type Volatile struct {
	*cache
	dir string
}

var _ FS = (*Volatile)(nil)

// NewVolatile opens the directory, making it first if need be. All its files are
// held in memory, so it must be small: a log and a checkpoint.
func NewVolatile(dir string) (*Volatile, error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	v := &Volatile{cache: newCache(osStore{}), dir: dir}
	names, err := OS{}.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, unnamed) {
			// A kill hit put below; the file never got its name.
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		v.adopt(path, content)
	}
	return v, nil
}

// MkdirAll implements FS for the one directory that there is.
func (v *Volatile) MkdirAll(dir string) error {
	if filepath.Clean(dir) != v.dir {
		return fmt.Errorf("make %s: outside %s", dir, v.dir)
	}
	return nil
}

// unnamed ends the name of a file whose content is being written.
const unnamed = ".unnamed"

// osStore puts the durable half of a cache into real files.
type osStore struct{}

// put writes under another name first: a durable name never shows a content
// that is only half there.
func (osStore) put(name string, content []byte) error {
	if err := os.WriteFile(name+unnamed, content, 0o644); err != nil {
		return err
	}
	return os.Rename(name+unnamed, name)
}

func (osStore) write(name string, off int64, p []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(off); err != nil {
		f.Close()
		return err
	}
	if _, err := f.WriteAt(p, off); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (osStore) rename(oldName, newName string) error { return os.Rename(oldName, newName) }

func (osStore) remove(name string) error { return os.Remove(name) }
