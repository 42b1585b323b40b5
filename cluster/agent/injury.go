package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// injury is something done to a node that can be taken back. All its calls can be made
// again when nobody knows whether they were made.
type injury interface {
	// kind names it in a record.
	kind() string
	// prepare looks at what is to be injured and notes what undoing takes; what is
	// large goes into a file or directory at aside.
	prepare(aside string) error
	// apply does it, also when it is done in part already.
	apply(aside string) error
	// undo takes it back. Why says, if not empty, that something was left as it is,
	// because the system has made it its own in the meantime.
	undo(aside string) (why string, err error)
}

// record is an injury on disk, written before it is done. What it was asked for with
// tells a repeated call from another injury.
type record struct {
	Kind   string          `json:"kind"`
	Asked  json.RawMessage `json:"asked"`
	Injury json.RawMessage `json:"injury"`
}

// Undone is the result of an undo.
type Undone struct {
	// Found is false when there is no record: nothing was done, or all is undone.
	Found bool   `json:"found"`
	Kind  string `json:"kind,omitempty"`
	// Left says what was left as it is, and why.
	Left string `json:"left,omitempty"`
}

const asideSuffix = ".aside"

func aside(path string) string { return path + asideSuffix }

// adjustable is an injury of which a part can be set anew, by the same command.
type adjustable interface {
	// identity is the injury without that part.
	identity() any
	// adjust keeps that part while the rest is read from the record.
	adjust(read func() error) error
}

// askedFor is what tells a repeated call from another injury.
func askedFor(in injury) ([]byte, error) {
	if a, ok := in.(adjustable); ok {
		return json.Marshal(a.identity())
	}
	return json.Marshal(in)
}

// recall reads what was recorded of an injury that is asked for again.
func recall(old record, in injury) error {
	read := func() error { return json.Unmarshal(old.Injury, in) }
	if a, ok := in.(adjustable); ok {
		return a.adjust(read)
	}
	return read()
}

// inflict writes the record of an injury and does it. With a record of the same one
// it finishes that. In is then as it was recorded.
func inflict(path string, in injury) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%w: record %q is not an absolute path", ErrUsage, path)
	}
	asked, err := askedFor(in)
	if err != nil {
		return err
	}
	old, err := readRecord(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := in.prepare(aside(path)); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", in.kind(), err), os.RemoveAll(aside(path)))
		}
		if err := saveRecord(path, asked, in); err != nil {
			return errors.Join(fmt.Errorf("record %s: %w", in.kind(), err), os.RemoveAll(aside(path)))
		}
	case err != nil:
		return err
	case old.Kind != in.kind() || !bytes.Equal(old.Asked, asked):
		return fmt.Errorf("%s is the record of something else: %s %s", path, old.Kind, old.Asked)
	default:
		if err := recall(old, in); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	if err := in.apply(aside(path)); err != nil {
		return fmt.Errorf("%s: %w", in.kind(), err)
	}
	// What apply has learned belongs to the record, too.
	err = saveRecord(path, asked, in)
	if _, full := in.(*fillDisk); full && outOfSpace(err) {
		// The record is on the volume that was filled. Undoing needs no more than what was
		// written down before.
		return nil
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", in.kind(), err)
	}
	return nil
}

func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func saveRecord(path string, asked []byte, in injury) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return writeJSON(path, record{Kind: in.kind(), Asked: asked, Injury: text})
}

func readRecord(path string) (record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// read returns the injury of a record.
func (r record) read(path string) (injury, error) {
	for _, in := range []injury{
		&flipBit{}, &truncate{}, &restore{}, &fillDisk{}, &limitCPU{}, &limitMemory{}, &skew{},
		&volume{}, &stall{}, &limitWrites{},
	} {
		if in.kind() != r.Kind {
			continue
		}
		if err := json.Unmarshal(r.Injury, in); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return in, nil
	}
	return nil, fmt.Errorf("%s: unknown kind %q", path, r.Kind)
}

// Undo takes back the injury of a record, and removes the record. Without a record
// there is nothing to do.
func Undo(path string) (Undone, error) {
	r, err := readRecord(path)
	if errors.Is(err, fs.ErrNotExist) {
		// What a killed call has put aside before it wrote its record.
		return Undone{}, os.RemoveAll(aside(path))
	}
	if err != nil {
		return Undone{}, err
	}
	u := Undone{Found: true, Kind: r.Kind}
	in, err := r.read(path)
	if err != nil {
		return u, err
	}
	if u.Left, err = in.undo(aside(path)); err != nil {
		return u, fmt.Errorf("undo %s: %w", r.Kind, err)
	}
	return u, errors.Join(remove(path), os.RemoveAll(aside(path)), syncDir(filepath.Dir(path)))
}
