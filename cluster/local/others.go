package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A node may have processes that are not in the group of the one that was started: a
// server that puts each of its children into a session of its own, or one that goes into
// the background. Whoever pauses or kills the node means these, too.

// othersLimit bounds the search for them.
const othersLimit = 5 * time.Second

// signal signals the node's process group, and its other processes.
func (m *member) signal(ctx context.Context, p *process, sig syscall.Signal) error {
	// First: with the leader gone nobody knows whose children they were.
	select {
	case <-p.done:
		// Those that it had when it was last signaled are still its own.
	default:
		m.others = nil
	}
	if err := m.findOthers(ctx, p.pid); err != nil {
		return err
	}
	if err := p.signal(sig); err != nil {
		return err
	}
	var errs []error
	for _, pid := range m.others {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("signal %v to process %d: %w", sig, pid, err))
		}
	}
	return errors.Join(errs...)
}

// findOthers runs the script that finds them, and adds them to others.
func (m *member) findOthers(ctx context.Context, leader int) error {
	if m.cfg.Others == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, othersLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", m.cfg.Others(m.spec), "sh", strconv.Itoa(leader))
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("look for the processes of %s: %w", m.name, err)
	}
	for _, word := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("look for the processes of %s: found %q", m.name, word)
		}
		group, err := syscall.Getpgid(pid)
		if err != nil || group == leader || pid <= 1 || pid == os.Getpid() ||
			slices.Contains(m.others, pid) {
			continue // gone, or gets the signal anyway
		}
		m.others = append(m.others, pid)
	}
	return nil
}

// stopped reports whether the leader is stopped, and all others that are left.
func (m *member) stopped(ctx context.Context, leader int, want bool) (bool, error) {
	is, err := m.ps.stopped(ctx, leader)
	if err != nil || is != want {
		return is, err
	}
	for _, pid := range m.others {
		is, err := m.ps.stopped(ctx, pid)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil || is != want {
			return !want, err
		}
	}
	return want, nil
}

// othersGone waits until those that got the last signal are gone, too.
func (m *member) othersGone(ctx context.Context) error {
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	for {
		m.others = slices.DeleteFunc(m.others, func(pid int) bool {
			_, err := m.ps.states(ctx, pid)
			return errors.Is(err, errNoProcess)
		})
		if len(m.others) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("processes %v outlive their node: %w", m.others, ctx.Err())
		}
	}
}
