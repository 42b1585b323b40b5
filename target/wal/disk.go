package wal

import (
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"
)

// Trouble is what is wrong with a Disk.
type Trouble struct {
	// SyncDelay is how much longer each sync takes.
	SyncDelay time.Duration
	// SyncErrors is how many of the next syncs fail, and lose their pages.
	SyncErrors int
	// Full refuses every write, after the first half of it.
	Full bool
	// Torn lets half of each write reach the disk before it is synced, so that a
	// kill leaves a torn tail. It matters only where unsynced bytes are volatile.
	Torn bool
}

// DiskCounts count what a Disk has done to its user. They only grow.
type DiskCounts struct {
	DelayedSyncs, FailedSyncs, RefusedWrites, TornWrites uint64
}

// Disk is a file system that can be troubled while it is used.
type Disk struct {
	FS
	sleep func(time.Duration)

	mu      sync.Mutex
	trouble Trouble
	counts  DiskCounts
}

// NewDisk returns a healthy disk over another file system. sleep lets a slow sync
// wait.
func NewDisk(inner FS, sleep func(time.Duration)) *Disk { return &Disk{FS: inner, sleep: sleep} }

// Set replaces the trouble.
func (d *Disk) Set(t Trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trouble = t
}

// Counts returns what has happened so far.
func (d *Disk) Counts() DiskCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Create implements FS.
func (d *Disk) Create(name string) (File, error) {
	return d.file("create", name, d.FS.Create)
}

// Append implements FS.
func (d *Disk) Append(name string) (File, error) {
	f, err := d.FS.Append(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

func (d *Disk) file(op, name string, open func(string) (File, error)) (File, error) {
	d.mu.Lock()
	full := d.trouble.Full
	if full {
		d.counts.RefusedWrites++
	}
	d.mu.Unlock()
	if full {
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

// diskFile is an open file of a Disk.
type diskFile struct {
	File
	disk *Disk
	name string
}

// Write implements File. A full disk takes the first half.
func (f *diskFile) Write(p []byte) (int, error) {
	d := f.disk
	d.mu.Lock()
	t := d.trouble
	if t.Full {
		d.counts.RefusedWrites++
	}
	d.mu.Unlock()
	if t.Full {
		n, err := f.File.Write(p[:len(p)/2])
		if err == nil {
			err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
		}
		return n, err
	}
	n, err := f.File.Write(p)
	if torn, ok := f.File.(interface{ leak(n int) (bool, error) }); ok && err == nil && t.Torn {
		var leaked bool
		if leaked, err = torn.leak(len(p) / 2); leaked {
			d.mu.Lock()
			d.counts.TornWrites++
			d.mu.Unlock()
		}
	}
	return n, err
}

// Sync implements File.
func (f *diskFile) Sync() error {
	d := f.disk
	d.mu.Lock()
	t := d.trouble
	if t.SyncErrors > 0 {
		d.trouble.SyncErrors--
		d.counts.FailedSyncs++
	}
	if t.SyncDelay > 0 {
		d.counts.DelayedSyncs++
	}
	d.mu.Unlock()
	if t.SyncDelay > 0 {
		d.sleep(t.SyncDelay)
	}
	if t.SyncErrors > 0 {
		if lossy, ok := f.File.(interface{ losePages() }); ok {
			lossy.losePages()
		}
		return fmt.Errorf("sync %s: %w", f.name, ErrLostPages)
	}
	return f.File.Sync()
}

// losePages drops the file's unsynced bytes as a failed sync does.
func (f *cacheFile) losePages() {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	f.node.losePages()
}

// leak lets so many of the unsynced bytes reach the disk, as the kernel may at any
// time, and reports whether there is a disk and a name for them.
func (f *cacheFile) leak(n int) (bool, error) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	node, store := f.node, f.cache.store
	if store == nil || node.home == "" || node.lost != nil || n == 0 {
		return false, nil
	}
	n = min(n, len(node.data)-node.synced)
	return true, store.write(node.home, int64(node.synced), node.data[node.synced:node.synced+n])
}
