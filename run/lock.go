package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const lockFile = "lock"

// errRunning says that a checker still works in the directory.
var errRunning = errors.New("its checker is still running: interrupt that one instead")

// dirLock marks a run's directory as belonging to a living checker. The operating
// system releases it when the process ends, however it ends.
type dirLock struct{ f *os.File }

// lockDir takes the lock, and fails with errRunning while somebody else has it.
func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errRunning
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), f.Close())
	}
	return &dirLock{f: f}, nil
}

// release gives the lock back. Closing the file does it; a failure to close a
// file that nobody wrote to loses nothing.
func (l *dirLock) release() {
	if l != nil {
		_ = l.f.Close()
	}
}
