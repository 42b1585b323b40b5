package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	ptraceSeize     = 0x4206
	ptraceInterrupt = 0x4207
	waitAll         = 0x40000000 // __WALL
	// stopWithin is how long a thread may take to stop; one that waits for its disk is
	// not stopped before it has it.
	stopWithin = 5 * time.Second
	stopPoll   = 50 * time.Microsecond
	// stepWithin is the same for one step. It is sure to come to its end, but on a machine that
	// starves it; a thread that is left within a step is killed by its trap.
	stepWithin = 20 * time.Second
	// reapWithin bounds the wait for the end of a thread that was killed.
	reapWithin = time.Second
	// deadLook is how many polls lie between looks whether a thread has ended.
	deadLook = 20
	// stackLook is how much of a thread's stack is searched for addresses.
	stackLook = 64 << 10
)

// frozen is a process all of whose threads are stopped by us, as a debugger does. The
// process does not notice, but for calls that the kernel interrupts then. It belongs to
// the OS thread that has stopped it; if that one dies, the kernel lets the threads go.
type frozen struct {
	proc procFS
	pid  int
	// threads are those that were stopped, with the signal that each was to get.
	threads map[int]syscall.Signal
	// group are those that a signal had stopped before.
	group map[int]bool
}

func ptrace(request, tid int, data uintptr) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data,
		0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// freeze stops all threads of a process. The caller is locked to its OS thread.
func (p procFS) freeze(pid int) (*frozen, error) {
	f := &frozen{proc: p, pid: pid, threads: map[int]syscall.Signal{}, group: map[int]bool{}}
	deadline := time.Now().Add(stopWithin)
	for {
		fresh, err := f.stopNew(deadline)
		if err != nil {
			return nil, errors.Join(err, f.thaw())
		}
		if !fresh {
			break
		}
	}
	if len(f.threads) == 0 {
		return nil, errNoProcess
	}
	return f, nil
}

// stopNew stops the threads that are not stopped yet, and reports whether there were any.
func (f *frozen) stopNew(deadline time.Time) (fresh bool, err error) {
	tasks, err := os.ReadDir(filepath.Join(string(f.proc), strconv.Itoa(f.pid), "task"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if _, known := f.threads[tid]; err != nil || known {
			continue
		}
		err = ptrace(ptraceSeize, tid, 0)
		if errors.Is(err, syscall.ESRCH) || err != nil && f.dead(tid) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("stop thread %d of process %d%s: %w",
				tid, f.pid, f.tracer(tid), err)
		}
		fresh = true
		f.threads[tid] = 0
		if err := f.stop(tid, deadline); err != nil {
			return false, err
		}
	}
	return fresh, nil
}

// dead reports whether a thread has ended and only its entry is left.
func (f *frozen) dead(tid int) bool {
	s, err := f.proc.stat(f.pid, "task", strconv.Itoa(tid), "stat")
	return err != nil || s.State == "Z" || s.State == "X"
}

// tracer says who debugs a thread already.
func (f *frozen) tracer(tid int) string {
	status, _ := f.proc.read(f.pid, "task", strconv.Itoa(tid), "status")
	_, rest, _ := strings.Cut(string(status), "TracerPid:\t")
	if who, _, _ := strings.Cut(rest, "\n"); who != "" && who != "0" {
		return " (process " + who + " debugs it)"
	}
	return ""
}

// stop waits until a thread that was seized stands still.
func (f *frozen) stop(tid int, deadline time.Time) error {
	if err := ptrace(ptraceInterrupt, tid, 0); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("interrupt thread %d: %w", tid, err)
	}
	status, err := f.await(tid, deadline)
	switch {
	case errors.Is(err, syscall.ESRCH):
		delete(f.threads, tid)
		return nil
	case err != nil:
		return err
	case uint32(status)>>16 == 0: // it was about to get a signal
		f.threads[tid] = status.StopSignal()
	case status.StopSignal() != syscall.SIGTRAP: // a signal has stopped the whole process
		f.group[tid] = true
	}
	return nil
}

// await waits until a thread stands still; syscall.ESRCH says that it has ended. The kernel
// does not tell the end of a process's first thread before that of all others, which may
// wait for us: so we look ourselves.
func (f *frozen) await(tid int, deadline time.Time) (syscall.WaitStatus, error) {
	for try := 1; ; try++ {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(tid, &status, waitAll|syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD), got == tid && !status.Stopped():
			return status, fmt.Errorf("thread %d: %w", tid, syscall.ESRCH)
		case err != nil:
			return status, fmt.Errorf("wait for thread %d: %w", tid, err)
		case got == tid:
			return status, nil
		case try%deadLook == 0 && f.dead(tid):
			return status, fmt.Errorf("thread %d: %w", tid, syscall.ESRCH)
		case time.Now().After(deadline):
			return status, fmt.Errorf("thread %d of process %d does not stop: it may wait for its disk",
				tid, f.pid)
		default:
			<-time.After(stopPoll)
		}
	}
}

