package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// missingTools turns what prepareScript misses into an error that says what to install.
func missingTools(out string) error {
	packages := map[string]string{
		"setsid": "util-linux", "flock": "util-linux", "iptables-restore": "iptables",
		"tail": "coreutils",
	}
	var lacking []string
	for line := range strings.Lines(out) {
		tool, missing := strings.CutPrefix(strings.TrimSpace(line), "missing ")
		if !missing {
			continue
		}
		if pkg := packages[tool]; pkg != "" {
			tool += " (package " + pkg + ")"
		}
		lacking = append(lacking, tool)
	}
	if len(lacking) > 0 {
		return fmt.Errorf("not installed: %s", strings.Join(lacking, ", "))
	}
	return nil
}

func hasLine(out, want string) bool {
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

// fetchLog copies a node's log into the store. One that is not there is no error.
func fetchLog(ctx context.Context, shell Shell, n nemesis.Node, dir, store string) error {
	var log bytes.Buffer
	err := shell.Download(ctx, n, dir+"/"+logFile, &log)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch the log: %w", err)
	}
	place := filepath.Join(store, "nodes", string(n))
	if err := os.MkdirAll(place, 0o755); err != nil {
		return fmt.Errorf("fetch the log: %w", err)
	}
	if err := os.WriteFile(filepath.Join(place, logFile), log.Bytes(), 0o644); err != nil {
		return fmt.Errorf("fetch the log: %w", err)
	}
	return nil
}

// fetchLogs copies what the node has written into files of its own.
func (c *Cluster) fetchLogs(ctx context.Context, m *member) error {
	if c.cfg.Logs == nil {
		return nil
	}
	patterns := strings.Join(c.cfg.Logs(m.spec), " ")
	if patterns == "" {
		return nil
	}
	out, err := c.script(ctx, m, fmt.Sprintf(
		"for f in %s; do if [ -f \"$f\" ]; then echo \"$f\"; fi; done\n", patterns))
	if err != nil {
		return fmt.Errorf("look for logs: %w", err)
	}
	place := filepath.Join(c.cfg.Dir, "nodes", string(m.name), "logs")
	for path := range strings.Lines(out) {
		path = strings.TrimSpace(path)
		if err := os.MkdirAll(place, 0o755); err != nil {
			return fmt.Errorf("fetch %s: %w", path, err)
		}
		var content bytes.Buffer
		if err := c.cfg.Shell.Download(ctx, m.name, path, &content); err != nil {
			return fmt.Errorf("fetch %s: %w", path, err)
		}
		to := filepath.Join(place, filepath.Base(path))
		if err := os.WriteFile(to, content.Bytes(), 0o644); err != nil {
			return fmt.Errorf("fetch %s: %w", path, err)
		}
	}
	return nil
}

// SetClock bends the node's clocks through its clock file, or through libfaketime. The
// zero setting takes the file away.
func (c *Cluster) SetClock(
	ctx context.Context, n nemesis.Node, s nemesis.ClockSetting,
) error {
	return c.do("set the clock of", n, func(m *member) error {
		if m.faketime != "" {
			script, err := faketimeScript(m.dir, s)
			if err == nil {
				_, err = c.script(ctx, m, script)
			}
			return err
		}
		content, err := cluster.ClockFile(s)
		if err != nil {
			return err
		}
		return c.setting(ctx, m, m.spec.ClockFile, content)
	})
}

// SetDisk troubles the node's disk through its disk file. The zero setting takes the
// file away.
func (c *Cluster) SetDisk(ctx context.Context, n nemesis.Node, s nemesis.DiskSetting) error {
	return c.do("set the disk of", n, func(m *member) error {
		content, err := cluster.DiskFile(s)
		if err != nil {
			return err
		}
		return c.setting(ctx, m, m.spec.DiskFile, content)
	})
}

func (c *Cluster) setting(ctx context.Context, m *member, path string, content []byte) error {
	if content == nil {
		_, err := c.script(ctx, m, fmt.Sprintf("rm -f %s\n", Quote(path)))
		return err
	}
	return c.cfg.Shell.Upload(ctx, m.name, File{Path: path, Content: content, Mode: 0o644})
}

// flipFile is the record of a flipped bit, in the node's directory.
const flipFile = "flip.json"

// newestLogScript prints the newest log and its size; their numbers have a fixed width.
func newestLogScript(dir string) string {
	return preamble(dir) + fmt.Sprintf(`if alive; then echo "it runs" >&2; exit 1; fi
cd "$d/%s"
f=$(ls wal | grep '^log-' | sort | tail -n 1) || :
if [ -n "$f" ]; then echo "wal/$f $(wc -c <"wal/$f")"; fi
`, dataDir)
}

