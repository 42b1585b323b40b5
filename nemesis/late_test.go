package nemesis

import (
	"context"
	"testing"
	"testing/synctest"
)

// lateProcesses has a process that was about to end by itself when it was told to
// start: it still counted as running, and is gone a moment later.
type lateProcesses struct {
	*fakeCluster
	ending Node
	starts int
}

func (p *lateProcesses) Start(ctx context.Context, n Node) error {
	p.starts++
	if n == p.ending {
		p.ending = ""
		return p.Kill(ctx, n)
	}
	return p.fakeCluster.Start(ctx, n)
}

// TestBringUpTwice: a node that ends just when it is brought up is started again.
func TestBringUpTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &lateProcesses{fakeCluster: newFakeCluster(3), ending: "n2"}
		w := newWorld(p.nodes, p, func([]Node) {})
		state, err := w.bringUp(t.Context(), 1, "n2")
		if err != nil || state.PID == 0 || p.starts != 2 {
			t.Errorf("%+v after %d starts, %v", state, p.starts, err)
		}
	})
}
