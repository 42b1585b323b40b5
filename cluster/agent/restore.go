//go:build unix

package agent

import (
	"encoding/json"
	"fmt"
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
	return snapshot(x.Paths, aside)
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
