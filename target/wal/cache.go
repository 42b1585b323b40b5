package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
)

// cache is a file system that keeps apart what a program sees (view, data) and
// what a power cut would leave (disk, the synced part of data). Mem is a cache
// without a disk behind it; Volatile copies the durable half to real files.
type cache struct {
	mu   sync.Mutex
	view map[string]*inode
	disk map[string]*inode
	// pending are the changes of names that no SyncDir has made durable, in the
	// order in which they happened.
	pending []dirOp
	// store is where the durable half goes, nil for nowhere.
	store store
	// fail, when set, is asked before each change and may refuse it.
	fail func(op Op, name string) error
}

// store receives what becomes durable. It is called with the cache locked.
type store interface {
	// put makes the file appear at once with this content.
	put(name string, content []byte) error
	// write cuts the file to off bytes and appends p.
	write(name string, off int64, p []byte) error
	rename(oldName, newName string) error
	remove(name string) error
}

// inode is a file's content, whatever its name.
type inode struct {
	data []byte
	// synced bytes of data are durable, and behind them, if lost is not nil,
	// those that a truncation took away but only a Sync makes disappear.
	synced int
	lost   []byte
	// holed, if not nil, is what the disk really has of the synced bytes: a failed
	// sync (ErrLostPages) leaves zeros where the program reads its own bytes.
	holed []byte
	// home is the durable name, "" as long as there is none.
	home string
}

// durable is what a power cut leaves of the content.
func (n *inode) durable() []byte {
	return append(slices.Clone(n.base()), n.lost...)
}

// base is what the disk has of the synced bytes.
func (n *inode) base() []byte {
	if n.holed != nil {
		return n.holed
	}
	return n.data[:n.synced]
}

// ErrLostPages is what a sync fails with when the kernel has dropped the pages that
// it could not write and calls them clean: the program still reads its bytes, the
// next sync succeeds, and the disk never gets them.
var ErrLostPages = errors.New("input/output error")

// losePages leaves a hole on the disk where the unsynced bytes should be.
func (n *inode) losePages() {
	n.holed = append(slices.Clone(n.base()), make([]byte, len(n.data)-n.synced)...)
	n.synced, n.lost = len(n.data), nil
}

// dirOp is one change of the directory: a link of node at name, a rename from
// name to newName, or a removal of name.
type dirOp struct {
	kind          Op
	name, newName string
	node          *inode
}

// Op is a kind of change to a file system.
type Op string

// The kinds of changes.
const (
	OpCreate   Op = "create"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpSyncDir  Op = "syncdir"
)

func newCache(s store) *cache {
	return &cache{view: map[string]*inode{}, disk: map[string]*inode{}, store: s}
}

// adopt enters a file that is on the disk already.
func (c *cache) adopt(name string, content []byte) {
	n := &inode{data: slices.Clone(content), synced: len(content), home: name}
	c.view[name], c.disk[name] = n, n
}

func (c *cache) check(op Op, name string) error {
	if c.fail == nil {
		return nil
	}
	if err := c.fail(op, name); err != nil {
		return &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	return nil
}

func missing(op Op, name string) error {
	return &fs.PathError{Op: string(op), Path: name, Err: fs.ErrNotExist}
}

// List implements FS.
func (c *cache) List(dir string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.view {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// ReadFile implements FS.
func (c *cache) ReadFile(name string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.view[filepath.Clean(name)]
	if !ok {
		return nil, missing("open", name)
	}
	return slices.Clone(n.data), nil
}

// Create implements FS.
func (c *cache) Create(name string) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = filepath.Clean(name)
	if err := c.check(OpCreate, name); err != nil {
		return nil, err
	}
	n, ok := c.view[name]
	if ok {
		n.truncate(0)
	} else {
		n = &inode{}
		c.view[name] = n
		c.pending = append(c.pending, dirOp{kind: OpCreate, name: name, node: n})
	}
	return &cacheFile{cache: c, node: n, name: name}, nil
}

// Append implements FS.
func (c *cache) Append(name string) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = filepath.Clean(name)
	n, ok := c.view[name]
	if !ok {
		return nil, missing("open", name)
	}
	return &cacheFile{cache: c, node: n, name: name}, nil
}

// Rename implements FS.
func (c *cache) Rename(oldName, newName string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldName, newName = filepath.Clean(oldName), filepath.Clean(newName)
	if filepath.Dir(oldName) != filepath.Dir(newName) {
		return fmt.Errorf("rename %s to %s: not one directory", oldName, newName)
	}
	if err := c.check(OpRename, newName); err != nil {
		return err
	}
	n, ok := c.view[oldName]
	if !ok {
		return missing(OpRename, oldName)
	}
	delete(c.view, oldName)
	c.view[newName] = n
	c.pending = append(c.pending, dirOp{kind: OpRename, name: oldName, newName: newName})
	return nil
}

// Remove implements FS.
func (c *cache) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = filepath.Clean(name)
	if err := c.check(OpRemove, name); err != nil {
		return err
	}
	if _, ok := c.view[name]; !ok {
		return missing(OpRemove, name)
	}
	delete(c.view, name)
	c.pending = append(c.pending, dirOp{kind: OpRemove, name: name})
	return nil
}

