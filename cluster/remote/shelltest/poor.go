package shelltest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Poor is a shell to hosts of which some have not all programs that this machine has.
type Poor struct {
	remote.Shell
	// Path is the PATH of the nodes that have their own.
	Path map[nemesis.Node]string
}

// Run implements remote.Shell.
func (p Poor) Run(
	ctx context.Context, n nemesis.Node, c remote.Command,
) (remote.Result, error) {
	if path := p.Path[n]; path != "" {
		c.Argv = append([]string{"env", "PATH=" + path}, c.Argv...)
	}
	return p.Shell.Run(ctx, n, c)
}

// DeafBash is a bash, as a POSIX shell's script, that was built without redirections to
// the network.
const DeafBash = `#!/bin/sh
echo "bash: line 1: /dev/udp/127.0.0.1/9: No such file or directory" >&2
exit 1
`

// Programs fills a directory with all programs of this machine but bash, and with the
// script in its place if that is not empty.
func Programs(dir, bash string) error {
	for _, from := range []string{
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
	} {
		entries, err := os.ReadDir(from)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if slices.Contains([]string{"bash", "rbash"}, e.Name()) {
				continue
			}
			err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name()))
			if err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	if bash == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "bash"), []byte(bash), 0o755)
}
