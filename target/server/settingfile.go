package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/ordeal-dev/ordeal/target/wal"
)

const (
	settingPoll    = 50 * time.Millisecond
	maxSettingFile = 64 << 10
)

// settingFile follows a file through which a node is troubled from outside: its
// clock or its disk. It compares the content, not the time of modification: two
// writes can fall into one tick of the file system.
type settingFile struct {
	what, path string
	// set takes over what the file says; an error leaves the last one in force.
	set  func(content []byte) error
	log  *slog.Logger
	seen []byte
}

func (n *Node) clockFile() *settingFile {
	return &settingFile{what: "clock", path: n.cfg.ClockFile, log: n.log,
		set: func(content []byte) error {
			s, err := ParseSetting(content)
			if err == nil {
				n.clock.Set(s)
			}
			return err
		},
	}
}

// followDisk reads the disk's file once, before the disk is used, if there is one.
func (n *Node) followDisk() {
	if n.cfg.DiskFile == "" {
		return
	}
	n.diskFile = &settingFile{what: "disk", path: n.cfg.DiskFile, log: n.log,
		set: func(content []byte) error {
			t, err := ParseDisk(content)
			if err == nil {
				n.disk.Set(t)
			}
			return err
		},
	}
	n.diskFile.poll()
}

// watch polls until the context ends.
func (f *settingFile) watch(ctx context.Context) {
	tick := time.NewTicker(settingPoll)
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
// the last one in force, as it may be half written; a missing file is no trouble.
func (f *settingFile) poll() {
	content, err := readLimited(f.path, maxSettingFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn(f.what+" file not read", "error", err)
		return
	}
	if bytes.Equal(content, f.seen) {
		return
	}
	f.seen = content
	if err := f.set(content); err != nil {
		f.log.Warn(f.what+" setting refused, the last one stays", "error", err)
		return
	}
	f.log.Info(f.what+" set", "setting", string(bytes.TrimSpace(content)))
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

// diskSetting is the content of the disk file.
type diskSetting struct {
	SyncDelay  string `json:"sync_delay"`
	SyncErrors int    `json:"sync_errors"`
	Full       bool   `json:"full"`
	Torn       bool   `json:"torn"`
}

// maxSyncDelay bounds what a disk file may ask for, so that a node can be stopped.
const maxSyncDelay = 10 * time.Second

// ParseDisk reads a disk file; an empty one is a healthy disk.
func ParseDisk(content []byte) (wal.Trouble, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return wal.Trouble{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	var s diskSetting
	if err := d.Decode(&s); err != nil {
		return wal.Trouble{}, fmt.Errorf("parse disk setting: %w", err)
	}
	t := wal.Trouble{SyncErrors: s.SyncErrors, Full: s.Full, Torn: s.Torn}
	if s.SyncDelay != "" {
		var err error
		if t.SyncDelay, err = time.ParseDuration(s.SyncDelay); err != nil {
			return wal.Trouble{}, fmt.Errorf("parse disk setting: sync_delay: %w", err)
		}
	}
	if t.SyncDelay < 0 || t.SyncDelay > maxSyncDelay || t.SyncErrors < 0 {
		return wal.Trouble{}, fmt.Errorf("parse disk setting: sync_delay %v, sync_errors %d: "+
			"want 0 to %v, and 0 or more", t.SyncDelay, t.SyncErrors, maxSyncDelay)
	}
	return t, nil
}
