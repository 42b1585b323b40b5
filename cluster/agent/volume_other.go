//go:build !linux

package agent

import (
	"errors"
	"fmt"
)

func (x *volume) prepare(string) error {
	return fmt.Errorf("volume for %s: %w", x.Dir, errors.ErrUnsupported)
}

func (x *volume) apply(string) error          { return x.prepare("") }
func (x *volume) undo(string) (string, error) { return "", x.prepare("") }
