//go:build !linux

package agent

import (
	"errors"
	"fmt"
)

// fillDisk fills a filesystem: on Linux only, where the nodes of a test are.
type fillDisk struct {
	Dir   string `json:"dir"`
	Leave int64  `json:"leave"`
	Most  int64  `json:"most"`
}

func (*fillDisk) kind() string { return "fill" }

func (x *fillDisk) prepare(string) error {
	return fmt.Errorf("fill %s: %w", x.Dir, errors.ErrUnsupported)
}

func (x *fillDisk) apply(string) error          { return x.prepare("") }
func (x *fillDisk) undo(string) (string, error) { return "", x.prepare("") }

func (x *fillDisk) status() (VolumeStatus, error) { return VolumeStatus{}, x.prepare("") }
