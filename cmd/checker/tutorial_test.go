package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// lesson is a block of commands of the tutorial, and the lines that they have to print.
type lesson struct{ commands, prints string }

var block = regexp.MustCompile("(?s)```(sh|text)\n(.*?)```")

// lessons reads the tutorial.
func lessons(t *testing.T) []lesson {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "TUTORIAL.md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []lesson
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "sh" {
			out = append(out, lesson{commands: m[2]})
			continue
		}
		out[len(out)-1].prints += m[2]
	}
	return out
}

// TestTutorial runs every command of docs/TUTORIAL.md, word for word, in one shell, and
// compares what the page says that they print.
func TestTutorial(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("the tutorial's store is in Python, and there is no python3")
	}
	longtest.Only(t)
	t.Parallel()
	all := lessons(t)
	if len(all) < 6 {
		t.Fatalf("the tutorial has only %d blocks of commands", len(all))
	}
	const mark = "=== end of block"
	var script strings.Builder
	script.WriteString("set -e\n")
	for i, l := range all {
		fmt.Fprintf(&script, "%s\necho '%s %d'\n", l.commands, mark, i)
	}
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	rest := string(out)
	for i, l := range all {
		said, after, ok := strings.Cut(rest, fmt.Sprintf("%s %d\n", mark, i))
		if !ok {
			t.Fatalf("block %d has no end:\n%s", i, rest)
		}
		rest = after
		for line := range strings.Lines(l.prints) {
			if !strings.Contains("\n"+said, "\n"+line) {
				t.Errorf("block %d did not print %q but:\n%s", i, line, said)
			}
		}
	}
}
