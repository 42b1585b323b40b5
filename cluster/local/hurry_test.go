package local

import (
	"context"
	"syscall"
	"testing"
)

// TestStartAfterHurriedKill starts a node that was told to die by somebody who had no
// time to wait for its end: it must not be taken for one that runs.
func TestStartAfterHurriedKill(t *testing.T) {
	c := startFake(t, nil)
	ctx := testContext(t)
	m, err := c.member("test", "n2")
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for range 10 {
		if err := m.acquire(ctx); err != nil {
			t.Fatal(err)
		}
		before := m.current()
		// It may end before the context is looked at; that is no error then.
		_ = m.end(gone, before, syscall.SIGKILL)
		m.release()
		if err := c.Start(ctx, "n2"); err != nil {
			t.Fatal(err)
		}
		if after := state(t, c, "n2"); after.PID == 0 || after.PID == before.pid {
			t.Fatalf("%+v after pid %d was killed and the node started", after, before.pid)
		}
	}
	if len(c.Exits()) != 0 {
		t.Errorf("a kill was taken for an exit: %+v", c.Exits())
	}
}
