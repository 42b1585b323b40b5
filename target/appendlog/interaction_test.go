package appendlog

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/script"
)

// TestInteraction runs the scripts in testdata: who says what to whom, in an
// order that the script decides. If it fails, run
//
//	go test ./target/appendlog -run TestInteraction -rewrite
//
// and read the difference. Commit it only if you understand what caused it and
// it is what you want.
func TestInteraction(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	script.Run(t, script.Options{
		Protocol: "appendlog", Object: "log", Describe: Describe,
		New: func(cfg protocol.Config, _ script.Settings) (protocol.Machine, error) {
			return New(cfg)
		},
		Record: func(_ protocol.Machine, b []byte) string {
			e, err := c.decodeElement(b)
			if err != nil {
				return err.Error()
			}
			return e.String()
		},
		Disk: func(checkpoint []byte, records [][]byte) string {
			es, err := c.decodeCheckpoint(checkpoint)
			if err != nil {
				return err.Error()
			}
			for _, b := range records {
				e, err := c.decodeElement(b)
				if err != nil {
					return err.Error()
				}
				es = append(es, e)
			}
			var all []string
			for _, e := range es {
				all = append(all, e.String())
			}
			return strings.Join(all, " ")
		},
	})
}

// TestEveryBugHasAScript: each planted bug is shown step by step.
func TestEveryBugHasAScript(t *testing.T) { script.EveryBug(t, "appendlog") }
