package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

const (
	// ioctlFreeze and ioctlThaw are FIFREEZE and FITHAW.
	ioctlFreeze = 0xc0045877
	ioctlThaw   = 0xc0045878
	// stallEnds is how long the daemon may take to end, and its guard after it.
	stallEnds = 10 * time.Second
	// lookBefore is how long before the end of a freeze one looks who waits.
	lookBefore = 10 * time.Millisecond
)

func ioctl(mount string, request uintptr) error {
	d, err := os.Open(mount)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, d.Fd(), request, 0)
	err = d.Close()
	if errno != 0 {
		return errno
	}
	return err
}

func freeze(mount string) error {
	if err := ioctl(mount, ioctlFreeze); err != nil {
		return fmt.Errorf("freeze %s: %w", mount, err)
	}
	return nil
}

// thaw returns when the kernel says that nothing is frozen there.
func thaw(mount string) error {
	for {
		switch err := ioctl(mount, ioctlThaw); {
		case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOENT):
			return nil
		case err != nil:
			return fmt.Errorf("thaw %s: %w", mount, err)
		}
	}
}

// owned returns the volume of a record, if it is mounted as one of its own.
func (x *stall) owned() (*volume, error) {
	r, err := readRecord(x.Volume)
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	in, err := r.read(x.Volume)
	if err != nil {
		return nil, err
	}
	v, ok := in.(*volume)
	if !ok || !v.Moved || v.Failed {
		return nil, fmt.Errorf("%w: %s is no record of a volume that has power", ErrUsage, x.Volume)
	}
	there, err := v.mounted(v.Mount)
	if err != nil {
		return nil, err
	}
	var here, around syscall.Stat_t
	err = errors.Join(syscall.Stat(v.Mount, &here), syscall.Stat(filepath.Dir(v.Mount), &around))
	if err != nil {
		return nil, err
	}
	if !there || here.Dev == around.Dev {
		return nil, fmt.Errorf("%s is no volume of its own", v.Mount)
	}
	return v, nil
}

func (x *stall) prepare(aside string) error {
	if err := x.validate(); err != nil {
		return err
	}
	v, err := x.owned()
	if err != nil {
		return err
	}
	x.Mount, x.Marker, x.PIDs = v.Mount, v.Marker, v.PIDs
	x.Record = strings.TrimSuffix(aside, asideSuffix)
	return nil
}

// apply starts the daemon.
func (x *stall) apply(aside string) error {
	if _, err := x.owned(); err != nil {
		return err
	}
	cfg := DaemonConfig{Dir: aside, Instance: kindStall, Lease: x.Lease}
	args := []string{
		"agent", "volume", "slow-run", "--record", x.Record, "--dir", aside, "--instance", kindStall,
		"--lease", x.Lease.String(),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*startFor)
	defer cancel()
	_, err := start(ctx, cfg, kindStall, args)
	return err
}

// status asks the daemon, which lives on by that.
func (x *stall) status() (StallStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	s, err := inspect(ctx, aside(x.Record), kindStall)
	out := StallStatus{State: s.State, Reason: s.Reason}
	if s.Stall != nil {
		out.StallCounts = *s.Stall
	}
	return out, err
}

// undo ends the daemon and thaws the volume, and does not return before a sync on it does.
func (x *stall) undo(aside string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*stallEnds)
	defer cancel()
	if _, err := os.Stat(aside); err == nil {
		if _, err := stop(ctx, aside, kindStall, stallEnds); err != nil {
			// It may hang in the freeze that it has begun.
			return "", errors.Join(err, thaw(x.Mount))
		}
		// Its guard goes by itself.
		if err := awaitUnlocked(ctx, filepath.Join(aside, guardLock)); err != nil {
			return "", err
		}
	}
	if err := thaw(x.Mount); err != nil {
		return "", err
	}
	if _, err := x.owned(); err != nil {
		return "", nil // it is not mounted any more, or has lost its power
	}
	path := filepath.Join(x.Mount, measuredFile)
	if _, err := measureSync(path); err != nil {
		return "", fmt.Errorf("sync %s: %w", x.Mount, err)
	}
	return "", remove(path)
}

// awaitUnlocked waits until nobody holds a lock.
func awaitUnlocked(ctx context.Context, path string) error {
	for {
		held, err := locked(path)
		if err != nil || !held {
			return err
		}
		select {
		case <-time.After(statePoll):
		case <-ctx.Done():
			return fmt.Errorf("%s is still held: %w", path, ctx.Err())
		}
	}
}

