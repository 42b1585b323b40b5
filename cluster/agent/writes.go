package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// limitWrites lets processes write only so many bytes a second to the disk of a directory.
type limitWrites struct {
	Dir    string `json:"dir"`
	Marker string `json:"marker,omitempty"`
	PIDs   []int  `json:"pids,omitempty"`
	// Rate is in bytes a second, of all of them together.
	Rate int64 `json:"rate"`
	// Name makes the group's name, Proc is "/proc", Sys is "/sys".
	Name string `json:"name"`
	Proc procFS `json:"proc"`
	Sys  string `json:"sys"`

	controlGroup
	// Device is "major:minor" of the whole disk.
	Device string `json:"device"`
	// Began is when the limit was set.
	Began time.Time `json:"began"`
}

// WriteStatus is what a limit of writes has seen.
type WriteStatus struct {
	Group  string `json:"group"`
	Device string `json:"device"`
	PIDs   []int  `json:"pids"`
	// Written is how many bytes the processes have written to the disk since the limit was
	// set, Since how long ago that was.
	Written int64         `json:"written"`
	Since   time.Duration `json:"since"`
}

func (*limitWrites) kind() string { return "writes" }

// controller is "blkio" in v1 and "io" in v2.
func (x *limitWrites) controller() string {
	if x.Unified {
		return "io"
	}
	return "blkio"
}

func (x *limitWrites) prepare(string) error {
	if x.Rate < 1 {
		return fmt.Errorf("%w: %d bytes a second", ErrUsage, x.Rate)
	}
	device, err := x.disk()
	if err != nil {
		return err
	}
	x.Device = device
	processes, err := x.Proc.family(x.Marker, x.PIDs)
	if err != nil {
		return err
	}
	v1 := x.plan(x.Proc, "blkio", x.Name, processes)
	if v1 == nil {
		return nil
	}
	if x.plan(x.Proc, "io", x.Name, processes) != nil {
		return v1
	}
	return nil
}

// disk finds the disk that a directory is on. The kernel limits whole disks, not parts.
func (x *limitWrites) disk() (string, error) {
	var s syscall.Stat_t
	if err := syscall.Stat(x.Dir, &s); err != nil {
		return "", fmt.Errorf("look at %s: %w", x.Dir, err)
	}
	major, minor := deviceNumbers(uint64(s.Dev))
	device := fmt.Sprintf("%d:%d", major, minor)
	at := filepath.Join(x.Sys, "dev/block", device)
	if _, err := os.Stat(at); err != nil {
		return "", fmt.Errorf("%s is on no disk whose writes could be limited, but on device %s, as are "+
			"the files of a container or in memory: have the data on a disk", x.Dir, device)
	}
	_, err := os.Stat(filepath.Join(at, "partition"))
	if errors.Is(err, fs.ErrNotExist) {
		return device, nil
	}
	if err != nil {
		return "", err
	}
	whole, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(whole), "dev"))
	return strings.TrimSpace(string(text)), err
}

func (x *limitWrites) apply(string) error {
	if err := x.create(x.controller()); err != nil {
		return err
	}
	name, line := "blkio.throttle.write_bps_device", x.Device+" "+strconv.FormatInt(x.Rate, 10)
	if x.Unified {
		name, line = "io.max", x.Device+" wbps="+strconv.FormatInt(x.Rate, 10)
	}
	if err := writeControl(x.Group, name, line); err != nil {
		return fmt.Errorf("limit writes to disk %s: %w", x.Device, err)
	}
	if x.Began.IsZero() {
		x.Began = time.Now()
	}
	return x.gather(x.Proc)
}

func (x *limitWrites) undo(string) (string, error) { return "", x.dissolve() }

func (x *limitWrites) status() (WriteStatus, error) {
	s := WriteStatus{Group: x.Group, Device: x.Device, Since: time.Since(x.Began)}
	var err error
	if s.PIDs, err = groupMembers(x.Group); err != nil {
		return s, err
	}
	name := "blkio.throttle.io_service_bytes"
	if x.Unified {
		name = "io.stat"
	}
	text, err := os.ReadFile(filepath.Join(x.Group, name))
	for line := range strings.Lines(string(text)) {
		// "8:0 Write 4096", of cgroup v2 "8:0 rbytes=0 wbytes=4096 …"
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != x.Device {
			continue
		}
		if words[1] == "Write" && len(words) > 2 {
			s.Written, _ = strconv.ParseInt(words[2], 10, 64)
		}
		for _, w := range words[1:] {
			if n, ok := strings.CutPrefix(w, "wbytes="); ok {
				s.Written, _ = strconv.ParseInt(n, 10, 64)
			}
		}
	}
	return s, err
}

func writesCommand(out io.Writer) *cobra.Command {
	return inflicting("limit", "Give processes a part of a disk's bandwidth for writes", out,
		func(cmd *cobra.Command) injury {
			x := &limitWrites{Proc: "/proc", Sys: "/sys"}
			flags := cmd.Flags()
			flags.StringVar(&x.Dir, "dir", "", "a directory on the disk")
			flags.StringVar(&x.Marker, "marker", "", "processes that carry it, and their children")
			flags.IntSliceVar(&x.PIDs, "pid", nil, "processes, instead of a marker")
			flags.Int64Var(&x.Rate, "rate", 1<<20, "bytes a second, for all together")
			_ = cmd.MarkFlagRequired("dir")
			return x
		})
}
