package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	// ioctlShutdown is FS_IOC_SHUTDOWN; noLogFlush: the journal is not written either.
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
	// volumeFree is how long a volume may be in use by processes that are ending.
	volumeFree  = 5 * time.Second
	volumeAgain = 20 * time.Millisecond
	stoppedPoll = 2 * time.Millisecond
	syncedWords = "this was synced\n"
)

func (x *volume) prepare(aside string) error {
	if err := x.validate(); err != nil {
		return err
	}
	if !filepath.IsAbs(x.Dir) {
		return fmt.Errorf("%w: directory %q is not absolute", ErrUsage, x.Dir)
	}
	dir, err := filepath.EvalSymlinks(x.Dir)
	if err != nil {
		return err
	}
	x.Dir = dir
	if x.Power == PowerOff {
		return fmt.Errorf("%w: %s is on no volume whose power could fail", ErrUsage, x.Dir)
	}
	size, err := treeSize(x.Dir)
	if err != nil {
		return err
	}
	if x.Size == 0 {
		x.Size = max(volumeLeast, 4*size+volumeLeast/2)
	}
	if err := os.MkdirAll(filepath.Join(aside, "mount"), 0o700); err != nil {
		return err
	}
	// The kernel tells mounts by their true paths.
	if aside, err = filepath.EvalSymlinks(aside); err != nil {
		return err
	}
	x.Image, x.Mount = filepath.Join(aside, "image"), filepath.Join(aside, "mount")
	free, err := freeBytes(aside)
	if err == nil && free < x.Size {
		// The image is sparse, but a volume must not fill the disk that it is on.
		err = fmt.Errorf("%s has %d bytes free, the volume takes up to %d", aside, free, x.Size)
	}
	return err
}

// treeSize adds up the files of a directory.
func treeSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// run runs a program of the host.
func run(argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if cmd.Err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, argv[0])); err == nil {
				cmd.Path, cmd.Err = path, nil
			}
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func (x *volume) apply(string) error {
	if err := x.validate(); err != nil {
		return err
	}
	if !x.Moved {
		if err := x.move(); err != nil {
			return fmt.Errorf("move %s to a volume: %w", x.Dir, err)
		}
		x.Moved = true
	}
	switch {
	case x.Power == PowerOff && !x.Failed:
		return x.fail()
	case x.Power == PowerOn && x.Failed:
		return x.come()
	case x.Power == PowerOn:
		return x.mountAll() // what a killed call may have left undone
	default:
		return nil
	}
}

// move makes the volume and copies the data to it. Nothing has changed in Dir until it is
// mounted over it; if only that is missing, or less, it all begins anew.
func (x *volume) move() error {
	if err := x.unmountAll(); err != nil {
		return err
	}
	f, err := os.OpenFile(x.Image, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(x.Size), f.Close()); err != nil {
		return err
	}
	make := []string{"mkfs.ext4", "-q", "-F", x.Image}
	if x.Filesystem == "xfs" {
		make = []string{"mkfs.xfs", "-q", "-f", x.Image}
	}
	if err := run(make...); err != nil {
		return err
	}
	if err := x.mountImage(); err != nil {
		return err
	}
	if err := run("cp", "-a", "--", x.Dir, filepath.Join(x.Mount, volumeData)); err != nil {
		return err
	}
	if err := run("sync", "-f", x.Mount); err != nil {
		return err
	}
	return errors.Join(x.promise(), x.mountAll())
}

