package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/run"
)

// TestServe: the address is told, answers come from there, and an interrupt ends it, also
// while somebody watches a run.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "test", "1")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"test.json": `{"name":"test","system":"s","nodes":["n1"]}`, "live.json": `{"phase":"x"}`,
	} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	status := make(chan int, 1)
	go func() {
		status <- execute(interrupts{gentle: ctx, hard: t.Context()},
			[]string{"serve", "--store", dir, "--bind", "127.0.0.1:0"}, in, io.Discard)
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(line)
	answer, err := http.Get(url + "/api/v1/runs")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(body), `"state":"running"`) {
		t.Errorf("%v %s", err, body)
	}
	_ = answer.Body.Close()
	watching, err := http.Get(url + "/api/v1/runs/test/1/events")
	if err != nil || watching.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", watching, err)
	}
	defer watching.Body.Close()
	interrupt()
	select {
	case got := <-status:
		if got != exitValid {
			t.Errorf("status %d", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

func TestServeRefuses(t *testing.T) {
	stop := interrupts{gentle: t.Context(), hard: t.Context()}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "--store", "nowhere"}, "a test makes one"},
		{[]string{"serve", "--store", t.TempDir(), "--bind", "nonsense"}, "serve: listen"},
		{[]string{"serve", "x"}, "takes no arguments"},
	} {
		var said strings.Builder
		if got := execute(stop, c.args, io.Discard, &said); got != exitUsage ||
			!strings.Contains(said.String(), c.want) {
			t.Errorf("%v: status %d, %s", c.args, got, said.String())
		}
	}
}

// TestStepSummary: the page of a build's step gets the outcome, one after another.
func TestStepSummary(t *testing.T) {
	dir := t.TempDir()
	step, summary := filepath.Join(dir, "step.md"), filepath.Join(dir, "summary.md")
	if err := os.WriteFile(summary, []byte("## outcome\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	std := streams{out: io.Discard, err: &said}
	t.Setenv(summaryVariable, "")
	tellStep(std, run.Outcome{Summary: summary})
	t.Setenv(summaryVariable, step)
	tellStep(std, run.Outcome{})
	tellStep(std, run.Outcome{Summary: summary})
	tellStep(std, run.Outcome{Summary: summary})
	if b, err := os.ReadFile(step); err != nil || string(b) != "## outcome\n\n## outcome\n\n" {
		t.Errorf("%q, %v", b, err)
	}
	tellStep(std, run.Outcome{Summary: filepath.Join(dir, "none")})
	if !strings.Contains(said.String(), summaryVariable) {
		t.Errorf("said %q", said.String())
	}
}
