package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// Long inputs are parsed in chunks, on all cores, and joined in order. A chunk ends
// where its dialect believes that an event ends, which in EDN and JSON nobody can
// know without parsing everything before it. So it is only a guess, and it need not
// be right: parsing from a place that is known to lie between two events tells
// exactly where the next such place is. The first chunk begins at one; if a chunk
// ends at one, too, the next one has begun at it, and what its parser found counts.
// Otherwise the torn event is parsed again with what follows.

const (
	// firstBlock is how much of the input is looked at for its format. What ends
	// before it is parsed without further ado.
	firstBlock = 64 << 10
	blockSize  = 1 << 20
)

// formMax bounds the size of one event, or line.
const formMax = 512 << 20

// dialect is a form of histories that is parsed in chunks.
type dialect interface {
	// cut returns behind which byte b can be cut, 0 if nowhere.
	cut(b []byte) int
	// parser returns a parser, which one goroutine uses for many chunks.
	parser() partParser
	// take passes on what a chunk holds, in order.
	take(c *part) error
	// end is called behind the last chunk.
	end(c *part) error
}

type partParser interface {
	// parse fills in what c holds.
	parse(c *part)
}

// parsed is an event and what the file said of it, or a bracket around events.
type parsed struct {
	Event
	at        int32 // where in the chunk
	bracket   byte  // [ ( ] ) or a comma between events; 0 for an event
	hasTime   bool
	hasIndex  bool
	noProcess bool
	noClient  bool // its process has another name than nemesis
	comma     bool // behind the event
}

// part is a chunk of the input.
type part struct {
	b    []byte
	line int // of its first byte, from 1
	col  int // of its first byte, from 0
	last bool
	// taken is how many bytes of the file were read for it and all before.
	taken int64
	// failed is the error of reading that came behind b.
	failed error

	out []parsed
	// err is what is wrong at the event behind out.
	err error
	// rest is where an event begins that goes on behind b, -1 if there is none.
	rest int
	// torn is true when the last line ends in the middle.
	torn bool

	done chan struct{}
}

// place turns the offset of a syntaxError into line and column.
func (c *part) place(source string, err error) error {
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := c.b[:min(syntax.at, len(c.b))]
	line := c.line + bytes.Count(before, []byte{'\n'})
	column := len(before) - bytes.LastIndexByte(before, '\n')
	if line == c.line {
		column += c.col
	}
	return fmt.Errorf("%s:%d:%d: %s", source, line, column, syntax.msg)
}

// after moves line and column behind the chunk.
func (c *part) after() (line, col int) {
	n := bytes.Count(c.b, []byte{'\n'})
	if n == 0 {
		return c.line, c.col + len(c.b)
	}
	return c.line + n, len(c.b) - 1 - bytes.LastIndexByte(c.b, '\n')
}

// feeder cuts the input.
type feeder struct {
	in    *input
	d     dialect
	block int
	buf   []byte // read, not given out yet
	eof   bool
	// started is true when a goroutine reads, which then closes the input.
	started bool
	// line and col are where buf begins.
	line, col int
}

// next returns the next chunk; nil behind the last one. It uses the memory of c if
// it is not nil.
func (f *feeder) next(c *part) *part {
	if f.eof && len(f.buf) == 0 {
		return nil
	}
	if c == nil {
		c = &part{done: make(chan struct{}, 1)}
	}
	spare := c.b[:0]
	*c = part{line: f.line, col: f.col, rest: -1, out: c.out[:0], done: c.done}
	at := 0
	for at == 0 && !f.eof && c.failed == nil {
		if len(f.buf) >= formMax {
			c.failed = fmt.Errorf("an event of more than %d bytes", formMax)
			break
		}
		c.failed = f.fill()
		at = f.d.cut(f.buf)
	}
	if f.eof || c.failed != nil {
		at, f.eof = len(f.buf), true
		c.last = c.failed == nil
	}
	rest := append(spare, f.buf[at:]...)
	c.b, f.buf = f.buf[:at], rest
	c.taken = f.in.taken()
	f.line, f.col = c.after()
	return c
}

