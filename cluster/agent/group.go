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

// groupList is the file with the processes of a group.
const groupList = "cgroup.procs"

// emptyAgain is the wait before a group that was still busy is removed once more.
const emptyAgain = 10 * time.Millisecond

// controlGroup is a control group of our own, made for one controller: "cpu", "memory".
type controlGroup struct {
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

// plan says where the group will be, and where the processes are now.
func (g *controlGroup) plan(
	proc procFS, controller, name string, processes []Process,
) error {
	mount, err := proc.hierarchy(controller)
	if err != nil {
		return err
	}
	g.Unified = mount.unified
	for _, p := range processes {
		group, err := proc.groupOf(p.PID, mount)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil {
			return err
		}
		g.Homes = append(g.Homes, home{PID: p.PID, Started: p.Started, Group: group})
	}
	if len(g.Homes) == 0 {
		return errors.New("there is no such process")
	}
	sum := sha256.Sum256([]byte(name))
	own := "ordeal-" + hex.EncodeToString(sum[:6])
	// A group of cgroup v2 has processes or children that share what there is, not both: so
	// the new one stands beside all others. In v1 it stays within its home's limits.
	g.Group = filepath.Join(g.Homes[0].Group, own)
	if g.Unified {
		g.Group = filepath.Join(mount.path, own)
	}
	return nil
}

// create makes the group, unless it is there.
func (g *controlGroup) create(controller string) error {
	if g.Unified {
		err := writeControl(filepath.Dir(g.Group), "cgroup.subtree_control", "+"+controller)
		if err != nil {
			return fmt.Errorf("give %q to control groups: %w", controller, err)
		}
	}
	if err := os.Mkdir(g.Group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// gather moves the processes into the group.
func (g *controlGroup) gather(proc procFS) error {
	for _, h := range g.Homes {
		now, err := proc.look(h.PID)
		if err != nil || now.Started != h.Started {
			continue // it is not what it was
		}
		if err := moveTo(g.Group, h.PID); err != nil {
			return err
		}
	}
	return nil
}

// dissolve sends the processes home, their children to that of the first, and removes the
// group.
func (g *controlGroup) dissolve() error {
	for range 100 { // children are born meanwhile, and what has ended takes a moment
		inside, err := groupMembers(g.Group)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, pid := range inside {
			to := g.Homes[0].Group
			if i := slices.IndexFunc(g.Homes, func(h home) bool { return h.PID == pid }); i >= 0 {
				to = g.Homes[i].Group
			}
			if err := moveTo(to, pid); err != nil {
				return err
			}
		}
		if len(inside) > 0 {
			continue
		}
		err = os.Remove(g.Group)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
		<-time.After(emptyAgain)
	}
	return fmt.Errorf("%s does not become empty", g.Group)
}

// moveTo moves a process to a group; one that has ended is no error.
func moveTo(group string, pid int) error {
	err := writeControl(group, groupList, strconv.Itoa(pid))
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func groupMembers(group string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(group, groupList))
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

// hierarchy is where the groups of a controller are mounted.
type hierarchy struct {
	controller string
	path       string // the mount point
	root       string // which of its groups is mounted there
	unified    bool
}

// hierarchy finds that of a controller: of cgroup v1 if there is one, else cgroup v2's if
// it has the controller.
func (p procFS) hierarchy(controller string) (hierarchy, error) {
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
		h := hierarchy{controller: controller, path: head[4], root: head[3]}
		switch tail[0] {
		case "cgroup":
			if slices.Contains(strings.Split(tail[2], ","), controller) {
				return h, nil
			}
		case "cgroup2":
			controllers, _ := os.ReadFile(filepath.Join(h.path, "cgroup.controllers"))
			if slices.Contains(strings.Fields(string(controllers)), controller) {
				h.unified = true
				unified = h
			}
		}
	}
	if !unified.unified {
		return hierarchy{}, fmt.Errorf("there are no control groups with %q here", controller)
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
			!mount.unified && slices.Contains(strings.Split(parts[1], ","), mount.controller) {
			group := parts[2]
			if mount.root != "/" {
				group = strings.TrimPrefix(group, mount.root)
			}
			return filepath.Join(mount.path, group), nil
		}
	}
	return "", fmt.Errorf("process %d has no control group of %q", pid, mount.controller)
}
