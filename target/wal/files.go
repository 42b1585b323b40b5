package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The names in the directory.
const (
	segmentPrefix    = "log-"
	checkpointPrefix = "checkpoint-"
	checkpointTemp   = "checkpoint.tmp"
	epochName        = "epoch"
	epochTemp        = "epoch.tmp"
	damageName       = "damaged"
)

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%016d", segmentPrefix, number))
}

func checkpointName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%016d", checkpointPrefix, number))
}

// files is what stands in a directory; names of others are left alone.
type files struct {
	segments, checkpoints map[uint64]bool
	temporary             []string
	epoch, damaged        bool
}

func scan(fsys FS, dir string) (files, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return files{}, err
	}
	found := files{segments: map[uint64]bool{}, checkpoints: map[uint64]bool{}}
	for _, name := range names {
		switch name {
		case epochName:
			found.epoch = true
			continue
		case damageName:
			found.damaged = true
			continue
		case epochTemp, checkpointTemp:
			found.temporary = append(found.temporary, name)
			continue
		}
		if n, ok := number(name, segmentPrefix); ok {
			found.segments[n] = true
		}
		if n, ok := number(name, checkpointPrefix); ok {
			found.checkpoints[n] = true
		}
	}
	return found, nil
}

func number(name, prefix string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// newest returns the number of the newest checkpoint, 0 if there is none.
func (f files) newest() uint64 {
	var newest uint64
	for n := range f.checkpoints {
		newest = max(newest, n)
	}
	return newest
}

// stale lists the files that do not belong to the pair of the given number, the
// older ones first.
func (f files) stale(current uint64) []string {
	var names []string
	for n := range f.segments {
		if n != current {
			names = append(names, filepath.Base(segmentName("", n)))
		}
	}
	for n := range f.checkpoints {
		if n != current {
			names = append(names, filepath.Base(checkpointName("", n)))
		}
	}
	slices.Sort(names)
	return append(names, f.temporary...)
}

// readEpoch returns the counter of starts, 0 if it has not been written yet.
func readEpoch(fsys FS, name string) (uint64, error) {
	content, err := fsys.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(content) != 12 {
		return 0, &CorruptError{File: name, Reason: errLength}
	}
	if crc32.Checksum(content[:8], castagnoli) != binary.LittleEndian.Uint32(content[8:]) {
		return 0, &CorruptError{File: name, Reason: errSum}
	}
	return binary.LittleEndian.Uint64(content), nil
}
