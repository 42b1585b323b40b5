package remote_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Files that were damaged are put back by whoever takes the node's directory away: Heal,
// after a controller that is gone, or Close, which also takes what healing has left to the
// node.
func TestInjuriesAreTakenBack(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"heal", "close"} {
		t.Run(end, func(t *testing.T) {
			b, _ := withAgent(t, 1)
			ctx := t.Context()
			file := filepath.Join(t.TempDir(), "table")
			whole := bytes.Repeat([]byte("row\n"), 1000)
			must(t, os.WriteFile(file, whole, 0o644))
			must(t, b.Kill(ctx, "n1"))
			for h, i := range map[nemesis.Handle]nemesis.Injury{
				"fault-1": {Kind: nemesis.InjuryFlip, Path: file, Place: 0.25},
				"fault-2": {Kind: nemesis.InjuryCut, Path: file, Bytes: 100},
			} {
				got, err := b.Injure(ctx, "n1", h, i)
				must(t, err)
				if !strings.HasSuffix(got.Where, " of "+file) {
					t.Errorf("%+v", got)
				}
			}
			if damaged, err := os.ReadFile(file); err != nil || len(damaged) != len(whole)-100 ||
				bytes.Equal(damaged, whole[:len(damaged)]) {
				t.Errorf("%d bytes of %d, %v: it is not damaged", len(damaged), len(whole), err)
			}
			must(t, b.Start(ctx, "n1"))
			if end == "heal" {
				lines, err := b.heal(t, netns.Attach(b.lab.Name()))
				must(t, err)
				text := strings.Join(lines, "\n")
				for _, want := range []string{"an injury (flip)", "an injury (truncate)"} {
					if !strings.Contains(text, want) {
						t.Errorf("nothing of %q:\n%s", want, text)
					}
				}
			} else {
				b.close(t)
			}
			if back, err := os.ReadFile(file); err != nil || !bytes.Equal(back, whole) {
				t.Errorf("%d bytes of %d are back, %v", len(back), len(whole), err)
			}
		})
	}
}
