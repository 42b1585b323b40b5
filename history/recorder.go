package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// Format is the version of the history file that this package writes. It reads
// all versions up to this one.
const Format = 1

// FileName is the name of the history in the directory of a test.
const FileName = "history.jsonl"

// Header is the first line of a history file.
type Header struct {
	// Format is the file's version. Create fills it in.
	Format int `json:"format"`
	// Test names the test, Seed reproduces its random choices.
	Test string `json:"test"`
	Seed uint64 `json:"seed"`
	// Started is the wall-clock time of Time 0, to compare with the logs of nodes.
	// Create fills it in.
	Started time.Time `json:"started,omitzero"`
	// Labels are whatever the test wants to say about itself, for people.
	Labels map[string]string `json:"labels,omitempty"`
}

// headerLine is Header with the word by which a file is known.
type headerLine struct {
	Ordeal string `json:"ordeal"`
	Header
}

// AppendJSON appends the header as the first line of a history file, without the newline.
func (h Header) AppendJSON(dst []byte) ([]byte, error) {
	line, err := json.Marshal(headerLine{Ordeal: "history", Header: h})
	if err != nil {
		return dst, fmt.Errorf("encode history header: %w", err)
	}
	return append(dst, line...), nil
}

// The lag of the file. An event waits at most mergeEvery until it is written
// (from then on it survives the death of this process) and syncEvery more until
// the disk has it.
const (
	mergeEvery = 10 * time.Millisecond
	syncEvery  = 20 * time.Millisecond
)

// Recorder writes a history to a file while the test runs.
//
// Each worker records into a Log of its own, so that workers do not wait for each
// other. A log stamps an event under its own lock. The merger notes the time t0
// and then takes over the contents of every log: whatever is not in a log by then
// will be stamped later than t0, so what it holds from before t0 is complete and
// can be written in the order of time.
//
// At the same time an invocation comes before a completion: the two operations
// count as concurrent, which never invents a violation.
type Recorder struct {
	path  string
	file  sink
	clock func() Time
	start time.Time

	mu      sync.Mutex // guards logs and closed
	logs    []*Log
	closed  bool
	closing sync.Once

	failed   atomic.Pointer[error]
	dirty    atomic.Bool // written but not synced
	follower atomic.Pointer[func(Event)]

	merger merger
	stop   chan struct{}
	done   sync.WaitGroup
}

// sink is what a recorder needs of a file.
type sink interface {
	Write(b []byte) (int, error)
	Sync() error
	Close() error
}

// Create starts a history file. It refuses to replace one, because that would be
// another test's evidence. The header is on the disk when Create returns.
func Create(path string, h Header) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("create history %s: %w", path, err), f.Close())
	}
	r, err := newRecorder(path, f, h)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.run()
	return r, nil
}

// CreateVirtual starts a history file of a test in virtual time, which clock tells. The
// recorder does nothing by itself: the file gets what was recorded by Flush and by Close,
// and depends on nothing but the events and their times. The header tells no time of day.
func CreateVirtual(path string, h Header, clock func() Time) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	r := &Recorder{path: path, file: f, clock: clock, stop: make(chan struct{})}
	if err := r.begin(h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// Flush writes all events that are older than now; those of now may not be complete.
func (r *Recorder) Flush() { r.merge() }

// syncDir makes a new name in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newRecorder writes the header. The caller may replace the clock before run.
func newRecorder(path string, file sink, h Header) (*Recorder, error) {
	r := &Recorder{path: path, file: file, start: time.Now(), stop: make(chan struct{})}
	r.clock = func() Time { return Time(time.Since(r.start)) }
	h.Started = r.start.UTC()
	return r, r.begin(h)
}

// begin writes the header.
func (r *Recorder) begin(h Header) error {
	h.Format = Format
	line, err := h.AppendJSON(nil)
	if err != nil {
		return err
	}
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write history %s: %w", r.path, err)
	}
	if err := r.file.Sync(); err != nil {
		return fmt.Errorf("sync history %s: %w", r.path, err)
	}
	return nil
}

// run starts the merger and the syncer. They are two, so that a slow disk delays
// only what the disk has, not what the file has.
func (r *Recorder) run() {
	r.done.Add(2)
	crash.Go(func() { r.every(mergeEvery, r.merge) })
	crash.Go(func() { r.every(syncEvery, r.sync) })
}

func (r *Recorder) every(d time.Duration, act func()) {
	defer r.done.Done()
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			act()
		case <-r.stop:
			return
		}
	}
}

// Now returns the time since the start of the test.
func (r *Recorder) Now() Time { return r.clock() }

// Err returns the error that made the recorder stop writing, or nil. The test can
// go on, but its history ends at that point.
func (r *Recorder) Err() error {
	if p := r.failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *Recorder) fail(err error) { r.failed.CompareAndSwap(nil, &err) }

// Follow hands f every event that is merged from now on, in the order of the file, from
// the recorder's own goroutine: f has to be quick. There is one follower at a time; nil
// ends it.
func (r *Recorder) Follow(f func(Event)) {
	if f == nil {
		r.follower.Store(nil)
		return
	}
	r.follower.Store(&f)
}

