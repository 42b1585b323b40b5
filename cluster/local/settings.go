package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// clockContent and diskContent are the files of docs/target-api.md.
type clockContent struct {
	Wall      bendContent `json:"wall"`
	Monotonic bendContent `json:"monotonic"`
}

type bendContent struct {
	Offset string   `json:"offset,omitempty"`
	Rate   *float64 `json:"rate,omitempty"`
	Freeze bool     `json:"freeze,omitempty"`
}

type diskContent struct {
	SyncDelay  string `json:"sync_delay,omitempty"`
	SyncErrors int    `json:"sync_errors,omitempty"`
	Full       bool   `json:"full,omitempty"`
	Torn       bool   `json:"torn,omitempty"`
}

func bendFile(b nemesis.Bend) bendContent {
	c := bendContent{Freeze: b.Freeze}
	if b.Offset != 0 {
		c.Offset = b.Offset.String()
	}
	if b.Rate != 0 {
		c.Rate = &b.Rate
	}
	return c
}

// SetClock bends the node's clocks through its clock file. The zero setting takes
// the file away.
func (c *Cluster) SetClock(_ context.Context, n nemesis.Node, s nemesis.ClockSetting) error {
	return c.do("set the clock of", n, func(m *member) error {
		if s == (nemesis.ClockSetting{}) {
			return removeSetting(m.spec.ClockFile)
		}
		return writeSetting(m.spec.ClockFile, clockContent{
			Wall: bendFile(s.Wall), Monotonic: bendFile(s.Monotonic),
		})
	})
}

// SetDisk troubles the node's disk through its disk file. The zero setting takes the
// file away.
func (c *Cluster) SetDisk(_ context.Context, n nemesis.Node, s nemesis.DiskSetting) error {
	return c.do("set the disk of", n, func(m *member) error {
		if s == (nemesis.DiskSetting{}) {
			return removeSetting(m.spec.DiskFile)
		}
		content := diskContent{SyncErrors: s.SyncErrors, Full: s.Full, Torn: s.Torn}
		if s.SyncDelay != 0 {
			content.SyncDelay = s.SyncDelay.Round(time.Microsecond).String()
		}
		return writeSetting(m.spec.DiskFile, content)
	})
}

// writeSetting writes a file by rename, so that nobody reads half of it.
func writeSetting(path string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	next := path + ".next"
	if err := os.WriteFile(next, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func removeSetting(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Undo takes back what a killed harness has done to the files of a run: its settings
// of clocks and disks, and flipped bits. Actions are those of a nemesis.Intent that
// begin with nemesis.UndoClock, UndoDisk or UndoFlip; all others are left to Heal. No
// process of the run may live any more. Calling it again does no harm.
func Undo(dir string, actions []string) error {
	var errs []error
	for _, a := range actions {
		verb, node, _ := strings.Cut(a, " ")
		if strings.ContainsAny(node, "/\\") || node == "" || node == "." || node == ".." {
			continue
		}
		nodeDir := filepath.Join(dir, "nodes", node)
		var err error
		switch verb {
		case nemesis.UndoClock:
			err = removeSetting(filepath.Join(nodeDir, clockFile))
		case nemesis.UndoDisk:
			err = removeSetting(filepath.Join(nodeDir, diskFile))
		case nemesis.UndoFlip:
			err = unflip(nodeDir)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}
