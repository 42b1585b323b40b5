package wal

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// Platter is what a disk in memory holds for good. Each start of a simulated process
// opens it anew: what the last one had not synced is gone, as with Volatile.
type Platter struct {
	files map[string][]byte
}

// NewPlatter returns an empty disk.
func NewPlatter() *Platter { return &Platter{files: map[string][]byte{}} }

// Open returns the file system of a process that begins now. The one before must not be
// used any more.
func (p *Platter) Open() FS {
	c := newCache(p)
	for name, content := range p.files {
		c.adopt(name, content)
	}
	return &Mem{cache: c}
}

// Size is the sum of the sizes of all files, in bytes.
func (p *Platter) Size() int64 {
	var n int64
	for _, content := range p.files {
		n += int64(len(content))
	}
	return n
}

// Newest returns the name and the content of the log that is written to, "" if there is
// none. The content must not be changed.
func (p *Platter) Newest() (name string, content []byte) {
	for file := range p.files {
		// The numbers have a fixed width.
		if strings.HasPrefix(path.Base(file), segmentPrefix) && file > name {
			name = file
		}
	}
	return name, p.files[name]
}

// SetByte changes one byte of a file from one value to another, and reports whether
// there was such a byte.
func (p *Platter) SetByte(name string, at int64, was, is byte) bool {
	content := p.files[name]
	if at >= int64(len(content)) || content[at] != was {
		return false
	}
	content = slices.Clone(content)
	content[at] = is
	p.files[name] = content
	return true
}

func (p *Platter) put(name string, content []byte) error {
	p.files[name] = bytes.Clone(content)
	return nil
}

func (p *Platter) write(name string, off int64, data []byte) error {
	p.files[name] = append(p.files[name][:off], data...)
	return nil
}

func (p *Platter) rename(oldName, newName string) error {
	content := p.files[oldName]
	delete(p.files, oldName) // first: a file may be renamed to its own name
	p.files[newName] = content
	return nil
}

func (p *Platter) remove(name string) error {
	delete(p.files, name)
	return nil
}
