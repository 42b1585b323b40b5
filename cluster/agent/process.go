package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Process is what /proc says of a process.
type Process struct {
	PID    int `json:"pid"`
	Parent int `json:"parent"`
	// State is the kernel's letter: R, S, D, T, Z.
	State string `json:"state"`
	// Stopped says that a signal has stopped all its threads.
	Stopped bool `json:"stopped"`
	// Started is when, in clock ticks after the boot: with the pid it names the process
	// for ever.
	Started uint64 `json:"started"`
	Command string `json:"command"`
}

// procFS is where processes are looked up, "/proc".
type procFS string

// find returns the processes that carry a marker at the end of a word of their command
// line, or, with environment, in a variable of theirs. The process that asks and those
// that have started it are left out: they carry the marker because they ask for it.
func (p procFS) find(marker string, environment bool) ([]Process, error) {
	if marker == "" {
		return nil, fmt.Errorf("%w: an empty marker is carried by everybody", ErrUsage)
	}
	ours, err := p.ancestors(os.Getpid())
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	found := []Process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || ours[pid] {
			continue
		}
		x, err := p.look(pid)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if carries(x.Command, marker) || environment && p.hasVariable(pid, marker) {
			found = append(found, x)
		}
	}
	return found, nil
}

// errNoProcess says that a process has ended, or has nothing to be read.
var errNoProcess = errors.New("no such process")

// read reads one of a process's files.
func (p procFS) read(pid int, names ...string) ([]byte, error) {
	path := filepath.Join(append([]string{string(p), strconv.Itoa(pid)}, names...)...)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, errNoProcess
	}
	return data, err
}

// look returns what is known of a process.
func (p procFS) look(pid int) (Process, error) {
	x, err := p.stat(pid, "stat")
	if err != nil {
		return x, err
	}
	line, err := p.read(pid, "cmdline")
	if err != nil {
		return x, err
	}
	x.Command = strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	tasks, err := os.ReadDir(filepath.Join(string(p), strconv.Itoa(pid), "task"))
	if err != nil {
		return x, errNoProcess
	}
	x.Stopped = true
	for _, t := range tasks {
		thread, err := p.stat(pid, "task", t.Name(), "stat")
		if err == nil && !strings.Contains("TZX", thread.State) {
			x.Stopped = false
		}
	}
	return x, nil
}

// stat reads a stat file. The name in it is in parentheses and can contain anything,
// parentheses too.
func (p procFS) stat(pid int, names ...string) (Process, error) {
	data, err := p.read(pid, names...)
	if err != nil {
		return Process{}, err
	}
	const parentField, startField = 1, 19 // counted from the state
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) <= startField {
		return Process{}, fmt.Errorf("process %d: no state in %q", pid, data)
	}
	x := Process{PID: pid, State: fields[0]}
	x.Parent, err = strconv.Atoi(fields[parentField])
	started, startErr := strconv.ParseUint(fields[startField], 10, 64)
	x.Started = started
	return x, errors.Join(err, startErr)
}

// ancestors returns a process and those it descends from.
func (p procFS) ancestors(pid int) (map[int]bool, error) {
	all := map[int]bool{}
	for pid > 1 && !all[pid] {
		all[pid] = true
		x, err := p.stat(pid, "stat")
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
		pid = x.Parent
	}
	return all, nil
}

// hasVariable reports whether a marker is the value, or NAME=value, of a variable.
func (p procFS) hasVariable(pid int, marker string) bool {
	data, err := p.read(pid, "environ")
	if err != nil {
		return false // not ours to read
	}
	for variable := range bytes.SplitSeq(data, []byte{0}) {
		_, value, _ := strings.Cut(string(variable), "=")
		if value == marker || string(variable) == marker {
			return true
		}
	}
	return false
}

// carries reports whether the marker stands on a command line at the end of a word. So
// the marker /x/data is not found in "less /x/data/log".
func carries(line, marker string) bool {
	for {
		_, rest, found := strings.Cut(line, marker)
		if !found {
			return false
		}
		if rest == "" || rest[0] == ' ' {
			return true
		}
		line = rest
	}
}

// family returns the processes that carry a marker, if there is one, and those with the
// pids, and all that descend from them, parents first. Commands of ours that ask for the
// same are left out.
func (p procFS) family(marker string, pids []int) ([]Process, error) {
	var found []Process
	if marker != "" {
		var err error
		if found, err = p.find(marker, false); err != nil {
			return nil, err
		}
	}
	for _, pid := range pids {
		one, err := p.look(pid)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	found = slices.DeleteFunc(found, func(x Process) bool {
		return x.State == "Z" || strings.Contains(x.Command, "--marker ")
	})
	all, err := p.all()
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(found); i++ {
		for _, x := range all {
			is := func(f Process) bool { return f.PID == x.PID }
			if x.Parent == found[i].PID && x.State != "Z" && !slices.ContainsFunc(found, is) {
				found = append(found, x)
			}
		}
	}
	return found, nil
}

// all returns the processes that can be looked at.
func (p procFS) all() ([]Process, error) {
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if one, err := p.look(pid); err == nil {
			all = append(all, one)
		}
	}
	return all, nil
}