// SyncDir implements FS.
func (c *cache) SyncDir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir = filepath.Clean(dir)
	if err := c.check(OpSyncDir, dir); err != nil {
		return err
	}
	for i, op := range c.pending {
		if filepath.Dir(op.name) != dir {
			continue
		}
		if err := c.settle(op); err != nil {
			return err
		}
		c.pending[i].kind = ""
	}
	c.pending = slices.DeleteFunc(c.pending, func(op dirOp) bool { return op.kind == "" })
	return nil
}

// settle makes one change of the directory durable.
func (c *cache) settle(op dirOp) error {
	if err := c.settleStore(op); err != nil {
		return err
	}
	switch op.kind {
	case OpCreate:
		c.link(op.node, op.name)
	case OpRename:
		n := c.disk[op.name]
		delete(c.disk, op.name)
		c.link(n, op.newName)
	case OpRemove:
		c.disk[op.name].home = ""
		delete(c.disk, op.name)
	default:
		panic("wal: no change of a directory: " + string(op.kind))
	}
	return nil
}

// link gives n the durable name, taking it from whoever had it.
func (c *cache) link(n *inode, name string) {
	if old, ok := c.disk[name]; ok {
		old.home = ""
	}
	c.disk[name], n.home = n, name
}

func (c *cache) settleStore(op dirOp) error {
	if c.store == nil {
		return nil
	}
	switch op.kind {
	case OpCreate:
		return c.store.put(op.name, op.node.durable())
	case OpRename:
		return c.store.rename(op.name, op.newName)
	default:
		return c.store.remove(op.name)
	}
}

// cacheFile is an open file of a cache.
type cacheFile struct {
	cache *cache
	node  *inode
	name  string // at the time of opening, for errors
}

// Write implements File. A refused write leaves half of its bytes behind, as a
// full disk does.
func (f *cacheFile) Write(p []byte) (int, error) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if err := f.cache.check(OpWrite, f.name); err != nil {
		half := len(p) / 2
		f.node.data = append(f.node.data, p[:half]...)
		return half, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

// Truncate implements File.
func (f *cacheFile) Truncate(size int64) error {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if err := f.cache.check(OpTruncate, f.name); err != nil {
		return err
	}
	if size < 0 || size > int64(len(f.node.data)) {
		return fmt.Errorf("truncate %s to %d bytes: it has %d", f.name, size, len(f.node.data))
	}
	f.node.truncate(int(size))
	return nil
}

func (n *inode) truncate(size int) {
	if size < n.synced {
		n.lost = append(slices.Clone(n.base()[size:]), n.lost...)
		n.synced = size
		if n.holed != nil {
			n.holed = slices.Clip(n.holed[:size])
		}
	}
	// The capacity is clipped so that later writes cannot reach old bytes.
	n.data = slices.Clip(n.data[:size])
}

// Sync implements File.
func (f *cacheFile) Sync() error {
	c, n := f.cache, f.node
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(OpSync, f.name); err != nil {
		if errors.Is(err, ErrLostPages) {
			n.losePages()
		}
		return err
	}
	if c.store != nil && n.home != "" && (n.synced < len(n.data) || n.lost != nil) {
		if err := c.store.write(n.home, int64(n.synced), n.data[n.synced:]); err != nil {
			return err
		}
	}
	if n.holed != nil {
		n.holed = append(n.holed, n.data[n.synced:]...)
	}
	n.synced, n.lost = len(n.data), nil
	return nil
}

// Close implements File. It makes nothing durable.
func (f *cacheFile) Close() error { return nil }