// Close writes and syncs everything recorded so far and closes the file. It
// returns the first error in the life of the recorder. Events recorded later are
// dropped. Close may be called more than once.
func (r *Recorder) Close() error {
	r.closing.Do(r.close)
	return r.Err()
}

func (r *Recorder) close() {
	r.mu.Lock()
	r.closed = true
	logs := r.logs
	r.mu.Unlock()

	close(r.stop)
	r.done.Wait()
	for _, l := range logs {
		l.close()
	}
	r.flush(logs, Never)
	r.sync()
	if err := r.file.Close(); err != nil {
		r.fail(fmt.Errorf("close history %s: %w", r.path, err))
	}
}

// merge writes what is complete.
func (r *Recorder) merge() {
	before := r.clock()
	// The order matters: a log that is not yet in the list here will only stamp
	// times from before on.
	r.mu.Lock()
	logs := r.logs
	r.mu.Unlock()
	r.flush(logs, before)
}

// flush writes the events of the logs that are older than before.
func (r *Recorder) flush(logs []*Log, before Time) {
	for _, l := range logs {
		l.drain()
	}
	if r.Err() != nil {
		return
	}
	r.merger.follow = r.follower.Load()
	err := r.merger.merge(logs, before, func(b []byte) error {
		_, err := r.file.Write(b)
		r.dirty.Store(true)
		return err
	})
	if err != nil {
		r.fail(fmt.Errorf("write history %s: %w", r.path, err))
	}
}

func (r *Recorder) sync() {
	if r.Err() != nil || !r.dirty.Swap(false) {
		return
	}
	if err := r.file.Sync(); err != nil {
		r.fail(fmt.Errorf("sync history %s: %w", r.path, err))
	}
}

// NewLog returns a log for one more worker.
func (r *Recorder) NewLog() *Log {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &Log{r: r, closed: r.closed, order: len(r.logs)}
	if !r.closed {
		// The merger walks over the list that it took, so never change that one.
		r.logs = append(r.logs[:len(r.logs):len(r.logs)], l)
	}
	return l
}

// Log takes the events of one worker. It is safe for concurrent use, but workers
// that share one wait for each other.
type Log struct {
	r     *Recorder
	order int

	mu     sync.Mutex // guards buf and closed; held for moments only
	buf    []Event
	closed bool

	// The rest belongs to the merger. taken are events that the worker has handed
	// over, of which the first next are written; spare will be the worker's next
	// buffer.
	taken []Event
	next  int
	spare []Event
}

// Record adds the event with the time of the call, which it returns. The file
// receives it within milliseconds. Record never waits for the disk; after a disk
// error or Close it drops the event.
func (l *Log) Record(e Event) Time {
	l.mu.Lock()
	e.Time = l.r.clock()
	if !l.closed && l.r.failed.Load() == nil {
		l.buf = append(l.buf, e)
	}
	l.mu.Unlock()
	return e.Time
}

func (l *Log) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// drain takes over what the worker has recorded.
func (l *Log) drain() {
	n := copy(l.taken, l.taken[l.next:])
	clear(l.taken[n:]) // let go of the values
	l.taken, l.next = l.taken[:n], 0

	l.mu.Lock()
	got := l.buf
	l.buf = l.spare
	l.mu.Unlock()

	l.taken = append(l.taken, got...)
	clear(got)
	l.spare = got[:0]
}

// ready reports whether the log's next event is older than before.
func (l *Log) ready(before Time) bool {
	return l.next < len(l.taken) && l.taken[l.next].Time < before
}

// less reports whether the next event of l belongs before that of o.
func (l *Log) less(o *Log) bool {
	a, b := &l.taken[l.next], &o.taken[o.next]
	if a.Time != b.Time {
		return a.Time < b.Time
	}
	if first := a.Type == Invoke; first != (b.Type == Invoke) {
		return first
	}
	return l.order < o.order
}

// merger puts the events of many logs in order, numbers and encodes them.
type merger struct {
	index int64
	heap  []*Log // by less; each has a ready event
	out   []byte
	// follow, if not nil, is told of every event.
	follow *func(Event)
}

// chunk is how many bytes the merger collects before it writes.
const chunk = 256 << 10

// merge passes the lines of all events that are older than before to write.
func (m *merger) merge(logs []*Log, before Time, write func([]byte) error) error {
	m.heap = m.heap[:0]
	for _, l := range logs {
		if l.ready(before) {
			m.heap = append(m.heap, l)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.sift(i)
	}
	m.out = m.out[:0]
	for len(m.heap) > 0 {
		l := m.heap[0]
		e := &l.taken[l.next]
		e.Index = m.index
		m.index++
		m.out = append(e.AppendJSON(m.out), '\n')
		if m.follow != nil {
			(*m.follow)(*e)
		}
		l.next++
		if !l.ready(before) {
			last := len(m.heap) - 1
			m.heap[0] = m.heap[last]
			m.heap = m.heap[:last]
		}
		m.sift(0)
		if len(m.out) >= chunk {
			if err := write(m.out); err != nil {
				return err
			}
			m.out = m.out[:0]
		}
	}
	if len(m.out) == 0 {
		return nil
	}
	return write(m.out)
}

// sift moves the i-th log of the heap down to its place.
func (m *merger) sift(i int) {
	h := m.heap
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].less(h[c]) {
			c++
		}
		if !h[c].less(h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