// mounted reports whether something is mounted at a path.
func (x *volume) mounted(path string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(string(x.Proc), "self/mountinfo"))
	if err != nil {
		return false, err
	}
	escaped := strings.NewReplacer("\\", `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(path)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == escaped {
			return true, nil
		}
	}
	return false, nil
}

func (x *volume) mountImage() error {
	there, err := x.mounted(x.Mount)
	if err != nil || there {
		return err
	}
	// The program sets up the loop device, and has the kernel take it down with the mount.
	return run("mount", "-t", x.Filesystem, "-o", "loop", x.Image, x.Mount)
}

// mountAll mounts the volume, and its data over the directory.
func (x *volume) mountAll() error {
	if err := x.mountImage(); err != nil {
		return err
	}
	there, err := x.mounted(x.Dir)
	if err != nil || there {
		return err
	}
	data := filepath.Join(x.Mount, volumeData)
	if err := syscall.Mount(data, x.Dir, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s over %s: %w", data, x.Dir, err)
	}
	return nil
}

// unmountAll takes both mounts away; processes that are ending may still use them.
func (x *volume) unmountAll() error {
	for _, path := range []string{x.Dir, x.Mount} {
		deadline := time.Now().Add(volumeFree)
		for {
			there, err := x.mounted(path)
			if err != nil {
				return err
			}
			if !there {
				break
			}
			err = syscall.Unmount(path, 0)
			if errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline) {
				<-time.After(volumeAgain)
				continue
			}
			if err != nil {
				return fmt.Errorf("unmount %s: %w", path, err)
			}
		}
	}
	return nil
}

// processes are those that the power fails for.
func (x *volume) processes() ([]Process, error) {
	return x.Proc.family(x.Marker, x.PIDs)
}

// promise writes the file that the next failure must not take. To sync it later, just before
// that, would sync what the system has not.
func (x *volume) promise() error {
	return writeWhole(filepath.Join(x.Mount, syncedFile), []byte(syncedWords))
}

// fail stops the processes, so that none sees what comes, and takes the power away. Just
// before, it writes a file that it does not sync.
func (x *volume) fail() error {
	if err := x.stopProcesses(); err != nil {
		return err
	}
	var err error
	if x.Before, err = treeSize(filepath.Join(x.Mount, volumeData)); err != nil {
		return err
	}
	unsynced := filepath.Join(x.Mount, unsyncedFile)
	if err := os.WriteFile(unsynced, []byte("this was not\n"), 0o600); err != nil {
		return err
	}
	d, err := os.Open(x.Mount)
	if err != nil {
		return err
	}
	flag := uint32(noLogFlush)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, d.Fd(), ioctlShutdown,
		uintptr(unsafe.Pointer(&flag)))
	if err := d.Close(); errno != 0 || err != nil {
		return errors.Join(fmt.Errorf("shut %s down: %w", x.Mount, errno), err)
	}
	x.Failed = true
	x.Failures++
	return nil
}

// stopProcesses stops them and waits until they stand still. One that waits for its disk
// gets no further than that.
func (x *volume) stopProcesses() error {
	deadline := time.Now().Add(volumeFree)
	for {
		all, err := x.processes()
		if err != nil {
			return err
		}
		run := slices.DeleteFunc(all, func(p Process) bool { return p.Stopped })
		if len(run) == 0 {
			return nil
		}
		for _, p := range run {
			if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil &&
				!errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop process %d: %w", p.PID, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not stop", run[0].PID)
		}
		<-time.After(stoppedPoll)
	}
}

// come mounts the volume anew, as after a restart of the machine, and looks at what is
// left of the two files. The processes have to be down.
func (x *volume) come() error {
	all, err := x.processes()
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return fmt.Errorf("process %d still runs: it has to be killed before the power comes back",
			all[0].PID)
	}
	if err := x.unmountAll(); err != nil {
		return err
	}
	if err := x.mountImage(); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(x.Mount, syncedFile))
	x.Kept = err == nil && string(text) == syncedWords
	text, err = os.ReadFile(filepath.Join(x.Mount, unsyncedFile))
	x.Lost = errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0
	if x.After, err = treeSize(filepath.Join(x.Mount, volumeData)); err != nil {
		return err
	}
	err = errors.Join(remove(filepath.Join(x.Mount, unsyncedFile)), x.promise(), x.mountAll())
	x.Failed = err != nil
	return err
}

// undo puts the data of the volume back where it was, and removes the volume. Until that is
// done nothing of it is removed there, so it can be begun anew.
func (x *volume) undo(string) (string, error) {
	if err := x.unmountAll(); err != nil {
		return "", err
	}
	if !x.Moved {
		return "", nil
	}
	if err := x.mountImage(); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(x.Dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(x.Dir, e.Name())); err != nil {
			return "", err
		}
	}
	data := filepath.Join(x.Mount, volumeData)
	if err := run("cp", "-a", "--", data+"/.", x.Dir); err != nil {
		return "", err
	}
	if err := run("sync", "-f", x.Dir); err != nil {
		return "", err
	}
	return "", x.unmountAll()
}
