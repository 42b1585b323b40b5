// Package remote runs a cluster on hosts that are reached by commands: containers,
// machines behind SSH, network namespaces. Everything that is done to a host is done
// through one small interface, Shell, so that the faults of all of them are the same
// commands, which golden files hold.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Shell runs commands on nodes and moves files. It is what a transport (SSH, docker
// exec, nsenter) implements. It may be used from any goroutine, also for one node
// several times at once.
//
// Commands run as root (a transport that logs in as somebody else puts sudo before
// them), in no particular directory, with LC_ALL=C and with the sbin directories in
// PATH (see Environment). They get no terminal. What a command leaves running in the
// background lives on when it has given its standard streams away.
//
// A transport never runs a command twice. Every call ends soon after its context, even
// when the node does not answer.
type Shell interface {
	// Run runs one command and waits for its end. When the command has run to its end,
	// the error is nil, whatever its exit status. Otherwise the error is a
	// *TransportError, which tells whether the command may have run.
	Run(ctx context.Context, node nemesis.Node, c Command) (Result, error)
	// Upload puts a file on the node, in one step: whoever opens the path gets the old
	// file or the whole new one. It has been read back and compared by checksum when
	// Upload returns nil. Missing directories above it are made. A file that is there
	// already with that content and mode need not be sent again.
	Upload(ctx context.Context, node nemesis.Node, f File) error
	// Download writes a file's content to w. A file that is not there is an error that
	// is fs.ErrNotExist; then nothing has been written.
	Download(ctx context.Context, node nemesis.Node, path string, w io.Writer) error
}

// Command is what Run runs.
type Command struct {
	// Argv is the argument vector; no shell looks at it. Argv[0] is found in PATH.
	Argv []string
	// Stdin is the whole standard input; the command sees its end after it.
	Stdin []byte
}

// Result is the outcome of a command that has run to its end.
type Result struct {
	// Status is the exit status, 128+N when signal N has ended the command.
	Status         int
	Stdout, Stderr []byte
}

// MaxOutput bounds Stdout and Stderr of a Result, each. A command that writes more is
// ended; Run's error says so.
const MaxOutput = 32 << 20

// File is what Upload puts on a node.
type File struct {
	// Path is absolute.
	Path    string
	Content []byte
	// Mode are the permission bits.
	Mode fs.FileMode
}

// Ran says what is known of a command of which no result came.
type Ran int

const (
	// NotRun: the command provably did not run, and will not.
	NotRun Ran = iota
	// MayHaveRun: it may have run, in part or to its end, or may still run.
	MayHaveRun
)

// TransportError says that no result came from a node.
type TransportError struct {
	Node nemesis.Node
	// Doing is what was tried: a command's words, or "upload /path".
	Doing string
	Ran   Ran
	Err   error
}

// Error says what is known in a sentence.
func (e *TransportError) Error() string {
	ran := "it did not run"
	if e.Ran == MayHaveRun {
		ran = "it may have run"
	}
	return fmt.Sprintf("%s: %s: %v (%s)", e.Node, shorten(e.Doing), e.Err, ran)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// DidNotRun reports whether err says that a command provably did not run.
func DidNotRun(err error) bool {
	var t *TransportError
	return errors.As(err, &t) && t.Ran == NotRun
}

// Unreachable reports whether err is one of a transport: the node did not answer.
func Unreachable(err error) bool {
	var t *TransportError
	return errors.As(err, &t)
}

// ExitError is the error of a command that ran and failed.
type ExitError struct {
	Node   nemesis.Node
	Argv   []string
	Status int
	// Stderr is what the command complained of.
	Stderr string
}

// Error names the command, its status and its complaint.
func (e *ExitError) Error() string {
	s := fmt.Sprintf("%s: %s: exit status %d", e.Node, shorten(CommandLine(e.Argv)), e.Status)
	if e.Stderr != "" {
		s += ": " + e.Stderr
	}
	return s
}

// Must runs a command that has to succeed and returns its standard output. Any other
// exit status than 0 is an *ExitError.
func Must(ctx context.Context, sh Shell, node nemesis.Node, c Command) ([]byte, error) {
	r, err := sh.Run(ctx, node, c)
	if err != nil {
		return nil, err
	}
	if r.Status != 0 {
		return r.Stdout, &ExitError{
			Node: node, Argv: c.Argv, Status: r.Status,
			Stderr: strings.TrimSpace(string(r.Stderr)),
		}
	}
	return r.Stdout, nil
}

// Environment is what transports put before a command's own words, so that it finds
// iptables and speaks English on every host: `env NAME=VALUE…`.
func Environment() []string {
	return []string{
		"env", "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
}

// CommandLine quotes an argument vector for a POSIX shell, for transports that have to
// pass one line.
func CommandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = Quote(a)
	}
	return strings.Join(words, " ")
}

// Quote quotes one word for a POSIX shell.
func Quote(word string) string {
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// special reports whether a character may mean something to a shell.
func special(r rune) bool {
	plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("-_=+,./:@%", r)
	return !plain
}

// shorten keeps an error on a few lines.
func shorten(s string) string {
	const longest = 300
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
