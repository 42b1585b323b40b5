//go:build !linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
)

func (x *stall) prepare(string) error {
	return fmt.Errorf("slow volume: %w", errors.ErrUnsupported)
}

func (x *stall) apply(string) error           { return x.prepare("") }
func (x *stall) undo(string) (string, error)  { return "", x.prepare("") }
func (x *stall) status() (StallStatus, error) { return StallStatus{}, x.prepare("") }

func guard(string, string) error { return (&stall{}).prepare("") }

func keepSyncing(string, io.Writer) error { return (&stall{}).prepare("") }

func runStall(context.Context, DaemonConfig, string, func() error) error {
	return (&stall{}).prepare("")
}
