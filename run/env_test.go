package run

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

func testEnv(t testing.TB) Env {
	return Env{
		Out: io.Discard, Logger: slog.New(slog.DiscardHandler), Version: "test",
		Abort: t.Context(),
	}
}

// awaitText waits until a file contains a text n times.
func awaitText(t *testing.T, path, text string, n int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		b, err := os.ReadFile(path)
		if err == nil && strings.Count(string(b), text) >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("%s never contained %s %d times", path, text, n)
			return
		}
	}
}
