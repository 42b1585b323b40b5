package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuPeriod is that of a CPU quota, in microseconds.
const cpuPeriod = 100_000

// emptyAgain is the wait before a group that was still busy is removed once more.
const emptyAgain = 10 * time.Millisecond

// limitCPU puts processes into a control group that gets only a part of one CPU.
type limitCPU struct {
	Marker string `json:"marker,omitempty"`
	PIDs   []int  `json:"pids,omitempty"`
	// Percent is how much of one CPU all of them get together.
	Percent int `json:"percent"`
	// Name makes the group's name, Proc is "/proc".
	Name string `json:"name"`
	Proc procFS `json:"proc"`

	Unified bool   `json:"unified"` // cgroup v2
	Group   string `json:"group"`
	// Homes are where the processes came from.
	Homes []home `json:"homes"`
}

// home is the control group that a process came from.
type home struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"`
	Group   string `json:"group"`
}

func (*limitCPU) kind() string { return "cpu" }

func (x *limitCPU) prepare(string) error {
	if x.Percent < 1 || x.Percent > 10_000 {
		return fmt.Errorf("%w: %d percent", ErrUsage, x.Percent)
	}
	processes, err := x.processes()
	if err != nil {
		return err
	}
	mount, err := x.Proc.cpuHierarchy()
	if err != nil {
		return err
	}
	x.Unified = mount.unified
	for _, p := range processes {
		group, err := x.Proc.groupOf(p.PID, mount)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil {
			return err
		}
		x.Homes = append(x.Homes, home{PID: p.PID, Started: p.Started, Group: group})
	}
	if len(x.Homes) == 0 {
		return errors.New("there is no such process")
	}
	sum := sha256.Sum256([]byte(x.Name))
	name := "ordeal-" + hex.EncodeToString(sum[:6])
	// A group of cgroup v2 has processes or children that share the CPU, not both: so
	// the new one stands beside all others. In v1 it stays within its home's limits.
	x.Group = filepath.Join(x.Homes[0].Group, name)
	if x.Unified {
		x.Group = filepath.Join(mount.path, name)
	}
	return nil
}

func (x *limitCPU) processes() ([]Process, error) {
	if x.Marker != "" {
		return x.Proc.find(x.Marker, false)
	}
	var all []Process
	for _, pid := range x.PIDs {
		p, err := x.Proc.look(pid)
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func (x *limitCPU) apply(string) error {
	if x.Unified {
		err := writeControl(filepath.Dir(x.Group), "cgroup.subtree_control", "+cpu")
		if err != nil {
			return fmt.Errorf("share the CPU among groups: %w", err)
		}
	}
	if err := os.Mkdir(x.Group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	quota := strconv.Itoa(x.Percent * cpuPeriod / 100)
	var err error
	if x.Unified {
		err = writeControl(x.Group, "cpu.max", quota+" "+strconv.Itoa(cpuPeriod))
	} else {
		err = errors.Join(
			writeControl(x.Group, "cpu.cfs_period_us", strconv.Itoa(cpuPeriod)),
			writeControl(x.Group, "cpu.cfs_quota_us", quota))
	}
	for _, h := range x.Homes {
		if err == nil && x.alive(h) {
			err = moveTo(x.Group, h.PID)
		}
	}
	return err
}

// alive reports whether a process is still the one that it was.
func (x *limitCPU) alive(h home) bool {
	now, err := x.Proc.look(h.PID)
	return err == nil && now.Started == h.Started
}

// undo sends the processes home, their children to that of the first, and removes the
// group.
func (x *limitCPU) undo(string) (string, error) {
	for range 100 { // children are born meanwhile, and what has ended takes a moment
		inside, err := groupMembers(x.Group)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for _, pid := range inside {
			to := x.Homes[0].Group
			if i := slices.IndexFunc(x.Homes, func(h home) bool { return h.PID == pid }); i >= 0 {
				to = x.Homes[i].Group
			}
			if err := moveTo(to, pid); err != nil {
				return "", err
			}
		}
		if len(inside) > 0 {
			continue
		}
		err = os.Remove(x.Group)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return "", err
		}
		<-time.After(emptyAgain)
	}
	return "", fmt.Errorf("%s does not become empty", x.Group)
}

// CPUStatus is what a CPU limit has done.
type CPUStatus struct {
	Group string `json:"group"`
	PIDs  []int  `json:"pids"`
	// Periods is how many periods the group has run in, Throttled in how many of them
	// it was made to wait.
	Periods   int64 `json:"periods"`
	Throttled int64 `json:"throttled"`
}

func (x *limitCPU) status() (CPUStatus, error) {
	s := CPUStatus{Group: x.Group}
	var err error
	if s.PIDs, err = groupMembers(x.Group); err != nil {
		return s, err
	}
	text, err := os.ReadFile(filepath.Join(x.Group, "cpu.stat"))
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "nr_periods":
			s.Periods = n
		case "nr_throttled":
			s.Throttled = n
		}
	}
	return s, err
}

// moveTo moves a process to a group; one that has ended is no error.
func moveTo(group string, pid int) error {
	err := writeControl(group, "cgroup.procs", strconv.Itoa(pid))
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func groupMembers(group string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	pids := []int{}
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// writeControl writes a control file with one write, as the kernel wants it.
func writeControl(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// hierarchy is where the groups that share the CPU are mounted.
type hierarchy struct {
	path    string // the mount point
	root    string // which of its groups is mounted there
	unified bool
}

// cpuHierarchy finds the hierarchy of the cpu controller: that of cgroup v1 if there is
// one, else cgroup v2's if it has the controller.
func (p procFS) cpuHierarchy() (hierarchy, error) {
	text, err := os.ReadFile(filepath.Join(string(p), "self", "mountinfo"))
	if err != nil {
		return hierarchy{}, err
	}
	var unified hierarchy
	for line := range strings.Lines(string(text)) {
		// id parent device root point options … - type source super-options
		before, after, ok := strings.Cut(line, " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 5 || len(tail) < 3 {
			continue
		}
		h := hierarchy{path: head[4], root: head[3]}
		switch tail[0] {
		case "cgroup":
			if slices.Contains(strings.Split(tail[2], ","), "cpu") {
				return h, nil
			}
		case "cgroup2":
			controllers, _ := os.ReadFile(filepath.Join(h.path, "cgroup.controllers"))
			if slices.Contains(strings.Fields(string(controllers)), "cpu") {
				h.unified = true
				unified = h
			}
		}
	}
	if !unified.unified {
		return hierarchy{}, errors.New("no control groups share the CPU here")
	}
	return unified, nil
}

// groupOf returns the directory of a process's group.
func (p procFS) groupOf(pid int, mount hierarchy) (string, error) {
	text, err := p.read(pid, "cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		// 4:cpu,cpuacct:/group, of cgroup v2 0::/group
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) < 3 {
			continue
		}
		if mount.unified && parts[0] == "0" && parts[1] == "" ||
			!mount.unified && slices.Contains(strings.Split(parts[1], ","), "cpu") {
			group := parts[2]
			if mount.root != "/" {
				group = strings.TrimPrefix(group, mount.root)
			}
			return filepath.Join(mount.path, group), nil
		}
	}
	return "", fmt.Errorf("process %d has no group that shares the CPU", pid)
}
