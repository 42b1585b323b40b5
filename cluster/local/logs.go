package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// keepLogs copies the nodes' own logs into the store. What is in a node's directory is
// there already.
func (c *Cluster) keepLogs() error {
	if c.cfg.Logs == nil {
		return nil
	}
	var errs []error
	for _, m := range c.members {
		for _, pattern := range c.cfg.Logs(m.spec) {
			found, err := filepath.Glob(pattern)
			if err != nil {
				errs = append(errs, fmt.Errorf("logs of %s: %s: %w", m.name, pattern, err))
			}
			for _, path := range found {
				if !strings.HasPrefix(path, m.dir+string(filepath.Separator)) {
					errs = append(errs, keepLog(path, filepath.Join(m.dir, "logs")))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// keepLog copies a file into a directory.
func keepLog(path, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(filepath.Join(dir, filepath.Base(path)))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
