//go:build unix

package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// copyTree copies a file or directory to a path where nothing is, with modes, owners
// (as far as allowed) and symbolic links, and makes it durable. Sockets, pipes and
// devices are left out: they are of processes that run, not of data.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyOne(path, filepath.Join(to, rel), d)
	})
}

func copyOne(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return errors.Join(os.Symlink(target, to), own(to, info))
	case info.Mode().IsRegular():
		if err := copyFile(from, to); err != nil {
			return err
		}
	default:
		return nil
	}
	return errors.Join(own(to, info), os.Chmod(to, info.Mode()), syncDir(filepath.Dir(to)))
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}

// own gives a copy its original's owner; only root can give to others.
func own(path string, info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, int(s.Uid), int(s.Gid))
}

// replaceTree makes path what the copy is. A directory stays itself, only what is in it
// is replaced: a volume may be mounted there.
func replaceTree(path, copied string) error {
	info, err := os.Lstat(copied)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(path) // there was nothing
	}
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if err == nil && now.IsDir() && info.IsDir() {
		return replaceEntries(path, copied)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.RemoveAll(path), copyTree(copied, path))
}

func replaceEntries(dir, copied string) error {
	old, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range old {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(copied)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(filepath.Join(copied, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// fingerprint changes when anything in a tree is written, replaced or removed.
func fingerprint(paths []string) (string, error) {
	h := sha256.New()
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == root {
				fmt.Fprintf(h, "%q none\n", path)
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q %v %d %d %v\n", path, info.Mode(), info.Size(),
				info.ModTime().UnixNano(), identify(info))
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// snapshot copies files and directories to a new directory and returns an error, and
// leaves nothing, if that fails.
func snapshot(paths []string, to string) error {
	if _, err := os.Lstat(filepath.Join(to, complete)); err == nil {
		return nil // taken by a call whose answer was lost
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	err := os.Mkdir(to, 0o700)
	for i, path := range paths {
		if err != nil {
			break
		}
		if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) {
			continue
		}
		err = copyTree(path, filepath.Join(to, strconv.Itoa(i)))
	}
	if err == nil {
		err = writeJSON(filepath.Join(to, complete), paths)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("snapshot: %w", err), os.RemoveAll(to))
	}
	return nil
}

// complete is the name of the file that a whole snapshot has.
const complete = "complete.json"
