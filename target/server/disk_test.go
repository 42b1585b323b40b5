package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wal"
)

// TestDiskFile troubles the disk of a running node: a slow one only delays, a full
// or a broken one ends it.
func TestDiskFile(t *testing.T) {
	for _, tc := range []struct {
		setting, counter, answer string
		err                      error
	}{
		{`{"sync_delay":"20ms"}`, "disk_delayed_syncs", "200 ok null", nil},
		{`{"torn":true}`, "disk_torn_writes", "200 ok null", nil},
		{`{"sync_errors":1}`, "", "200 info  shutting-down", wal.ErrLostPages},
		{`{"full":true}`, "", "200 info  shutting-down", syscall.ENOSPC},
	} {
		t.Run(tc.setting, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "disk")
			n := start(t, func(cfg *Config) { cfg.DiskFile = file })
			expect(t, "write", n.op(writeOp("1")), "200 ok null")
			if err := os.WriteFile(file, []byte(tc.setting), 0o644); err != nil {
				t.Fatal(err)
			}
			await(t, "the setting is logged", func() bool {
				return strings.Contains(n.log.String(), "disk set")
			})
			expect(t, "write", n.op(writeOp("2")), tc.answer)
			if tc.err == nil {
				if n.counter(tc.counter) == 0 {
					t.Errorf("%s is 0", tc.counter)
				}
				return
			}
			<-n.stopped // by itself
			if err := n.stop(); !errors.Is(err, tc.err) {
				t.Errorf("node ended with %v, want %v", err, tc.err)
			}
			// While the disk is like this, the node does not come up again.
			if _, err := Open(t.Context(), n.cfg); !errors.Is(err, tc.err) {
				t.Errorf("started again with %v, want %v", err, tc.err)
			}
		})
	}
}

func TestParseDisk(t *testing.T) {
	want := wal.Trouble{SyncDelay: time.Second, SyncErrors: 2, Full: true, Torn: true}
	got, err := ParseDisk([]byte(`{"sync_delay":"1s","sync_errors":2,"full":true,"torn":true}`))
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{`{`, `{"ful":true}`, `{"sync_delay":"1"}`,
		`{"sync_delay":"11s"}`, `{"sync_errors":-1}`} {
		if got, err := ParseDisk([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

// mender is a toy that knows how to go on from a damaged log.
type mender struct {
	*toy
	damaged bool
}

func (m *mender) Ready() protocol.Ready {
	r := m.toy.Ready()
	r.Repaired, m.damaged = m.damaged, false
	return r
}

// TestSalvage gives a damaged log to a protocol that can repair it, once.
func TestSalvage(t *testing.T) {
	disk := wal.NewMem()
	var starts []bool
	n := start(t, func(cfg *Config) {
		cfg.fs, cfg.Salvages = disk, true
		cfg.New = func(c protocol.Config) (protocol.Machine, error) {
			starts = append(starts, c.Damaged)
			m, err := newToy(c)
			if err != nil {
				return nil, err
			}
			return &mender{toy: m.(*toy), damaged: c.Damaged}, nil
		}
	})
	for i := range toyCheckpointEvery - 1 {
		expect(t, "write", n.op(writeOp(fmt.Sprint(i))), "200 ok null")
	}
	cfg := n.cfg
	n.stop()
	disk.Corrupt(filepath.Join(cfg.DataDir, "wal", "log-0000000000000000"),
		func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	for range 2 {
		again := start(t, func(c *Config) { *c = cfg })
		expect(t, "write", again.op(writeOp("9")), "200 ok null")
		again.stop()
	}
	if fmt.Sprint(starts) != "[false true false]" {
		t.Errorf("damaged at the starts: %v", starts)
	}
}
