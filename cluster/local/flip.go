package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

func flipPath(nodeDir string) string { return filepath.Join(nodeDir, "flip.json") }

// FlipBit flips a bit in the first half of the newest log of a node that is down.
func (c *Cluster) FlipBit(_ context.Context, n nemesis.Node, place float64) (string, error) {
	var where string
	err := c.do("flip a bit of", n, func(m *member) error {
		if m.current() != nil {
			return errors.New("it runs")
		}
		f, err := damage(m.dir, m.spec.DataDir, place)
		where = f.String()
		return err
	})
	return where, err
}

// Unflip puts the byte back that FlipBit has changed, unless it is no longer there.
func (c *Cluster) Unflip(_ context.Context, n nemesis.Node) error {
	return c.do("put back the bit of", n, func(m *member) error {
		if m.current() != nil {
			return errors.New("it runs")
		}
		return unflip(m.dir)
	})
}

// Wipe takes away all that a node which is down has on its disk.
func (c *Cluster) Wipe(_ context.Context, n nemesis.Node) (int64, error) {
	var lost int64
	err := c.do("wipe the disk of", n, func(m *member) error {
		if m.current() != nil {
			return errors.New("it runs")
		}
		err := filepath.WalkDir(m.spec.DataDir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				lost += info.Size()
			}
			return err
		})
		// The bit that was flipped is gone, too.
		err = errors.Join(err, os.RemoveAll(m.spec.DataDir), removeSetting(flipPath(m.dir)))
		return errors.Join(err, os.MkdirAll(m.spec.DataDir, 0o755))
	})
	return lost, err
}

// damage flips a bit, place of the way from the beginning to the middle of the log.
func damage(nodeDir, dataDir string, place float64) (cluster.Flip, error) {
	logs, err := filepath.Glob(filepath.Join(dataDir, "wal", "log-*"))
	if err != nil || len(logs) == 0 {
		return cluster.Flip{}, errors.Join(nemesis.ErrLogTooSmall, err)
	}
	path := slices.Max(logs) // the numbers have a fixed width
	data, err := os.ReadFile(path)
	if err != nil {
		return cluster.Flip{}, err
	}
	f, err := cluster.NewFlip(filepath.Join("wal", filepath.Base(path)), int64(len(data)), place)
	if err != nil {
		return f, err
	}
	f = f.WithByte(data[f.Offset])
	line, err := f.Line()
	if err != nil {
		return f, err
	}
	if err := writeSetting(flipPath(nodeDir), line); err != nil {
		return f, err
	}
	return f, setByte(path, f.Offset, f.Is)
}

// unflip undoes damage; without a record of it there is nothing to undo.
func unflip(nodeDir string) error {
	record := flipPath(nodeDir)
	text, err := os.ReadFile(record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var f cluster.Flip
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%s: %w", record, err)
	}
	if !filepath.IsLocal(f.Path) {
		return fmt.Errorf("%s: path %q", record, f.Path)
	}
	path := filepath.Join(nodeDir, dataDirName, f.Path)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A log that the node has replaced or cut in the meantime is its own.
	if int64(len(data)) > f.Offset && data[f.Offset] == f.Is {
		if err := setByte(path, f.Offset, f.Was); err != nil {
			return err
		}
	}
	return removeSetting(record)
}

func setByte(path string, offset int64, b byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b}, offset)
	return errors.Join(err, f.Sync(), f.Close())
}
