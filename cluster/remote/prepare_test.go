package remote

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPrepareBesideRemoval: directories are made while others who end remove those above,
// three times each, whenever nothing is in them.
func TestPrepareBesideRemoval(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	interrupted := 0
	for range 40 {
		end, removed := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for n < 3 {
				select {
				case <-end:
					removed <- n
					return
				default:
				}
				_ = os.Remove(filepath.Join(above, "run"))
				if os.Remove(above) == nil {
					n++
				}
			}
			removed <- n
		}()
		dir := filepath.Join(above, "run", "n1")
		out, err := exec.Command("sh", "-euc", prepareScript(dir)).CombinedOutput()
		close(end)
		interrupted += <-removed
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, markFile)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(above); err != nil {
			t.Fatal(err)
		}
	}
	if interrupted == 0 {
		t.Error("nothing was removed meanwhile")
	}
}
