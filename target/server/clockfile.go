package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

const (
	clockPoll    = 50 * time.Millisecond
	maxClockFile = 64 << 10
)

// clockFile follows the file that bends a clock. It compares the content, not the
// time of modification: two writes can fall into one tick of the file system.
type clockFile struct {
	path  string
	clock *Clock
	log   *slog.Logger
	seen  []byte
}

// watch polls until the context ends.
func (f *clockFile) watch(ctx context.Context) {
	tick := time.NewTicker(clockPoll)
	defer tick.Stop()
	for {
		f.poll()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// poll takes over a changed setting. A file that cannot be read or parsed leaves
// the last one in force, as it may be half written; a missing file is a true clock.
func (f *clockFile) poll() {
	content, err := readLimited(f.path, maxClockFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("clock file not read", "error", err)
		return
	}
	if bytes.Equal(content, f.seen) {
		return
	}
	f.seen = content
	s, err := ParseSetting(content)
	if err != nil {
		f.log.Warn("clock setting refused, the last one stays", "error", err)
		return
	}
	f.clock.Set(s)
	f.log.Info("clock set", "setting", string(bytes.TrimSpace(content)))
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}
