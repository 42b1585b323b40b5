package soak

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// treeMemory is the resident memory of a process and all its descendants, in bytes; 0 where
// there is no /proc to tell it.
func treeMemory(root int) int64 {
	type process struct {
		parent int
		bytes  int64
	}
	all := map[int]process{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// "pid (name) state ppid …": the name may have anything in it.
		text := string(b)
		end := strings.LastIndexByte(text, ')')
		pid, perr := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		fields := strings.Fields(text[max(0, end+1):])
		const parentField, memoryField = 1, 21
		if perr != nil || len(fields) <= memoryField {
			continue
		}
		parent, _ := strconv.Atoi(fields[parentField])
		pages, _ := strconv.ParseInt(fields[memoryField], 10, 64)
		all[pid] = process{parent, pages * int64(os.Getpagesize())}
	}
	var sum int64
	for pid, p := range all {
		for at, steps := pid, 0; at > 1 && steps < len(all); at, steps = all[at].parent, steps+1 {
			if at == root {
				sum += p.bytes
				break
			}
		}
	}
	return sum
}

// maxRSS is the greatest resident memory in bytes; Linux counts it in kilobytes.
func maxRSS(u *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}
