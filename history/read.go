package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Load reads a history: a file, the directory of a test with a history.jsonl, or
// standard input if the path is "-". It may be compressed by gzip or zstd, and be in
// any of the Forms; what it is shows in what is in it, not in its name.
//
// A file of this package's JSON lines may end inside a line, as it does when its
// writer was killed; History.Torn says so. Any other flaw is an error that begins
// with the file's path, the line and the column.
func Load(path string) (*History, error) { return LoadWith(path, LoadOptions{}) }

// LoadOptions refine LoadWith.
type LoadOptions struct {
	// Independent takes the value of every client's operation that has no key for
	// [key, value] and splits it, in invocations and in completions. It is for
	// histories of jepsen.independent that have lost the tags of their tuples,
	// where nothing tells a key and a value from a list of two. A value that is no
	// such pair is an error, unless it is that of a failed or unsure completion
	// and nil.
	Independent bool
	// Accept, if not nil, is asked about every operation, once when it is invoked
	// and once when it is completed. Its error ends the loading and gets the line
	// that the operation's value is in.
	Accept func(Operation) error
	// Form is the format of the file. Default: what it looks like.
	Form Form
	// Progress, if not nil, is called now and then while a long file is read, by the
	// goroutine that loads it.
	Progress func(Progress)

	// block is the number of bytes that are read at a time: tests make it small.
	block int
	_     struct{} // keyed literals only
}

// LoadWith is Load with options.
func LoadWith(path string, o LoadOptions) (*History, error) {
	if path == "-" {
		return ReadWith(os.Stdin, "standard input", o)
	}
	f, size, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	defer f.Close()
	if size < 0 {
		return read(f, 0, newJoiner(f.Name(), 0, o))
	}
	// Knowing the number of operations before allocating them halves the memory
	// that loading needs, and counting costs a fraction of parsing.
	ops, err := countInvocations(f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	return read(f, size, newJoiner(f.Name(), ops, o))
}

// openFile opens a history, or that of a test's directory. The size is -1 for what is no
// regular file.
func openFile(path string) (f *os.File, size int64, err error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		dir := path
		path = filepath.Join(dir, FileName)
		info, err = os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, fmt.Errorf("directory %s has no %s", dir, FileName)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	size = -1
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	f, err = os.Open(path)
	return f, size, err
}

// Read reads a history as Load does. The source names it in messages.
func Read(r io.Reader, source string) (*History, error) {
	return ReadWith(r, source, LoadOptions{})
}

// ReadWith is Read with options.
func ReadWith(r io.Reader, source string, o LoadOptions) (*History, error) {
	return read(r, 0, newJoiner(source, 0, o))
}

// read gives what is in r to the joiner; size 0 is an unknown one.
func read(r io.Reader, size int64, j *joiner) (*History, error) {
	source, o := j.h.Source, j.o
	in, err := newInput(r, size)
	if err != nil {
		return nil, fmt.Errorf("read history %s: %w", source, err)
	}
	f := &feeder{in: in, line: 1}
	defer func() {
		if !f.started { // else whoever reads closes, which may be later
			in.close()
		}
	}()
	first, block := firstBlock, blockSize
	if o.block > 0 {
		first, block = o.block, o.block
	}
	start := make([]byte, first)
	n, err := io.ReadFull(in, start)
	start = start[:n]
	eof := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !eof {
		line := 1 + bytes.Count(start, []byte{'\n'})
		return nil, fmt.Errorf("read history %s: line %d: %w", source, line, err)
	}
	f.block, f.buf, f.eof = block, start, eof
	if err := f.skip(); err != nil {
		return nil, fmt.Errorf("read history %s: %w", source, err)
	}
	if len(f.buf) == 0 {
		return nil, fmt.Errorf("read history %s: nothing in it", source)
	}
	if err := readForm(f, j); err != nil {
		return nil, err
	}
	return j.history(), nil
}

// readForm reads what is in the input, in the form that it has.
func readForm(f *feeder, j *joiner) error {
	name := j.o.Form
	if name == AnyForm {
		name = detect(f.buf)
	}
	for _, form := range forms() {
		if form.name == name {
			return form.read(f, j)
		}
	}
	return fmt.Errorf("read history %s: format %q is not known", j.h.Source, name)
}

// skip drops white space, and the mark that some editors put before UTF-8.
func (f *feeder) skip() error {
	if rest, ok := bytes.CutPrefix(f.buf, []byte("\ufeff")); ok {
		f.buf, f.col = rest, 3
	}
	for {
		rest := bytes.TrimLeft(f.buf, " \t\r\n")
		c := part{b: f.buf[:len(f.buf)-len(rest)], line: f.line, col: f.col}
		f.line, f.col = c.after()
		f.buf = rest
		if len(rest) > 0 || f.eof {
			return nil
		}
		if err := f.fill(); err != nil {
			return err
		}
	}
}

// firstLine takes a line off the input, as a chunk.
func (f *feeder) firstLine() (c *part, whole bool, err error) {
	for {
		n := bytes.IndexByte(f.buf, '\n')
		if n < 0 && !f.eof && len(f.buf) < formMax {
			if err := f.fill(); err != nil {
				return nil, false, err
			}
			continue
		}
		whole = n >= 0
		if !whole {
			n = len(f.buf) - 1
		}
		c = &part{b: f.buf[:n+1], line: f.line, col: f.col}
		f.buf = f.buf[n+1:]
		f.line, f.col = c.after()
		return c, whole, nil
	}
}

// readOwn reads this package's JSON lines.
func readOwn(f *feeder, j *joiner) error {
	c, whole, err := f.firstLine()
	if err != nil {
		return fmt.Errorf("read history %s: %w", j.h.Source, err)
	}
	if err := j.header(c.b, whole); err != nil {
		return c.place(j.h.Source, err)
	}
	return f.with(ownLines{j}).run(j.h.Source, j.o.Progress)
}

func readJSONOps(f *feeder, j *joiner) error {
	j.loose = true
	return f.with(&jsonOps{j: j}).run(j.h.Source, j.o.Progress)
}

func readEDN(f *feeder, j *joiner) error {
	j.loose = true
	return f.with(&ednOps{j: j}).run(j.h.Source, j.o.Progress)
}

func (f *feeder) with(d dialect) *feeder {
	f.d = d
	return f
}

// countInvocations estimates the number of operations in a file: it counts lines
// with an invocation of JSON, or the invocations of EDN.
func countInvocations(r io.Reader) (int, error) {
	const word = "invoke"
	n, kept := 0, 0
	buf := make([]byte, 256<<10)
	for {
		m, err := r.Read(buf[kept:])
		b := buf[:kept+m]
		n += bytes.Count(b, []byte(word))
		// A word across the border counts with the next part.
		kept = copy(buf, b[max(0, len(b)-len(word)+1):])
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
