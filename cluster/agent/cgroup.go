package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cpuPeriod is that of a CPU quota, in microseconds.
const cpuPeriod = 100_000

// limitCPU puts processes into a control group that gets only a part of one CPU.
type limitCPU struct {
	Marker string `json:"marker,omitempty"`
	PIDs   []int  `json:"pids,omitempty"`
	// Percent is how much of one CPU all of them get together.
	Percent int `json:"percent"`
	// Name makes the group's name, Proc is "/proc".
	Name string `json:"name"`
	Proc procFS `json:"proc"`

	controlGroup
}

const controllerCPU = "cpu"

func (*limitCPU) kind() string { return "cpu" }

func (x *limitCPU) prepare(string) error {
	if x.Percent < 1 || x.Percent > 10_000 {
		return fmt.Errorf("%w: %d percent", ErrUsage, x.Percent)
	}
	processes, err := x.Proc.family(x.Marker, x.PIDs)
	if err != nil {
		return err
	}
	return x.plan(x.Proc, controllerCPU, x.Name, processes)
}

func (x *limitCPU) apply(string) error {
	if err := x.create(controllerCPU); err != nil {
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
	if err != nil {
		return err
	}
	return x.gather(x.Proc)
}

func (x *limitCPU) undo(string) (string, error) { return "", x.dissolve() }

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
