package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Healed is what Heal found of one recorded process.
type Healed struct {
	// Record is the ledger's.
	Record nemesis.ProcessRecord `json:"record"`
	// Killed are the processes that were found and ended; none when the recorded
	// process was gone already.
	Killed []int `json:"killed,omitempty"`
	// Stopped is true when one of them was paused.
	Stopped bool `json:"stopped,omitempty"`
}

// Heal ends the processes that a killed harness has left behind, and returns for
// each record what was found. A process is touched only if its command line still
// carries the record's marker, so that a pid which meanwhile belongs to somebody
// else is left alone. A record without a pid (the harness died while starting it)
// is looked for by its marker among all process group leaders. Calling Heal again
// does no harm.
func Heal(ctx context.Context, records []nemesis.ProcessRecord) ([]Healed, error) {
	var (
		ps     = newInspector()
		report = make([]Healed, 0, len(records))
		errs   []error
	)
	for _, r := range records {
		h, err := healOne(ctx, ps, r)
		if err != nil {
			errs = append(errs, fmt.Errorf("end what is left of %s (pid %d): %w", r.Node, r.PID, err))
		}
		report = append(report, h)
	}
	return report, errors.Join(errs...)
}

func healOne(ctx context.Context, ps inspector, r nemesis.ProcessRecord) (Healed, error) {
	h := Healed{Record: r}
	if r.Marker == "" {
		return h, errors.New("the record has no marker")
	}
	pids := []int{r.PID}
	if r.PID == 0 {
		found, err := ps.carrying(ctx, r.Marker)
		if err != nil {
			return h, err
		}
		pids = pids[:0]
		for _, pid := range found {
			if group, err := syscall.Getpgid(pid); err == nil && group == pid {
				pids = append(pids, pid)
			}
		}
	}
	var errs []error
	for _, pid := range pids {
		if pid <= 1 || pid == os.Getpid() {
			continue
		}
		stopped, killed, err := endLeftover(ctx, ps, pid, r.Marker)
		if err != nil {
			errs = append(errs, err)
		}
		if killed {
			h.Killed = append(h.Killed, pid)
			h.Stopped = h.Stopped || stopped
		}
	}
	return h, errors.Join(errs...)
}

// endLeftover ends the process pid and its group if it carries the marker, and
// waits until it is gone.
func endLeftover(
	ctx context.Context, ps inspector, pid int, marker string,
) (stopped, killed bool, err error) {
	// Where the system has handles for processes, this one keeps meaning the same
	// process even if the pid is reused between the look and the signal.
	handle, err := os.FindProcess(pid)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = handle.Release() }()
	if alive, err := ps.isMarked(ctx, pid, marker); err != nil || !alive {
		return false, false, err
	}
	if stopped, err = ps.stopped(ctx, pid); err != nil && !errors.Is(err, errNoProcess) {
		return false, false, err
	}
	group, groupErr := syscall.Getpgid(pid)
	for _, sig := range []syscall.Signal{syscall.SIGCONT, syscall.SIGKILL} {
		if groupErr == nil && group == pid {
			// While the leader lives, the group's number is its own.
			_ = syscall.Kill(-pid, sig)
		}
		if err := handle.Signal(sig); errors.Is(err, os.ErrProcessDone) {
			break
		} else if err != nil {
			return stopped, false, fmt.Errorf("signal %v: %w", sig, err)
		}
	}
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	for {
		alive, err := ps.isMarked(ctx, pid, marker)
		if err != nil {
			return stopped, false, err
		}
		if !alive {
			return stopped, true, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stopped, false, fmt.Errorf("wait until it is gone: %w", ctx.Err())
		}
	}
}

// isMarked reports whether a live process pid carries the marker.
func (i inspector) isMarked(ctx context.Context, pid int, marker string) (bool, error) {
	line, err := i.commandLine(ctx, pid)
	if errors.Is(err, errNoProcess) {
		return false, nil
	}
	return err == nil && carries(line, marker), err
}
