package agent

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A process that is killed while it is stopped: its first thread has ended, but the kernel
// says so to nobody before all others are gone, which wait for us. Who waits for it hears
// that it is gone all the same.
func TestKilledWhileStopped(t *testing.T) {
	cmd := exec.Command("python3", "-c", `
import threading, time
for i in range(3): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("up", flush=True)
time.sleep(60)`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		skipUnlessRequired(t, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it ends with the goroutine, and lets go what it has stopped
		f, err := procFS("/proc").freeze(cmd.Process.Pid)
		if err != nil {
			result <- err
			return
		}
		if len(f.threads) != 4 {
			t.Errorf("%d threads", len(f.threads))
		}
		if err := cmd.Process.Kill(); err != nil {
			result <- err
			return
		}
		_, err = f.await(cmd.Process.Pid, time.Now().Add(patience))
		if thawed := f.thaw(); thawed != nil {
			t.Error(thawed)
		}
		result <- err
	}()
	select {
	case err := <-result:
		if errors.Is(err, syscall.EPERM) {
			skipUnlessRequired(t, err)
		}
		if !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%v, want that it is gone", err)
		}
	case <-time.After(2 * patience):
		t.Error("it is waited for without end")
	}
}

// skipUnlessRequired skips a test that cannot be done here, where nothing demands it.
func skipUnlessRequired(t *testing.T, err error) {
	t.Helper()
	if os.Getenv(requireVariable) == "required" {
		t.Fatalf("%v, but %s=required", err, requireVariable)
	}
	t.Skip(err)
}