// thaw lets all threads go on, the first of the process last.
func (f *frozen) thaw() error {
	var errs []error
	first, known := f.threads[f.pid]
	delete(f.threads, f.pid)
	for tid, signal := range f.threads {
		errs = append(errs, f.release(tid, signal))
	}
	if known {
		errs = append(errs, f.release(f.pid, first))
	}
	f.threads = map[int]syscall.Signal{}
	return errors.Join(errs...)
}

// release lets a thread go on. One that was killed is told of to us first, and only then,
// when we have heard it, to its parent.
func (f *frozen) release(tid int, signal syscall.Signal) error {
	for end := time.Now().Add(reapWithin); ; {
		err := ptrace(syscall.PTRACE_DETACH, tid, uintptr(signal))
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("let thread %d of process %d go: %w", tid, f.pid, err)
		}
		var status syscall.WaitStatus
		got, err := syscall.Wait4(tid, &status, waitAll|syscall.WNOHANG, nil)
		if errors.Is(err, syscall.ECHILD) || got == tid && !status.Stopped() ||
			time.Now().After(end) {
			return nil
		}
		<-time.After(stopPoll)
	}
}

// span is a range of addresses.
type span struct{ from, to uint64 }

func (s span) has(a uint64) bool { return s.from <= a && a < s.to }

// stepsMost bounds how many instructions a thread is led on to get out of code.
const stepsMost = 500

// inside reports whether a thread is in one of the spans and does not get out of it in a few
// steps, or will come back to one: a signal may have interrupted it there.
func (f *frozen) inside(spans []span) (bool, error) {
	within := func(a uint64) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.has(a) })
	}
	stack := make([]byte, stackLook)
	for tid := range f.threads {
		at, sp, err := f.leadOut(tid, within)
		if errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil || within(at) {
			return true, err
		}
		for i, n := 0, f.readStack(stack, sp); i+8 <= n; i += 8 {
			if within(binary.LittleEndian.Uint64(stack[i:])) {
				return true, nil
			}
		}
	}
	return false, nil
}

// leadOut lets a thread that is within do single steps until it is not, and returns where
// it is and its stack. One that a signal has stopped, or is to get one, stays where it is.
func (f *frozen) leadOut(tid int, within func(uint64) bool) (at, stack uint64, err error) {
	for range stepsMost {
		var regs syscall.PtraceRegs
		if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
			return 0, 0, fmt.Errorf("registers of thread %d: %w", tid, err)
		}
		at, stack = regs.Rip, regs.Rsp
		if !within(at) || f.threads[tid] != 0 || f.group[tid] {
			return at, stack, nil
		}
		if err := syscall.PtraceSingleStep(tid); err != nil {
			return at, stack, fmt.Errorf("lead thread %d on: %w", tid, err)
		}
		status, err := f.await(tid, time.Now().Add(stepWithin))
		if err != nil {
			return at, stack, err
		}
		if uint32(status)>>16 == 0 && status.StopSignal() != syscall.SIGTRAP {
			f.threads[tid] = status.StopSignal()
		}
	}
	return at, stack, nil
}

// readStack reads what there is from an address on, by pages, and says how much.
func (f *frozen) readStack(b []byte, at uint64) int {
	const page = 4096
	at &^= 7
	n := 0
	for n < len(b) {
		end := min(len(b), n+int(page-(at+uint64(n))%page))
		if f.proc.readMemory(f.pid, b[n:end], at+uint64(n)) != nil {
			break
		}
		n = end
	}
	return n
}

// write writes into the process's memory, also where it may not write itself, and reads it
// back.
func (f *frozen) write(at uint64, b []byte) error {
	if err := f.poke(at, b); err != nil {
		return fmt.Errorf("write into process %d: %w", f.pid, err)
	}
	got := make([]byte, len(b))
	if err := f.proc.readMemory(f.pid, got, at); err != nil {
		return fmt.Errorf("read back from process %d: %w", f.pid, err)
	}
	if !slices.Equal(got, b) {
		return fmt.Errorf("process %d has not kept what was written into it", f.pid)
	}
	return nil
}

// writeAll writes into an image that begins at base, in this order.
func (f *frozen) writeAll(base uint64, writes []write) error {
	for _, w := range writes {
		if err := f.write(base+uint64(w.at), w.bytes); err != nil {
			return err
		}
	}
	return nil
}

func (f *frozen) poke(at uint64, b []byte) error {
	mem, err := os.OpenFile(filepath.Join(string(f.proc), strconv.Itoa(f.pid), "mem"),
		os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = mem.WriteAt(b, int64(at))
	return errors.Join(err, mem.Close())
}
