// Package shelltest has what tests need of a remote.Shell: Fake, which runs nothing
// and records the exact commands, and Conform, the contract that every transport has
// to keep, as tests.
package shelltest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Call is one call of a Fake.
type Call struct {
	Node nemesis.Node
	// Argv of a command; of the moves of files "upload" or "download" and the path.
	Argv  []string
	Stdin []byte
	// File is set for uploads.
	File *remote.File
}

// String is how a person would type it, with the standard input, or the content of an
// uploaded file, as a here-document.
func (c Call) String() string {
	s, in := fmt.Sprintf("%s$ %s", c.Node, remote.CommandLine(c.Argv)), c.Stdin
	if c.File != nil {
		s, in = fmt.Sprintf("%s %v", s, c.File.Mode), c.File.Content
	}
	switch {
	case len(in) == 0:
		return s + "\n"
	case len(in) > longText || !utf8.Valid(in):
		return fmt.Sprintf("%s (%d bytes)\n", s, len(in))
	default:
		return s + " <<EOF\n" + strings.TrimSuffix(string(in), "\n") + "\nEOF\n"
	}
}

// longText is what is not shown whole.
const longText = 64 << 10

// Fake is a remote.Shell that records its calls, in their order. Files that are
// uploaded can be downloaded.
type Fake struct {
	answer func(Call) (remote.Result, error)

	mu    sync.Mutex
	calls []Call
	files map[nemesis.Node]map[string][]byte
}

var _ remote.Shell = (*Fake)(nil)

// NewFake returns a Fake whose commands have the results that answer returns. With a
// nil answer all succeed and say nothing.
func NewFake(answer func(Call) (remote.Result, error)) *Fake {
	if answer == nil {
		answer = func(Call) (remote.Result, error) { return remote.Result{}, nil }
	}
	return &Fake{answer: answer, files: map[nemesis.Node]map[string][]byte{}}
}

// Calls returns a copy of all calls so far.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Script returns all calls so far as text, those of one node together and in their
// order: what is done to several nodes at once has no order of its own.
func (f *Fake) Script() string {
	calls := f.Calls()
	slices.SortStableFunc(calls, func(a, b Call) int {
		return strings.Compare(string(a.Node), string(b.Node))
	})
	var b strings.Builder
	for _, c := range calls {
		b.WriteString(c.String())
	}
	return b.String()
}

// Forget forgets the calls, not the files.
func (f *Fake) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

func (f *Fake) record(c Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
}

// Run implements remote.Shell.
func (f *Fake) Run(
	ctx context.Context, node nemesis.Node, c remote.Command,
) (remote.Result, error) {
	if err := ctx.Err(); err != nil {
		return remote.Result{}, &remote.TransportError{
			Node: node, Doing: remote.CommandLine(c.Argv), Err: err,
		}
	}
	call := Call{Node: node, Argv: slices.Clone(c.Argv), Stdin: slices.Clone(c.Stdin)}
	f.record(call)
	return f.answer(call)
}

// Upload implements remote.Shell.
func (f *Fake) Upload(_ context.Context, node nemesis.Node, file remote.File) error {
	file.Content = slices.Clone(file.Content)
	f.record(Call{Node: node, Argv: []string{"upload", file.Path}, File: &file})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files[node] == nil {
		f.files[node] = map[string][]byte{}
	}
	f.files[node][file.Path] = file.Content
	return nil
}

// Download implements remote.Shell.
func (f *Fake) Download(
	_ context.Context, node nemesis.Node, path string, w io.Writer,
) error {
	f.record(Call{Node: node, Argv: []string{"download", path}})
	f.mu.Lock()
	content, ok := f.files[node][path]
	f.mu.Unlock()
	if !ok {
		return fmt.Errorf("download %s from %s: %w", path, node, fs.ErrNotExist)
	}
	_, err := w.Write(content)
	return err
}
