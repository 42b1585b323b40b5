package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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

// BuildTarget builds cmd/target of the sources around the working directory.
func BuildTarget(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build target: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, executable("target")))
	if err != nil {
		return "", fmt.Errorf("build target: %w", err)
	}
	// Built under another name and renamed, so that a build beside a running
	// test never touches the program that its nodes are restarted from.
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
