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

	"github.com/ordeal-dev/ordeal/nemesis"
)

// leastLog is the size of a log that is worth damaging: what stands in its first half
// is then surely followed by more.
const leastLog = 8 << 10

// flip is written down, beside the node's data, before the bit is flipped.
type flip struct {
	// Path is that of the log, below the node's data directory.
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	// Was and Is are the byte before and after.
	Was byte `json:"was"`
	Is  byte `json:"is"`
}

func flipPath(nodeDir string) string { return filepath.Join(nodeDir, "flip.json") }

// FlipBit flips a bit in the first half of the newest log of a node that is down.
func (c *Cluster) FlipBit(_ context.Context, n nemesis.Node, place float64) (string, error) {
	var where string
	err := c.do("flip a bit of", n, func(m *member) error {
		if m.current() != nil {
			return errors.New("it runs")
		}
		f, err := damage(m.dir, m.spec.DataDir, place)
		where = fmt.Sprintf("byte %d of %s", f.Offset, f.Path)
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

// damage flips a bit, place of the way from the beginning to the middle of the log.
func damage(nodeDir, dataDir string, place float64) (flip, error) {
	logs, err := filepath.Glob(filepath.Join(dataDir, "wal", "log-*"))
	if err != nil || len(logs) == 0 {
		return flip{}, errors.Join(nemesis.ErrLogTooSmall, err)
	}
	path := slices.Max(logs) // the numbers have a fixed width
	data, err := os.ReadFile(path)
	if err != nil {
		return flip{}, err
	}
	if len(data) < leastLog {
		return flip{}, fmt.Errorf("%w: %d bytes", nemesis.ErrLogTooSmall, len(data))
	}
	f := flip{
		Path: filepath.Join("wal", filepath.Base(path)), Offset: int64(place * float64(len(data)/2)),
	}
	f.Was = data[f.Offset]
	f.Is = f.Was ^ 1<<(f.Offset%8)
	if err := writeSetting(flipPath(nodeDir), f); err != nil {
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
	var f flip
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
