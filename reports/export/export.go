// Package export writes a history in the formats of other tools, so that they can ask
// questions of their own: one table for DuckDB, pandas and spreadsheets (Parquet, CSV),
// and what checkers of histories read (Jepsen's EDN, the JSON of elle-cli, and this
// program's own lines).
//
// It reads and writes event by event, so that histories of any length need little
// memory. A row of a table is an operation, in the order in which they ended, or with
// Options.Events an event, in the order of time.
package export

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// Format is what a history is written as.
type Format string

// The formats.
const (
	Parquet  Format = "parquet"
	CSV      Format = "csv"
	EDN      Format = "edn"
	ElleJSON Format = "elle-json"
	JSONL    Format = "jsonl"
)

// formats describes them.
func formats() []struct {
	name Format
	doc  string
} {
	return []struct {
		name Format
		doc  string
	}{
		{Parquet, "Apache Parquet, zstd: a row an operation (DuckDB, pandas, Spark)"},
		{CSV, "comma-separated values, the same columns"},
		{EDN, "Jepsen's EDN, an event a line (Knossos, Elle, this program)"},
		{ElleJSON, "JSON of elle-cli; transactions of list-append or rw-register only"},
		{JSONL, "this program's own JSON lines, whatever the history was in"},
	}
}

// Formats returns the formats, each with a description.
func Formats() (names []Format, docs []string) {
	for _, f := range formats() {
		names, docs = append(names, f.name), append(docs, f.doc)
	}
	return names, docs
}

// ParseFormat returns the format with this name. The error lists those there are.
func ParseFormat(name string) (Format, error) {
	var all []string
	for _, f := range formats() {
		if string(f.name) == name {
			return f.name, nil
		}
		all = append(all, string(f.name))
	}
	return "", fmt.Errorf("format %q is not known: want one of %s", name, strings.Join(all, ", "))
}

// Binary reports whether a format is nothing for a terminal.
func (f Format) Binary() bool { return f == Parquet }

// Options are what to write.
type Options struct {
	Format Format
	// Events makes the rows of a table events instead of operations.
	Events bool
	// Load says how to read the history.
	Load history.LoadOptions
}

// Written is what became of it.
type Written struct {
	// Rows are operations or events.
	Rows int64
	// Torn is true when the history ended inside a line, which is left out.
	Torn bool
}

// ErrContent says that a history cannot be written in the format that was asked for.
var ErrContent = errors.New("cannot be written in this format")

// writer takes a history.
type writer interface {
	event(*history.Event) error
	op(*history.Operation) error
	// close writes what is still to be written.
	close() error
}

// writeError is a failure of the output, to be told apart from one of the history.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// IsOutput reports whether an error of Write is one of the output.
func IsOutput(err error) bool {
	var w *writeError
	return errors.As(err, &w)
}

// out marks the errors of the output.
type out struct{ w io.Writer }

func (o out) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// Write writes the history at path, which is as for history.Load, to w. After an error
// what was written is of no use.
func Write(w io.Writer, path string, o Options) (Written, error) {
	buffered := bufio.NewWriterSize(out{w}, 1<<18)
	x, err := newWriter(buffered, o)
	if err != nil {
		return Written{}, err
	}
	var done Written
	scanned, err := history.Scan(path, o.Load, history.Sink{
		Header: func(h history.Header) error {
			if lines, ok := x.(*linesWriter); ok {
				lines.header = h
			}
			return nil
		},
		Event: func(e *history.Event) error {
			if o.rowsAreEvents() {
				done.Rows++
			}
			return x.event(e)
		},
		Op: func(op *history.Operation) error {
			if !o.rowsAreEvents() {
				done.Rows++
			}
			return x.op(op)
		},
	})
	if err != nil {
		return Written{}, fmt.Errorf("export: %w", err)
	}
	done.Torn = scanned.Torn
	if err := errors.Join(x.close(), buffered.Flush()); err != nil {
		return Written{}, fmt.Errorf("export: %w", err)
	}
	return done, nil
}

// rowsAreEvents is true also for the formats that have nothing else.
func (o Options) rowsAreEvents() bool {
	return o.Events || o.Format != Parquet && o.Format != CSV
}

func newWriter(w *bufio.Writer, o Options) (writer, error) {
	switch o.Format {
	case Parquet:
		if o.Events {
			return newParquetEvents(w), nil
		}
		return newParquetOps(w), nil
	case CSV:
		return newCSV(w, o.Events), nil
	case EDN:
		return &ednWriter{w: w}, nil
	case ElleJSON:
		return &elleWriter{w: w}, nil
	case JSONL:
		return &linesWriter{w: w}, nil
	default:
		_, err := ParseFormat(string(o.Format))
		return nil, err
	}
}
