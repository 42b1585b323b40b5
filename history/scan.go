package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Sink takes a history piece by piece. What it is given is reused after it returns; the
// values may be kept. An error ends the reading, which returns it.
type Sink struct {
	// Header, if not nil, gets the header of this package's own files before anything
	// else.
	Header func(Header) error
	// Event, if not nil, gets every event in order, also those of the nemesis.
	Event func(*Event) error
	// Op, if not nil, gets every operation of a client once it has ended, in the order of
	// the ends, and those without an end last.
	Op func(*Operation) error
}

func (s *Sink) event(e *Event) error {
	if s.Event == nil {
		return nil
	}
	return s.Event(e)
}

func (s *Sink) op(op *Operation) error {
	if s.Op == nil {
		return nil
	}
	return s.Op(op)
}

// Scanned is what Scan says of a history as a whole.
type Scanned struct {
	Header Header
	// Torn is as in History.
	Torn bool
	// End is the time of the last event.
	End Time
}

// ErrUntimed says that a file has sessions of transactions and no times.
var ErrUntimed = errors.New("it has sessions without times")

// Scan reads a history as LoadWith does, with all of its checks, but keeps nothing of it:
// memory is bounded by the size of the largest event and by the number of operations that
// are open at a time. It fails with ErrUntimed for the files of Untimed histories.
func Scan(path string, o LoadOptions, s Sink) (Scanned, error) {
	var (
		r      io.Reader = os.Stdin
		source           = "standard input"
		size   int64
	)
	if path != "-" {
		f, n, err := openFile(path)
		if err != nil {
			return Scanned{}, fmt.Errorf("read history: %w", err)
		}
		defer f.Close()
		r, source, size = f, f.Name(), max(0, n)
	}
	j := newJoiner(source, 0, o)
	j.sink = &s
	h, err := read(r, size, j)
	switch {
	case err != nil:
		return Scanned{}, err
	case h.Untimed:
		return Scanned{}, fmt.Errorf("read history %s: %w", source, ErrUntimed)
	}
	open := slices.DeleteFunc(h.Ops, func(op Operation) bool { return op.Ended != Never })
	slices.SortFunc(open, func(a, b Operation) int { return cmp.Compare(a.Index, b.Index) })
	for i := range open {
		if err := s.op(&open[i]); err != nil {
			return Scanned{}, err
		}
	}
	return Scanned{Header: h.Header, Torn: h.Torn, End: h.end}, nil
}

// DecodeEvent reads one line of a history file, without its end: an event, not the header.
func DecodeEvent(line []byte) (Event, error) {
	l := newLineParser()
	l.d.p.b = line
	if err := l.d.decode(false); err != nil {
		return Event{}, fmt.Errorf("event: %w", err)
	}
	if l.d.p.next(); l.d.p.i < len(line) {
		return Event{}, fmt.Errorf("event: %w", l.d.p.want("the end of the line after an event"))
	}
	return l.d.e, nil
}
