package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// SetClock bends the node's clocks through its clock file. The zero setting takes
// the file away.
func (c *Cluster) SetClock(_ context.Context, n nemesis.Node, s nemesis.ClockSetting) error {
	return c.do("set the clock of", n, func(m *member) error {
		content, err := cluster.ClockFile(s)
		if err != nil {
			return err
		}
		return writeSetting(m.spec.ClockFile, content)
	})
}

// SetDisk troubles the node's disk through its disk file. The zero setting takes the
// file away.
func (c *Cluster) SetDisk(_ context.Context, n nemesis.Node, s nemesis.DiskSetting) error {
	return c.do("set the disk of", n, func(m *member) error {
		content, err := cluster.DiskFile(s)
		if err != nil {
			return err
		}
		return writeSetting(m.spec.DiskFile, content)
	})
}

// writeSetting writes a file by rename, so that nobody reads half of it; without
// content it removes it.
func writeSetting(path string, content []byte) error {
	if content == nil {
		return removeSetting(path)
	}
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o644); err != nil {
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
