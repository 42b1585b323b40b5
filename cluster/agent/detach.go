//go:build unix

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startFor bounds the time from a daemon's start until it answers.
	startFor = 10 * time.Second
	// statePoll is the time between two looks at a daemon that is to end.
	statePoll = 20 * time.Millisecond
	readyWord = "ready"
	// readyFD is the descriptor on which a detached daemon says that it works.
	readyFD = 3
)

// start starts a daemon detached from this process, by running this program with args,
// and returns its status once it works. The same instance is not started twice.
func start(ctx context.Context, cfg DaemonConfig, kind string, args []string) (Status, error) {
	if err := cfg.Validate(); err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	s, err := inspect(ctx, cfg.Dir, kind)
	switch {
	case err != nil:
		return s, err
	case s.State == Running && s.Instance == cfg.Instance:
		return s, nil
	case s.State == Running:
		return s, fmt.Errorf("in %s runs instance %q", cfg.Dir, s.Instance)
	}
	if err := spawn(cfg.Dir, args); err != nil {
		return Status{}, fmt.Errorf("start the %s agent: %w", kind, err)
	}
	return inspect(ctx, cfg.Dir, kind)
}

// spawn starts this program with args and waits until it says that it works.
func spawn(dir string, args []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(files(dir).log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	hear, say, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = hear.Close() }()
	cmd := exec.Command(program, append(args, "--ready-fd", strconv.Itoa(readyFD))...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{say}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = say.Close()
	if err != nil {
		return err
	}
	_ = hear.SetReadDeadline(time.Now().Add(startFor))
	word, err := io.ReadAll(hear)
	if err == nil && string(word) == readyWord {
		return cmd.Process.Release()
	}
	// It has ended, or hangs.
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return fmt.Errorf("it did not come up: %s", strings.TrimSpace(tail(files(dir).log())))
}

// sayReady tells the starting process that the daemon works; fd 0 is nobody. What the
// daemon starts must not keep the descriptor.
func sayReady(fd int) func() error {
	if fd != 0 {
		syscall.CloseOnExec(fd)
	}
	return func() error {
		if fd == 0 {
			return nil
		}
		f := os.NewFile(uintptr(fd), "ready")
		_, err := f.WriteString(readyWord)
		return errors.Join(err, f.Close())
	}
}

// stop ends a daemon and returns its last status. One that does not end in time is
// killed; one that does not run is no error.
func stop(ctx context.Context, dir, kind string, limit time.Duration) (Status, error) {
	if _, err := call(ctx, dir, request{Do: doStop}); errors.Is(err, errNoDaemon) {
		s, err := inspect(ctx, dir, kind)
		if err != nil || s.State != Running {
			return s, err
		}
	}
	ended, err := awaitEnd(ctx, dir, limit)
	if err == nil && !ended {
		err = killDaemon(ctx, dir)
	}
	if err != nil {
		return Status{}, fmt.Errorf("stop the %s agent: %w", kind, err)
	}
	return inspect(ctx, dir, kind)
}

// awaitEnd waits until no daemon has the lock of a directory.
func awaitEnd(ctx context.Context, dir string, limit time.Duration) (bool, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		running, err := locked(files(dir).lock())
		if err != nil || !running {
			return !running, err
		}
		select {
		case <-time.After(statePoll):
		case <-late.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// killDaemon kills the process that wrote that it has begun, if it is still that one.
func killDaemon(ctx context.Context, dir string) error {
	s, err := readStatus(files(dir).begun())
	if err != nil {
		return err
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID), "cmdline"))
	if err != nil || !bytes.Contains(line, []byte(dir)) {
		return fmt.Errorf("process %d is not the daemon that has the lock: %q", s.PID, line)
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", s.PID, err)
	}
	ended, err := awaitEnd(ctx, dir, startFor)
	if err == nil && !ended {
		err = fmt.Errorf("process %d survives SIGKILL", s.PID)
	}
	return err
}