// byteScript prints the byte of a file at an offset, nothing if there is none.
func byteScript(path string, offset int64) string {
	return fmt.Sprintf("if [ -e %[1]s ]; then od -An -v -tu1 -j %[2]d -N 1 %[1]s; fi\n",
		Quote(path), offset)
}

// setByteScript puts a byte into a file and makes it durable.
func setByteScript(path string, offset int64, b byte) string {
	return fmt.Sprintf("printf '\\%03o' | dd of=%s bs=1 seek=%d conv=notrunc,fsync 2>/dev/null\n",
		b, Quote(path), offset)
}

// readByte returns the byte at an offset and whether there is one.
func (c *Cluster) readByte(
	ctx context.Context, m *member, path string, offset int64,
) (byte, bool, error) {
	out, err := c.script(ctx, m, byteScript(path, offset))
	if err != nil || strings.TrimSpace(out) == "" {
		return 0, false, err
	}
	b, err := strconv.ParseUint(strings.TrimSpace(out), 10, 8)
	return byte(b), err == nil, err
}

// FlipBit flips a bit in the first half of the newest log of a node that is down. What
// it was is written down beside the data first.
func (c *Cluster) FlipBit(ctx context.Context, n nemesis.Node, place float64) (string, error) {
	var where string
	err := c.do("flip a bit of", n, func(m *member) error {
		out, err := c.script(ctx, m, newestLogScript(m.dir))
		if err != nil {
			return err
		}
		words := strings.Fields(out)
		if len(words) != 2 {
			return nemesis.ErrLogTooSmall
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		f, err := cluster.NewFlip(words[0], size, place)
		if err != nil {
			return err
		}
		path := m.spec.DataDir + "/" + f.Path
		was, there, err := c.readByte(ctx, m, path, f.Offset)
		if err != nil || !there {
			return errors.Join(err, nemesis.ErrLogTooSmall)
		}
		f = f.WithByte(was)
		line, err := f.Line()
		if err != nil {
			return err
		}
		where = f.String()
		record := File{Path: m.dir + "/" + flipFile, Content: line, Mode: 0o644}
		if err := c.cfg.Shell.Upload(ctx, n, record); err != nil {
			return err
		}
		_, err = c.script(ctx, m, setByteScript(path, f.Offset, f.Is))
		return err
	})
	return where, err
}

// wipeScript takes away what is in a node's data directory, and says how many bytes the
// files had.
func wipeScript(dir, dataDir string) string {
	data := Quote(dataDir)
	return preamble(dir) + "if alive; then echo \"it runs\" >&2; exit 1; fi\n" +
		"find " + data + " -type f -exec cat {} + | wc -c\n" +
		"find " + data + " -mindepth 1 -delete\n" +
		"rm -f " + Quote(dir+"/"+flipFile) + "\n"
}

// Wipe takes away all that a node which is down has on its disk.
func (c *Cluster) Wipe(ctx context.Context, n nemesis.Node) (int64, error) {
	var lost int64
	err := c.do("wipe the disk of", n, func(m *member) error {
		out, err := c.script(ctx, m, wipeScript(m.dir, m.spec.DataDir))
		if err != nil {
			return err
		}
		lost, err = strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		return err
	})
	return lost, err
}

// Unflip puts the byte back that FlipBit has changed, unless it is no longer there.
func (c *Cluster) Unflip(ctx context.Context, n nemesis.Node) error {
	return c.do("put back the bit of", n, func(m *member) error {
		out, err := c.script(ctx, m, preamble(m.dir)+fmt.Sprintf(
			"if alive; then echo \"it runs\" >&2; exit 1; fi\n"+
				"if [ -e \"$d/%s\" ]; then cat \"$d/%[1]s\"; fi\n", flipFile))
		if err != nil || out == "" {
			return err
		}
		var f cluster.Flip
		if err := json.Unmarshal([]byte(out), &f); err != nil {
			return fmt.Errorf("%s: %w", flipFile, err)
		}
		if !filepath.IsLocal(f.Path) {
			return fmt.Errorf("%s: path %q", flipFile, f.Path)
		}
		path := m.spec.DataDir + "/" + f.Path
		is, there, err := c.readByte(ctx, m, path, f.Offset)
		if err != nil {
			return err
		}
		// A log that the node has replaced or cut in the meantime is its own.
		undo := ""
		if there && is == f.Is {
			undo = setByteScript(path, f.Offset, f.Was)
		}
		_, err = c.script(ctx, m, undo+fmt.Sprintf("rm -f %s\n", Quote(m.dir+"/"+flipFile)))
		return err
	})
}
