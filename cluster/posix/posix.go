// Package posix has the few lines of shell that transports run on a node, which need
// nothing there but a POSIX shell, coreutils and /proc.
//
// The most important of them is the leash. The end of a connection does not end what
// was started through it: a command that waits for a lock when its controller loses
// patience gets the lock later, and acts when nobody expects it any more, perhaps after
// its own healing. So every command runs on a leash: under timeout(1), which ends it at
// its time limit whoever is still there, and with a name by which it is found and
// killed from another connection.
//
// To be found it has to be there. So it starts in two steps: the leash says on the
// standard error that it is there, and waits for a word on the standard input; the word
// is sent after that was heard. Without the word nothing is run, now or later; and when
// the word has been sent, a kill finds the command, even if it has not begun yet.
package posix

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
)

// prefix begins the names of leashes on command lines.
const prefix = "ordeal-"

// Leash is what one command runs on.
type Leash struct {
	// ID is in hexadecimal, and no other leash's.
	ID string
	// Limit is when the node itself ends the command, counted from its start there.
	Limit time.Duration
}

// NewLeash returns a leash. A limit is rounded up to whole seconds.
func NewLeash(limit time.Duration) Leash {
	var b [8]byte
	// A name, not a random choice of the test: two controllers must not find the
	// same one, so it does not come from the seed. Read never fails.
	_, _ = rand.Read(b[:])
	return Leash{ID: hex.EncodeToString(b[:]), Limit: limit}
}

// Name stands on the command's command line as a word of its own while it runs. It is
// the line on the standard error that says that the leash is there. What comes before
// it is not the command's.
func (l Leash) Name() string { return prefix + l.ID }

// Go is what the leash waits for on the standard input; what follows is the command's.
const Go = "go\n"

// NoGo is the status when the standard input ends, or says something else.
const NoGo = 99

// Argv puts the command on the leash. As is the first part of the argument vector that
// makes it run as root, such as sudo; nil if it does so anyway.
//
// The shell that waits is replaced by the command, while the name stays on the command
// line of timeout for as long as the command runs.
func (l Leash) Argv(as, command []string) []string {
	const script = `echo "$0" >&2; IFS= read -r go && [ "$go" = go ] || exit 99; exec "$@"`
	seconds := max(1, int64((l.Limit+time.Second-1)/time.Second))
	argv := append([]string{}, as...)
	argv = append(argv, remote.Environment()...)
	argv = append(argv, "timeout", "-s", "KILL", strconv.FormatInt(seconds, 10),
		"sh", "-c", script, l.Name())
	return append(argv, command...)
}

// KillCommand kills what runs on the leashes with these IDs, with all its process group;
// it exits with status 0 when all is gone. A leash on which nothing runs is no error.
func KillCommand(ids []string) remote.Command {
	// It does not find itself: the pattern is no name that matches it.
	const script = `i=0
while f=$(grep -lsaE "$0" /proc/[0-9]*/cmdline); [ -n "$f" ]; do
  for p in $f; do p=${p#/proc/}; p=${p%/cmdline}; kill -KILL "-$p" "$p" 2>/dev/null; done
  i=$((i+1)); [ "$i" -lt 50 ] || exit 1
  sleep 0.05
done`
	return remote.Command{
		Argv: []string{"sh", "-c", script, prefix + "(" + strings.Join(ids, "|") + ")"},
	}
}

// Statuses of the scripts below that mean something special.
const (
	statusOther   = 45 // the file is not as wanted
	statusMissing = 44 // there is no such file
)

// SameCommand finds out whether a file is there already, with content and mode:
// Same tells by its result.
func SameCommand(f remote.File, sum string) remote.Command {
	const script = `[ -f "$1" ] && [ "$(stat -c %a "$1")" = "$2" ] || exit 45
s=$(sha256sum <"$1") && [ "${s%% *}" = "$3" ] || exit 45`
	return remote.Command{Argv: []string{"sh", "-c", script, "same", f.Path, octal(f.Mode), sum}}
}

// Same tells what SameCommand has found out.
func Same(r remote.Result) bool { return r.Status == 0 }

// Staged is where a file is written before it takes its place, in the same directory.
func Staged(f remote.File, l Leash) string {
	return path.Join(path.Dir(f.Path), "."+l.Name())
}

// ParentCommand makes the directory of a file.
func ParentCommand(f remote.File) remote.Command {
	return remote.Command{Argv: []string{
		"sh", "-c", `umask 022; mkdir -p "$1"`, "parent", path.Dir(f.Path),
	}}
}

// StageCommand writes the standard input to a file that only its owner can read.
func StageCommand(staged string, content []byte) remote.Command {
	return remote.Command{
		Argv:  []string{"sh", "-c", `umask 077; cat >"$1"`, "stage", staged},
		Stdin: content,
	}
}

// PlaceCommand reads back what was written to from, gives it its mode and moves it to
// its place in one step. From may be in another directory, or on another file system,
// which is then staged first. Whatever happens, from is gone.
func PlaceCommand(f remote.File, l Leash, from, sum string) remote.Command {
	const script = `trap 'rm -f "$1" "$2"' EXIT
umask 022; mkdir -p "$(dirname "$3")" || exit 1
umask 077
[ "$1" = "$2" ] || cat <"$1" >"$2" || exit 1
s=$(sha256sum <"$2") || exit 1
[ "${s%% *}" = "$5" ] || { echo "its checksum is ${s%% *}, not $5" >&2; exit 45; }
chmod "$4" "$2" && mv -f -T "$2" "$3"`
	return remote.Command{Argv: []string{
		"sh", "-c", script, "place", from, Staged(f, l), f.Path, octal(f.Mode), sum,
	}}
}

// ReadCommand writes a file to the standard output: see ReadError.
func ReadCommand(file string) remote.Command {
	const script = `[ -e "$1" ] || exit 44; exec cat "$1"`
	return remote.Command{Argv: []string{"sh", "-c", script, "read", file}}
}

// ReadError is what the result of ReadCommand means: fs.ErrNotExist when the file is
// not there.
func ReadError(r remote.Result) error {
	switch r.Status {
	case 0:
		return nil
	case statusMissing:
		return fs.ErrNotExist
	default:
		return Failed(r)
	}
}

// Failed describes a command that did not succeed.
func Failed(r remote.Result) error {
	said := strings.TrimSpace(string(r.Stderr))
	if r.Status == statusOther && said != "" {
		return fmt.Errorf("%s", said)
	}
	return fmt.Errorf("exit status %d: %s", r.Status, said)
}

func octal(m fs.FileMode) string { return strconv.FormatUint(uint64(m.Perm()), 8) }
