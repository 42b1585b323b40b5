package quorum

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
//	go test ./target/quorum -run TestInteraction -rewrite
//
// and read the difference. Commit it only if you understand what caused it and
// it is what you want.
func TestInteraction(t *testing.T) {
	script.Run(t, script.Options{
		Protocol: "quorum", Object: "register", Describe: Describe, Met: true,
		New: func(cfg protocol.Config, set script.Settings) (protocol.Machine, error) {
			m, err := New(cfg)
			if err == nil {
				m.checkpointEvery = set.Int("checkpoint-every", m.checkpointEvery)
			}
			return m, err
		},
		Record: func(_ protocol.Machine, b []byte) string {
			key, e, err := decodeRecord(b)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%s=%s @%v", key, e.value, e.tag)
		},
		Disk: func(checkpoint []byte, records [][]byte) string {
			held := map[string]entry{}
			if err := decodeCheckpoint(checkpoint, held); err != nil {
				return err.Error()
			}
			for _, r := range records {
				key, e, err := decodeRecord(r)
				if err != nil {
					return err.Error()
				}
				held[key] = e
			}
			var all []string
			for _, key := range slices.Sorted(maps.Keys(held)) {
				all = append(all, fmt.Sprintf("%s=%s @%v", key, held[key].value, held[key].tag))
			}
			return strings.Join(all, " ")
		},
	})
}
