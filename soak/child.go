package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// child is a run in a process of its own, so that one that hangs, crashes or eats the memory
// is one bad run, and nothing else.
//
// The child's standard input is a leash: it ends when the soak does, however that ends, and
// tells the child to heal what it has hurt, and to end, too.
type child struct {
	argv []string
	// log gets what it prints.
	log string
	// limit is how long it may take, memory how many bytes it may have (0: any number).
	limit  time.Duration
	memory int64
	// grace is how long it may take to end when it is told to.
	grace time.Duration
	now   func() time.Time
}

// exited says how a child ended.
type exited struct {
	status int // of the process; -1: by a signal
	signal string
	// What it was killed for, if it was.
	hung, fat, cut bool
	limit          time.Duration
	allowed        int64
	lastWords      string
	took, cpu      time.Duration
	memory         int64
	err            error // it could not be started
}

// failed says why there is no verdict, "" if there may be one.
func (e exited) failed() string {
	switch {
	case e.err != nil:
		return brief(e.err.Error())
	case e.hung:
		return fmt.Sprintf("it hung: it did not end within %v, and was killed; the log shows where "+
			"it was", e.limit)
	case e.fat:
		return fmt.Sprintf("it was killed for its memory, more than %s", formatSize(e.allowed))
	case e.signal != "":
		return brief(fmt.Sprintf("it was ended by a signal (%s): %s", e.signal, e.lastWords))
	}
	return ""
}

const (
	// memoryPoll is how often the memory of a child is looked at.
	memoryPoll = 500 * time.Millisecond
	// stackTime is how long a hung child has to print where it is.
	stackTime = 5 * time.Second
)

// run starts the child and waits until it has ended, with everything in its process group.
// When ctx ends, the leash is cut; when abort ends, too, it is killed.
func (c child) run(ctx context.Context, abort <-chan struct{}) (e exited) {
	e.limit, e.allowed = c.limit, c.memory
	log, err := os.Create(c.log)
	if err != nil {
		e.err = err
		return e
	}
	defer func() {
		e.lastWords = lastLine(c.log)
		e.err = errors.Join(e.err, log.Close())
	}()
	in, leash, err := os.Pipe()
	if err != nil {
		e.err = err
		return e
	}
	defer leash.Close() // a second close of a pipe that nobody reads loses nothing
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The page of a build's step is for the soak, not for each of its runs.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GITHUB_STEP_SUMMARY=")
	})
	if c.memory > 0 {
		// Before the limit the child's own collector tries its best.
		cmd.Env = append(cmd.Env, fmt.Sprintf("GOMEMLIMIT=%d", c.memory/10*9))
	}
	began := c.now()
	err = cmd.Start()
	if err = errors.Join(err, in.Close()); err != nil {
		e.err = fmt.Errorf("start %s: %w", c.argv[0], err)
		return e
	}
	done := make(chan struct{})
	crash.Go(func() {
		_ = cmd.Wait() // the process's state says all that it does
		close(done)
	})
	c.await(ctx, abort, cmd.Process.Pid, leash, done, &e)
	e.took = c.now().Sub(began)
	if s := cmd.ProcessState; s != nil {
		e.status, e.cpu = s.ExitCode(), s.UserTime()+s.SystemTime()
		if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			e.signal = w.Signal().String()
		}
		if u, ok := s.SysUsage().(*syscall.Rusage); ok {
			e.memory = maxRSS(u)
		}
	}
	// Whatever it has left behind in its group is not to outlive it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return e
}

// await waits for the end of a child, and brings it about where it has to.
func (c child) await(
	ctx context.Context, abort <-chan struct{}, pid int, leash io.Closer, done <-chan struct{},
	e *exited,
) {
	kill := func(s syscall.Signal) { _ = syscall.Kill(-pid, s) } // it may be gone
	limit := time.NewTimer(c.limit)
	defer limit.Stop()
	poll := time.NewTicker(memoryPoll)
	defer poll.Stop()
	for over := ctx.Done(); ; {
		select {
		case <-done:
			return
		case <-over:
			e.cut, over = true, nil
			_ = leash.Close()
			limit.Reset(c.grace)
		case <-abort:
			e.cut = true
			kill(syscall.SIGKILL)
			<-done
			return
		case <-limit.C:
			if !e.cut {
				e.hung = true
				kill(syscall.SIGQUIT) // a Go program prints its goroutines
				select {
				case <-done:
				case <-time.After(stackTime):
				}
			}
			kill(syscall.SIGKILL)
			<-done
			return
		case <-poll.C:
			if c.memory > 0 && treeMemory(pid) > c.memory {
				e.fat = true
				kill(syscall.SIGKILL)
				<-done
				return
			}
		}
	}
}

// lastLine is the last line of a log that has anything in it, for a reason in one line.
func lastLine(path string) string {
	const most = 4 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(bytes.TrimSpace(b)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// orphans are the process groups of children of a soak that was killed: those with a
// directory as the store on their command line.
func orphans(store string) []int {
	var groups []int
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		args := strings.Split(string(b), "\x00")
		for i := range len(args) - 1 {
			if args[i] != "--store" || args[i+1] != store {
				continue
			}
			var pid int
			if _, err := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err == nil {
				if group, err := syscall.Getpgid(pid); err == nil && group == pid {
					groups = append(groups, group)
				}
			}
		}
	}
	return groups
}
