package main

import (
	"io/fs"
	"testing"
)

// The lesser of what the machine has to spare and of what its control group allows counts.
func TestFreeMemory(t *testing.T) {
	const machine = "MemTotal:       24000000 kB\nMemAvailable:    2048 kB\nHugePages_Total: 0\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 0},
		{"no control group", map[string]string{"/proc/meminfo": machine}, 2 << 20},
		{"a group without a limit", map[string]string{
			"/proc/meminfo": machine, "/sys/fs/cgroup/memory.max": "max\n",
		}, 2 << 20},
		{"a limit", map[string]string{
			"/proc/meminfo": machine, "/sys/fs/cgroup/memory.max": "1048576\n",
		}, 1 << 20},
		{"a limit of the first version", map[string]string{
			"/proc/meminfo": machine, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
		}, 4096},
		{"garbage", map[string]string{"/proc/meminfo": "MemAvailable: many kB\n"}, 0},
	} {
		got := freeMemory(func(name string) ([]byte, error) {
			if text, ok := c.files[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