// guard waits until the daemon of a directory is gone, however it ended, and thaws the
// volume that it may have left frozen.
func guard(dir, mount string) error {
	own, err := takeLock(context.Background(), filepath.Join(dir, guardLock))
	if err != nil {
		return err
	}
	defer func() { _ = own.Close() }()
	lock, err := os.Open(files(dir).lock())
	if err != nil {
		return err
	}
	fmt.Println(readyWord)
	for {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return errors.Join(err, lock.Close(), thaw(mount))
}

// measureSync writes a byte and syncs it.
func measureSync(path string) (time.Duration, error) {
	began := time.Now()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.WriteAt([]byte{byte(began.UnixNano())}, 0)
	err = errors.Join(err, f.Sync(), f.Close())
	return time.Since(began), err
}

// keepSyncing measures until nobody reads what it prints. It is a process by itself: who
// waits for a frozen volume cannot be killed, and keeps its locks.
func keepSyncing(path string, out io.Writer) error {
	for {
		took, err := measureSync(path)
		if err == nil {
			_, err = fmt.Fprintln(out, took.Nanoseconds())
		}
		if err != nil {
			return err
		}
		<-time.After(syncEvery)
	}
}

// freezer is the daemon that freezes and thaws.
type freezer struct {
	stall
	dir      string
	measurer *exec.Cmd
	measured io.ReadCloser

	mu     sync.Mutex
	counts StallCounts
}

// runStall freezes and thaws the volume of a record until it is stopped, its lease ends, or
// ctx does.
func runStall(ctx context.Context, cfg DaemonConfig, record string, ready func() error) error {
	r, err := readRecord(record)
	if err != nil {
		return err
	}
	in, err := r.read(record)
	if err != nil {
		return err
	}
	x, ok := in.(*stall)
	if !ok {
		return fmt.Errorf("%w: %s is the record of a %s", ErrUsage, record, r.Kind)
	}
	if _, err := x.owned(); err != nil {
		return err
	}
	f := &freezer{stall: *x, dir: cfg.Dir}
	if err := serve(ctx, cfg, f.open, ready); err != nil {
		return fmt.Errorf("stall agent: %w", err)
	}
	return nil
}

// open starts the guard, and what measures.
func (f *freezer) open() (service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := exec.Command(self, "agent", "volume", "guard", "--dir", f.dir, "--mount", f.Mount)
	g.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	g.Dir, g.Stderr = "/", os.Stderr
	out, err := g.StdoutPipe()
	if err := errors.Join(err, g.Start()); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	word, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the guard said %q: %w", word, err)
	}
	crash.Go(func() { _ = g.Wait() })
	f.measurer = exec.Command(self, "agent", "volume", "sync", "--path",
		filepath.Join(f.Mount, measuredFile))
	f.measurer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	f.measurer.Dir, f.measurer.Stderr = "/", os.Stderr
	if f.measured, err = f.measurer.StdoutPipe(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *freezer) kind() string { return kindStall }

func (f *freezer) handle(r request) (answer, error) {
	return answer{}, fmt.Errorf("a stall agent does not know how to %q", r.Do)
}

func (f *freezer) describe(s *Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.counts
	s.Stall = &counts
}

func (f *freezer) count(do func(*StallCounts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do(&f.counts)
}

// run freezes and thaws. Whatever happens, the volume is thawed in the end.
func (f *freezer) run(ctx context.Context) (err error) {
	if err := f.measurer.Start(); err != nil {
		return fmt.Errorf("measure syncs: %w", err)
	}
	var wg sync.WaitGroup
	wg.Go(crash.Guard(f.listen))
	defer func() {
		err = errors.Join(err, thaw(f.Mount))
		_ = f.measurer.Process.Kill()
		wg.Wait()
		_ = f.measurer.Wait() // killed
	}()
	for ctx.Err() == nil {
		if err := freeze(f.Mount); err != nil {
			return err
		}
		f.count(func(c *StallCounts) { c.Freezes++ })
		pauseFor(ctx, f.Delay-lookBefore)
		f.lookWho()
		pauseFor(ctx, lookBefore)
		if err := thaw(f.Mount); err != nil {
			return err
		}
		pauseFor(ctx, f.Gap)
	}
	return nil
}

// pauseFor waits, at most until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// listen takes in what is measured.
func (f *freezer) listen() {
	lines := bufio.NewScanner(f.measured)
	for lines.Scan() {
		ns, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			continue
		}
		took := time.Duration(ns)
		f.count(func(c *StallCounts) {
			c.Slowest = max(c.Slowest, took)
			if took >= f.Delay/2 {
				c.Slow++
			}
		})
	}
}

// lookWho looks whether a thread of the processes waits.
func (f *freezer) lookWho() {
	all, err := f.Proc.family(f.Marker, f.PIDs)
	if err != nil {
		f.count(func(c *StallCounts) { c.Failed = err.Error() })
		return
	}
	for _, p := range all {
		if f.Proc.waitsForDisk(p.PID) {
			f.count(func(c *StallCounts) { c.Waiting++ })
			return
		}
	}
}

// waitsForDisk reports whether a thread of a process waits uninterruptibly.
func (p procFS) waitsForDisk(pid int) bool {
	tasks, err := os.ReadDir(filepath.Join(string(p), strconv.Itoa(pid), "task"))
	if err != nil {
		return false
	}
	for _, t := range tasks {
		thread, err := p.stat(pid, "task", t.Name(), "stat")
		if err == nil && thread.State == "D" {
			return true
		}
	}
	return false
}
