package native

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestShell: root steps down, and reaches what is below a directory of its own all the same.
func TestShell(t *testing.T) {
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, "db")
	script := strings.ReplaceAll(Shell("nobody"), "{{ quote .Bind }}", "0.0.0.0:5432") +
		`own "$1"; $as sh -c 'touch "$0/file" && cat "$0/file" && id -u' "$1"; echo "$host"`
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", script, "sh", dir).CombinedOutput()
	if err != nil && strings.Contains(string(out), "setpriv") {
		t.Skipf("setpriv cannot do it here: %s", out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Fields(string(out))
	if len(lines) != 2 || lines[0] == "0" || lines[1] != "*" {
		t.Errorf("it ran as user %q", out)
	}
}

// TestPlain: what a shell would take apart is refused.
func TestPlain(t *testing.T) {
	v := Values{"bin": "/opt/pg 15/bin", "user": "me", "cp": "/a/*:/b"}
	if err := Plain(v, "user", "cp"); err != nil {
		t.Error(err)
	}
	if err := Plain(v, "bin", "user"); !errors.Is(err, ErrSettings) ||
		!strings.Contains(err.Error(), `bin="/opt/pg 15/bin"`) {
		t.Error(err)
	}
}
