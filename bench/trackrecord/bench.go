package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// bench is what runs need: the checker's program, and where the systems' programs are.
type bench struct {
	checker  string
	store    string
	temp     string
	programs map[string]string // of builds, by their names
}

// prepare builds the checker and makes sure that all systems of the rows are there.
func prepare(ctx context.Context, o options, chosen []row) (*bench, error) {
	temp, err := os.MkdirTemp("", "trackrecord")
	if err != nil {
		return nil, err
	}
	store, err := filepath.Abs(o.store)
	if err != nil {
		return nil, err
	}
	b := &bench{
		checker: filepath.Join(temp, "checker"), store: store, temp: temp,
		programs: map[string]string{},
	}
	if err := command(ctx, "", "go", "build", "-o", b.checker, "./cmd/checker"); err != nil {
		b.close()
		return nil, fmt.Errorf("build the checker (run this in a checkout of the sources): %w", err)
	}
	var packages []string
	for _, r := range chosen {
		for _, p := range r.packages {
			if _, err := os.Stat(p.shows); err != nil && !slices.Contains(packages, p.name) {
				packages = append(packages, p.name)
			}
		}
		for _, p := range r.builds {
			if b.programs[p.name], err = p.build(ctx, o.cache); err != nil {
				b.close()
				return nil, err
			}
		}
	}
	if len(packages) > 0 && !o.install {
		b.close()
		return nil, fmt.Errorf("not installed: %s", strings.Join(packages, " "))
	}
	if len(packages) > 0 {
		fmt.Fprintln(os.Stderr, "installing", strings.Join(packages, " "))
		if err := install(ctx, packages); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

// install installs packages of Debian.
func install(ctx context.Context, packages []string) error {
	args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)
	err := command(ctx, "", "apt-get", args...)
	if err == nil {
		return nil
	}
	// The list of packages may be old, or not there at all.
	return errors.Join(command(ctx, "", "apt-get", "update", "-qq"),
		command(ctx, "", "apt-get", args...))
}

func (b *bench) close() { _ = os.RemoveAll(b.temp) }

// outcome is what became of one run.
type outcome struct {
	row, side string
	seed      uint64
	verdict   check.Verdict
	reason    string
	witness   time.Duration // 0: none
	asStated  bool
	dir       string
}

func (o outcome) mark() string {
	if o.asStated {
		return "ok"
	}
	return "DIFFERS"
}

// arguments are those of checker test, without seed and store.
func (s side) arguments(r row) []string {
	args := []string{"test", "--cluster", "netns", "-n", strconv.Itoa(r.nodes)}
	args = append(args, r.args...)
	return append(args, s.args...)
}

// run makes one run.
func (b *bench) run(ctx context.Context, r row, s side, seed uint64) (outcome, error) {
	out := outcome{row: r.name, side: s.name, seed: seed}
	args := s.arguments(r)
	schedule := filepath.Join(b.temp, "schedule.jsonl")
	if err := os.WriteFile(schedule, []byte(r.schedule+"\n"), 0o644); err != nil {
		return out, err
	}
	for i, a := range args {
		a = strings.ReplaceAll(a, "$schedule", schedule)
		for name, path := range b.programs {
			a = strings.ReplaceAll(a, "$"+name, path)
		}
		args[i] = a
	}
	store := filepath.Join(b.store, r.slug())
	args = append(args, "--seed", strconv.FormatUint(seed, 10), "--store", store)
	cmd := exec.CommandContext(ctx, b.checker, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) {
		return out, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.String())
	}
	if out.dir, err = filepath.EvalSymlinks(filepath.Join(store, "latest")); err != nil {
		return out, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	data, err := os.ReadFile(filepath.Join(out.dir, "results.json"))
	if err != nil {
		return out, err
	}
	var result check.Result
	if err := json.Unmarshal(data, &result); err != nil {
		return out, fmt.Errorf("%s: %w", out.dir, err)
	}
	out.judge(s, result)
	return out, nil
}

// judge compares a result with what a side is to show: the verdict, and the anomaly by
// its name, told by the checker that is to tell it.
func (o *outcome) judge(s side, result check.Result) {
	o.verdict, o.reason = result.Verdict, result.Reason
	o.asStated = result.Verdict == s.verdict
	if s.verdict != check.Invalid {
		return
	}
	found := find(result, s.checker)
	o.asStated = o.asStated && found != nil && mentions(*found, s.anomaly)
	if found != nil {
		o.reason = found.Reason
		o.witness, _ = check.FirstWitness(*found)
	}
}

// find returns the invalid result of a checker, wherever it is.
func find(r check.Result, checker string) *check.Result {
	if r.Name == checker && r.Verdict == check.Invalid && len(r.Parts) == 0 {
		return &r
	}
	for _, p := range r.Parts {
		if found := find(p, checker); found != nil {
			return found
		}
	}
	if r.Name == checker && r.Verdict == check.Invalid {
		return &r
	}
	return nil
}

// mentions reports whether a result names an anomaly.
func mentions(r check.Result, anomaly string) bool {
	return slices.ContainsFunc(strings.Split(anomaly, " or "), func(name string) bool {
		return strings.Contains(r.Reason, name) ||
			slices.ContainsFunc(r.Counterexamples, func(c check.Counterexample) bool {
				return strings.Contains(c.Why, name)
			})
	})
}

// command runs a program and returns what it said if it failed.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err,
			strings.TrimSpace(string(out)))
	}
	return nil
}
