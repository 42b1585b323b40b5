package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// errNoProcess says that no process has this pid, or only a dead one that waits
// to be reaped.
var errNoProcess = errors.New("no such process")

// inspector reads facts about processes: from /proc where there is one, else
// from ps.
type inspector struct {
	proc string // "" to use ps
}

func newInspector() inspector {
	if runtime.GOOS == "linux" {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return inspector{proc: "/proc"}
		}
	}
	return inspector{}
}

// stopped reports whether all threads of a process are stopped by a signal.
func (i inspector) stopped(ctx context.Context, pid int) (bool, error) {
	states, err := i.states(ctx, pid)
	if err != nil {
		return false, err
	}
	for _, s := range states {
		// A thread that has just ended does not run either.
		if s != 'T' && s != 'Z' && s != 'X' {
			return false, nil
		}
	}
	return true, nil
}

// states returns the state letters of a process's threads; ps knows only one for
// the whole process. It returns errNoProcess for a zombie.
func (i inspector) states(ctx context.Context, pid int) ([]byte, error) {
	if i.proc == "" {
		out, err := ps(ctx, "-o", "state=", "-p", strconv.Itoa(pid))
		if err != nil {
			return nil, err
		}
		if out == "" || out[0] == 'Z' {
			return nil, errNoProcess
		}
		return []byte{out[0]}, nil
	}
	leader, err := statState(filepath.Join(i.proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	if leader == 'Z' || leader == 'X' {
		return nil, errNoProcess
	}
	tasks, err := filepath.Glob(filepath.Join(i.proc, strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil {
		return nil, err
	}
	states := []byte{leader}
	for _, task := range tasks {
		s, err := statState(task)
		if errors.Is(err, errNoProcess) {
			continue // the thread has ended
		}
		if err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	return states, nil
}

// statState returns the state from a /proc stat file. The name before it is in
// parentheses and can contain anything, parentheses too.
func statState(path string) (byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, errNoProcess
	}
	if err != nil {
		return 0, err
	}
	end := bytes.LastIndexByte(data, ')')
	if end < 0 || end+2 >= len(data) {
		return 0, fmt.Errorf("read %s: no state in %q", path, data)
	}
	return data[end+2], nil
}

// commandLine returns the arguments of a process, joined by spaces.
func (i inspector) commandLine(ctx context.Context, pid int) (string, error) {
	if i.proc == "" {
		out, err := ps(ctx, "-ww", "-o", "command=", "-p", strconv.Itoa(pid))
		if err == nil && out == "" {
			err = errNoProcess
		}
		return out, err
	}
	data, err := os.ReadFile(filepath.Join(i.proc, strconv.Itoa(pid), "cmdline"))
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
		return "", errNoProcess
	case err != nil:
		return "", err
	case len(data) == 0:
		return "", errNoProcess // a zombie
	}
	return strings.TrimSpace(string(bytes.ReplaceAll(data, []byte{0}, []byte{' '}))), nil
}

// carrying returns the processes whose command line carries the marker.
func (i inspector) carrying(ctx context.Context, marker string) ([]int, error) {
	var pids []int
	if i.proc == "" {
		out, err := ps(ctx, "-A", "-ww", "-o", "pid=,command=")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			if pid, err := strconv.Atoi(first); err == nil && carries(rest, marker) {
				pids = append(pids, pid)
			}
		}
		return pids, nil
	}
	entries, err := os.ReadDir(i.proc)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that has ended, or is not ours to read, is not ours.
		if line, err := i.commandLine(ctx, pid); err == nil && carries(line, marker) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// carries reports whether the marker stands on a command line at the end of a
// word. So the marker /x/data is not found in "less /x/data/log".
func carries(line, marker string) bool {
	if marker == "" {
		return false
	}
	for {
		_, rest, found := strings.Cut(line, marker)
		if !found {
			return false
		}
		if rest = strings.TrimRight(rest, "\n"); rest == "" || rest[0] == ' ' {
			return true
		}
		line = rest
	}
}

// ps runs ps and returns its output. ps fails when it finds no process; then the
// output is empty.
func ps(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "ps", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(bytes.TrimSpace(out)) == 0 && ctx.Err() == nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ps: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
