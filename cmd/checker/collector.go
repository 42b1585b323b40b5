package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// easyPercent is how much garbage may pile up beside what lives before it is collected.
const easyPercent = 400

// easeCollector lets the collector of garbage work less often, as long as there is much
// memory: a simulation allocates all the time and keeps little. When half of what is free
// now is in use, it works as often as is needed to stay there. What GOGC or GOMEMLIMIT say
// is left as it is.
func easeCollector() {
	free := freeMemory(os.ReadFile)
	if free == 0 || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(easyPercent)
	debug.SetMemoryLimit(free / 2)
}

// freeMemory is how many bytes this machine, or the control group of this process, has to
// spare; 0 if nothing says so.
func freeMemory(read func(string) ([]byte, error)) int64 {
	info, err := read("/proc/meminfo")
	if err != nil {
		return 0
	}
	free := int64(0)
	for line := range strings.Lines(string(info)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "MemAvailable:" {
			kib, err := strconv.ParseInt(words[1], 10, 64)
			if err != nil {
				return 0
			}
			free = kib << 10
		}
	}
	for _, name := range []string{
		"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
	} {
		text, err := read(name)
		if err != nil {
			continue
		}
		if most, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			free = min(free, most)
		}
	}
	return free
}
