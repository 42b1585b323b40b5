// Command linear measures what deciding linearizability costs, by Porcupine and by the
// engines of package check, on histories that it generates: clients that call one
// operation after the other, half of them reads, on one or many keys; some writes are
// never answered, and where the history is to be bad the last read is stale. It prints
// a table in Markdown:
//
//	go run ./bench/linear
//	go run ./bench/linear -only clients=30
//
// Every measurement is a process of its own, bounded in time and memory, so that one
// cannot hurt the other. Time is CPU time of user and system, for a history that is in
// memory; memory is by how much the heap grew beyond it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "linear:", err)
		os.Exit(1)
	}
}

// limits bound one measurement.
type limits struct {
	Time   time.Duration
	Memory int64 // bytes
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("linear", flag.ContinueOnError)
	var l limits
	flags.DurationVar(&l.Time, "time", 30*time.Second, "limit of CPU time of one measurement")
	flags.Int64Var(&l.Memory, "memory", 3<<30, "limit of one measurement, in bytes")
	only := flags.String("only", "", "rows whose description has this text")
	one := flags.String("one", "", "measure one shape, given as JSON, with -engine")
	engine := flags.String("engine", "auto", "what decides it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *one != "" {
		var s shape
		if err := json.Unmarshal([]byte(*one), &s); err != nil {
			return fmt.Errorf("shape: %w", err)
		}
		f, err := measure(ctx, s, *engine, l)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(f)
	}
	return table(ctx, out, *only, l)
}

// table measures every shape with Porcupine and with ours.
func table(ctx context.Context, out io.Writer, only string, l limits) error {
	if err := describe(out, l); err != nil {
		return err
	}
	for _, s := range shapes() {
		if !strings.Contains(s.String(), only) {
			continue
		}
		theirs, err := apart(ctx, s, "porcupine", l)
		if err != nil {
			return err
		}
		ours, err := apart(ctx, s, "auto", l)
		if err != nil {
			return err
		}
		if err := row(out, s, theirs, ours, l); err != nil {
			return err
		}
	}
	return nil
}

// apart measures in a process of its own.
func apart(ctx context.Context, s shape, engine string, l limits) (figure, error) {
	program, err := os.Executable()
	if err != nil {
		return figure{}, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return figure{}, err
	}
	// The limits are kept by the process itself; this is for one that hangs.
	ctx, cancel := context.WithTimeout(ctx, 40*l.Time+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-one", string(text), "-engine", engine,
		"-time", l.Time.String(), "-memory", fmt.Sprint(l.Memory))
	var f figure
	printed, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return f, fmt.Errorf("%s by %s: %w: %s", s, engine, err, exit.Stderr)
	} else if err != nil {
		return f, fmt.Errorf("%s by %s: %w", s, engine, err)
	}
	if err := json.Unmarshal(printed, &f); err != nil {
		return f, fmt.Errorf("%s by %s: %w", s, engine, err)
	}
	return f, nil
}
