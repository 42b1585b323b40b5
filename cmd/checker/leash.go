package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// leashFlag is how a soak holds its runs: each has the end of a pipe as its standard input,
// and when the soak dies, however it does, the operating system lets go of the other.
func leashFlag(cmd *cobra.Command, leash *bool) {
	cmd.Flags().BoolVar(leash, "leash", false, "heal and end when standard input ends")
	// It fails only without a flag of that name.
	_ = cmd.Flags().MarkHidden("leash")
}

// leashed are interrupts that come when standard input ends, too, both at once: nobody is
// left who would want a verdict. What was injected is healed all the same.
func leashed(stop interrupts, leash bool) interrupts {
	if !leash {
		return stop
	}
	gentle, end := context.WithCancel(stop.gentle)
	hard, abort := context.WithCancel(stop.hard)
	crash.Go(func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
		end()
		abort()
	})
	return interrupts{gentle: gentle, hard: hard}
}
