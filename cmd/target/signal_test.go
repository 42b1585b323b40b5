//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
)

func TestTerminate(t *testing.T) {
	s := startServing(t)
	s.stdin.Close() // without the flag this means nothing
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
}