// fill reads another block, or as much again as there is.
func (f *feeder) fill() error {
	n := len(f.buf)
	want := max(f.block, 2*n)
	if cap(f.buf) < want {
		f.buf = append(make([]byte, 0, want), f.buf...)
	}
	m, err := io.ReadFull(f.in, f.buf[n:want])
	f.buf = f.buf[:n+m]
	// An input never fails with ErrUnexpectedEOF itself: this is from ReadFull.
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		f.eof = true
		return nil
	}
	return err
}

// run reads all of the input.
func (f *feeder) run(source string, progress func(Progress)) error {
	if f.eof { // nothing is left to be done in parallel
		c := f.next(nil)
		if c == nil {
			c = &part{line: f.line, col: f.col, rest: -1, last: true}
		}
		f.d.parser().parse(c)
		return taking(f.d, c, source, nil)
	}
	q := f.start(progress)
	defer close(q.quit)
	for c := q.next(); c != nil; c = q.next() {
		if err := taking(f.d, c, source, q); err != nil {
			return err
		}
		q.free <- c
	}
	return nil
}

// queue is what the goroutines of a reading talk over. Chunks are handed around in a
// circle, so that there is a fixed number of them.
type queue struct {
	free, todo, order chan *part
	quit              chan struct{}
	progress          func(Progress)
	total             int64
}

// start lets one goroutine cut the input and others parse the chunks.
func (f *feeder) start(progress func(Progress)) *queue {
	workers := runtime.GOMAXPROCS(0)
	room := 2*workers + 2
	q := &queue{
		free: make(chan *part, room), todo: make(chan *part, room),
		order: make(chan *part, room), quit: make(chan struct{}),
		progress: progress, total: f.in.size,
	}
	for range room {
		q.free <- nil
	}
	f.started = true
	crash.Go(func() {
		defer f.in.close()
		defer close(q.todo)
		defer close(q.order)
		for {
			select {
			case <-q.quit:
				return
			case c := <-q.free:
				if c = f.next(c); c == nil {
					return
				}
				q.order <- c
				q.todo <- c
			}
		}
	})
	for range workers {
		crash.Go(func() {
			p := f.d.parser()
			for c := range q.todo {
				p.parse(c)
				c.done <- struct{}{}
			}
		})
	}
	return q
}

// next returns the next chunk in order, parsed; nil behind the last one.
func (q *queue) next() *part {
	c, ok := <-q.order
	if !ok {
		return nil
	}
	<-c.done
	if q.progress != nil {
		q.progress(Progress{Bytes: c.taken, Total: q.total})
	}
	return c
}

// taking passes on a chunk and, if an event goes on behind it, what follows.
func taking(d dialect, c *part, source string, q *queue) error {
	for more := 1; ; more *= 2 {
		if c.failed != nil {
			line, _ := c.after()
			return fmt.Errorf("read history %s: line %d: %w", source, line, c.failed)
		}
		if c.last { // nothing follows: it is what it looks like
			c.rest = -1
		}
		err := d.take(c)
		if err == nil && c.rest < 0 {
			err = c.err
		}
		if err == nil && c.last {
			err = d.end(c)
		}
		if err != nil || c.rest < 0 {
			return c.place(source, err)
		}
		if c = q.joined(c, more); len(c.b) > formMax {
			return c.place(source, &syntaxError{msg: fmt.Sprintf(
				"an event of more than %d bytes", formMax)})
		}
		d.parser().parse(c)
	}
}

// joined puts the rest of a chunk and the next few ones together.
func (q *queue) joined(c *part, more int) *part {
	before := *c
	before.b = c.b[:c.rest]
	sum := &part{b: append([]byte(nil), c.b[c.rest:]...), rest: -1}
	sum.line, sum.col = before.after()
	for range more {
		n := q.next()
		if n == nil {
			break
		}
		sum.b = append(sum.b, n.b...)
		sum.last, sum.failed = n.last, n.failed
		q.free <- n
		if sum.last || sum.failed != nil {
			break
		}
	}
	return sum
}
