package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/script"
)

// TestInteraction runs the scripts in testdata: who says what to whom, in an
// order that the script decides. If it fails, run
//
//	go test ./target/decide -run TestInteraction -rewrite
//
// and read the difference. Commit it only if you understand what caused it and
// it is what you want.
func TestInteraction(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	script.Run(t, script.Options{
		Protocol: "decide", Object: "decide", Describe: Describe,
		New: func(cfg protocol.Config, set script.Settings) (protocol.Machine, error) {
			m, err := New(cfg)
			if err == nil {
				m.checkpointEvery = set.Int("checkpoint-every", m.checkpointEvery)
			}
			return m, err
		},
		Record: func(_ protocol.Machine, b []byte) string {
			r, err := c.decodeRecord(b)
			if err != nil {
				return err.Error()
			}
			return show(r.Instance, r.Acceptor)
		},
		Disk: func(checkpoint []byte, records [][]byte) string {
			held, err := disk(c, checkpoint, records)
			if err != nil {
				return err.Error()
			}
			var all []string
			for _, instance := range slices.Sorted(maps.Keys(held)) {
				all = append(all, show(instance, held[instance]))
			}
			return strings.Join(all, "; ")
		},
	})
}

func show(instance string, a acceptor) string {
	return fmt.Sprintf("%s promised %v voted %v", instance, a.Promised, a.Vote)
}

// disk is what a node would find after a crash.
func disk(c *codec, checkpoint []byte, records [][]byte) (map[string]acceptor, error) {
	held := map[string]acceptor{}
	if err := c.decodeCheckpoint(checkpoint, held); err != nil {
		return nil, err
	}
	for _, b := range records {
		r, err := c.decodeRecord(b)
		if err != nil {
			return nil, err
		}
		held[r.Instance] = r.Acceptor
	}
	return held, nil
}

// TestEveryBugHasAScript: each planted bug is shown step by step.
func TestEveryBugHasAScript(t *testing.T) { script.EveryBug(t, "decide") }
