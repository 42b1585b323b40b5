//go:build !unix

package server

import (
	"os"
	"path/filepath"
)

// lockDir only checks that the directory is writable: there is no lock here that
// ends with the process.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}
