package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/internal/testnode"
)

// cmdStatus runs a program and compares its exit status: status 254 checker test.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// brittle is the checker with a defect: it panics when it is to write the text in
// PANIC_AT, in whatever goroutine that is.
func brittle() {
	crash.Handle(crashed)
	crash.Guard(func() {
		stop := interrupts{gentle: context.Background(), hard: context.Background()}
		at := os.Getenv("PANIC_AT")
		os.Exit(execute(stop, os.Args[1:],
			panicking{Writer: os.Stdout, at: at}, panicking{Writer: os.Stderr, at: at}))
	})()
}

// node is a node that speaks Maelstrom's protocol: see package testnode.
func node() {
	status, _ := testnode.Main()
	os.Exit(status)
}

type panicking struct {
	io.Writer
	at string
}

func (w panicking) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.at) {
		panic("cannot write " + w.at)
	}
	return w.Writer.Write(b)
}

// cmdGone fails while a process with the argument on its command line lives.
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gone TEXT")
	}
	if err := await(20*time.Second, func() bool { return len(processes(args[0])) == 0 }); err != nil {
		ts.Fatalf("still running: %v", processes(args[0]))
	}
}

// cmdKillRun starts the checker with the given arguments, waits until a fault is
// in force and the history grows, and kills it with SIGKILL.
func cmdKillRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: killrun TEXT checker args...")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	ledger := filepath.Join(cmd.Dir, "store", "latest", "ledger.jsonl")
	err := await(30*time.Second, func() bool {
		b, err := os.ReadFile(ledger)
		return err == nil && bytes.Contains(b, []byte(args[0]))
	})
	ts.Check(cmd.Process.Kill())
	_ = cmd.Wait()
	if err != nil {
		ts.Fatalf("the ledger never said %q:\n%s", args[0], out.String())
	}
}

// cmdOccupy listens at a port of the loopback interface until the script ends and
// puts its number into a variable: occupy PORT.
func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
}

// await polls until the condition holds.
func await(limit time.Duration, condition func() bool) error {
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("not within %v", limit)
		}
	}
	return nil
}

// processes returns the command lines that contain the text.
func processes(text string) []string {
	out, err := exec.Command("ps", "-A", "-o", "pid=,stat=,command=").Output()
	if err != nil {
		return []string{"ps: " + err.Error()}
	}
	var found []string
	for _, line := range strings.Split(string(out), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.Contains(line, text) && !strings.HasPrefix(fields[1], "Z") {
			found = append(found, line)
		}
	}
	return found
}

// cmdPack compresses a file: pack gzip|zstd IN OUT.
func cmdPack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: pack gzip|zstd in out")
	}
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if args[0] == "zstd" {
		z, err := zstd.NewWriter(&b)
		ts.Check(err)
		w = z
	}
	_, err := io.WriteString(w, ts.ReadFile(args[1]))
	ts.Check(err)
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b.Bytes(), 0o644))
}
