package maelstrom

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// DataVariable is the environment variable by which a node is told a directory of its own,
// which outlives its process. Maelstrom itself has no such thing.
const DataVariable = "ORDEAL_DATA"

// Command is the command line that runs a program as a node. Nodes get no arguments, but
// their process has to be known by the data directory: so it stands on the command line of
// a shell, which stays beside the node and ends with it.
func Command(program, dataDir string) []string {
	return []string{"sh", "-c", DataVariable + `="$1" "$0"; exit $?`, program, dataDir}
}

// Program finds a program as a shell would, and returns its path.
func Program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the nodes' program: %w", err)
	}
	return filepath.Abs(path)
}

// Version tells programs apart: where it was, and the beginning of its hash.
func Version(path string) (_ string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the nodes' program: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("the nodes' program: %w", err)
	}
	return fmt.Sprintf("%s, sha256 %x", path, h.Sum(nil)[:8]), nil
}
