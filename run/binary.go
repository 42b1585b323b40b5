package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ordeal-dev/ordeal/systems"
)

// BuildDir is where programs are built when none is found: the user's cache.
func BuildDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "ordeal")
}

const (
	modulePath    = "github.com/ordeal-dev/ordeal"
	targetPackage = modulePath + "/cmd/target"
)

// ErrTarget is returned for a program that was named and cannot be run.
var ErrTarget = errors.New("target program")

// FindTarget returns the program of the reference cluster's nodes: the one that
// was named, the one beside this program, one built from the sources that the
// working directory belongs to, or the one in PATH, in this order. A program
// that it builds goes into buildDir. With a name that leads to no program it fails
// with ErrTarget.
func FindTarget(ctx context.Context, named, buildDir string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("%w %s: %w", ErrTarget, named, err)
		}
		return filepath.Abs(path)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), executable("target"))
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	if inSources(ctx) {
		return BuildTarget(ctx, buildDir)
	}
	path, err := exec.LookPath("target")
	if err != nil {
		return "", errors.New("the program of the reference cluster's nodes was not found: " +
			"run from a checkout of the sources, put `target` beside `checker`, " +
			"or name it with --target")
	}
	return path, nil
}

// findTarget returns the program of the nodes, "" where they need none that is the
// project's own.
func (c Config) findTarget(ctx context.Context) (string, error) {
	if systems.IsDeclared(c.System) || c.System == systems.Maelstrom || !c.starts() {
		return "", nil
	}
	return FindTarget(ctx, c.Target, BuildDir())
}

// BuildTarget builds cmd/target of the sources around the working directory.
func BuildTarget(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build target: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, executable("target")))
	if err != nil {
		return "", fmt.Errorf("build target: %w", err)
	}
	// Built under another name and renamed, so that nobody takes half a program.
	// A test that runs already keeps the old one: see takeProgram.
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.CommandContext(ctx, "go", "build", "-o", temporary, targetPackage)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build target: %w\n%s", err, strings.TrimSpace(out.String()))
	}
	if err := os.Rename(temporary, path); err != nil {
		return "", errors.Join(fmt.Errorf("build target: %w", err), removeFile(temporary))
	}
	return path, nil
}

// programFile is the name of a run's own program in its directory.
const programFile = "target"

// takeProgram puts the program of a node into the run's directory and returns its path
// there. All nodes are started and restarted from it, so that what is built or
// installed while the test runs does not become part of it. Processes are known by
// their data directory, not by their program.
func takeProgram(program, dir string) (string, error) {
	own, err := filepath.Abs(filepath.Join(dir, executable(programFile)))
	if err != nil {
		return "", fmt.Errorf("take %s: %w", program, err)
	}
	// A link to a symbolic link would follow where that one is led next.
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", fmt.Errorf("take %s: %w", program, err)
	}
	if os.Link(real, own) == nil {
		return own, nil
	}
	// Another file system, or a file that is not ours to link.
	if err := copyProgram(real, own); err != nil {
		return "", fmt.Errorf("take %s: %w", program, errors.Join(err, removeFile(own)))
	}
	return own, nil
}

// copyProgram copies a program to a path that must not exist.
func copyProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// removeProgram removes the run's own program, if it is there.
func removeProgram(dir string) error {
	if err := removeFile(filepath.Join(dir, executable(programFile))); err != nil {
		return fmt.Errorf("remove the nodes' program: %w", err)
	}
	return nil
}

// inSources reports whether the go command, run here, knows the target.
func inSources(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	return err == nil && strings.TrimSpace(string(out)) == modulePath
}

func executable(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
