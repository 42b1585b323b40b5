package remote

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// TestPrepareBesideRemoval: directories are made while somebody else removes those above
// whenever nothing is in them.
func TestPrepareBesideRemoval(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	var removed atomic.Int64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
			}
			_ = os.Remove(filepath.Join(above, "run"))
			if os.Remove(above) == nil {
				removed.Add(1)
			}
		}
	}()
	for range 40 {
		dir := filepath.Join(above, "run", "n1")
		out, err := exec.Command("sh", "-euc", prepareScript(dir)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, markFile)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	close(end)
	<-ended
	if removed.Load() == 0 {
		t.Error("nothing was removed meanwhile")
	}
}
