//go:build unix

package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// restore puts an earlier snapshot in the place of what is there now, as an operator
// does with an old backup.
type restore struct {
	// From is the snapshot's directory.
	From string `json:"from"`

	Paths []string `json:"paths"`
	// Changed is how many files were other than in the snapshot.
	Changed int `json:"changed"`
	// After is the fingerprint of what was put in place; empty while that goes on.
	After string `json:"after"`
}

func (*restore) kind() string { return "restore" }

func (x *restore) prepare(aside string) error {
	text, err := os.ReadFile(filepath.Join(x.From, complete))
	if err != nil {
		return fmt.Errorf("%s is no whole snapshot: %w", x.From, err)
	}
	if err := json.Unmarshal(text, &x.Paths); err != nil {
		return fmt.Errorf("%s: %w", x.From, err)
	}
	if err := snapshot(x.Paths, aside); err != nil {
		return err
	}
	x.Changed, err = differing(x.From, aside)
	return err
}

// differing counts the files that are not the same in two snapshots of the same paths.
func differing(a, b string) (int, error) {
	changed := 0
	for i, tree := range []string{a, b} {
		other := []string{b, a}[i]
		err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || path == filepath.Join(tree, complete) {
				return err
			}
			rel, err := filepath.Rel(tree, path)
			if err != nil {
				return err
			}
			same, there, err := sameContent(path, filepath.Join(other, rel))
			if !there || i == 0 && !same {
				changed++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return changed, nil
}

// sameContent compares two files, of which the second one need not be there.
func sameContent(path, other string) (same, there bool, err error) {
	a, err := os.Open(path)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = a.Close() }()
	b, err := os.Open(other)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, true, err
	}
	defer func() { _ = b.Close() }()
	sums := [2]hash.Hash{sha256.New(), sha256.New()}
	for i, f := range []*os.File{a, b} {
		if _, err := io.Copy(sums[i], f); err != nil {
			return false, true, err
		}
	}
	return bytes.Equal(sums[0].Sum(nil), sums[1].Sum(nil)), true, nil
}

func (x *restore) apply(string) error {
	if x.After != "" {
		return nil
	}
	err := x.put(x.From)
	if err == nil {
		x.After, err = fingerprint(x.Paths)
	}
	return err
}

func (x *restore) put(from string) error {
	for i, path := range x.Paths {
		if err := replaceTree(path, filepath.Join(from, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

// undo puts back what was there, unless the system has gone on from the old state:
// then that is its state.
func (x *restore) undo(aside string) (string, error) {
	begun := filepath.Join(aside, undoing)
	if _, err := os.Lstat(begun); x.After != "" && err != nil {
		now, err := fingerprint(x.Paths)
		if err != nil {
			return "", err
		}
		if now != x.After {
			return "the system went on from the restored files", nil
		}
		// From here on it is this undoing that changes the files.
		if err := writeWhole(begun, nil); err != nil {
			return "", err
		}
	}
	return "", x.put(aside)
}

// undoing is the name of the file that says that an undoing has begun.
const undoing = "undoing"
