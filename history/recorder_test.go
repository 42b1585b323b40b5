package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newLogs returns n logs of r.
func newLogs(r *Recorder, n int) []*Log {
	logs := make([]*Log, n)
	for i := range logs {
		logs[i] = r.NewLog()
	}
	return logs
}

// fileTimes returns time and process of every event of a file, in its order.
func fileTimes(t *testing.T, path string) (times []Time, processes []Process, values []int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for i := -1; sc.Scan(); i++ {
		if i < 0 {
			continue // header
		}
		var e struct {
			Index, Time, Process, Value int64
		}
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", sc.Bytes(), err)
		}
		if e.Index != int64(i) {
			t.Fatalf("index %d at position %d", e.Index, i)
		}
		times = append(times, Time(e.Time))
		processes = append(processes, Process(e.Process))
		values = append(values, e.Value)
	}
	return times, processes, values
}

// TestRecorderMergesByTime records with many workers at full speed and finds every
// event in the file, in the order of time and of each worker.
func TestRecorderMergesByTime(t *testing.T) {
	const workers, events = 8, 4000
	path := filepath.Join(t.TempDir(), FileName)
	r, err := Create(path, Header{Test: "merge"})
	if err != nil {
		t.Fatal(err)
	}
	stamps := make([][]Time, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			l := r.NewLog() // also while others record
			for n := range events {
				typ := Invoke
				if n%2 == 1 {
					typ = OK
				}
				e := Event{Process: Process(w), Type: typ, F: "write", Value: Int(int64(n))}
				stamps[w] = append(stamps[w], l.Record(e))
			}
		})
	}
	wg.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	times, processes, values := fileTimes(t, path)
	if len(times) != workers*events {
		t.Fatalf("%d events in the file, recorded %d", len(times), workers*events)
	}
	var next [workers]int64
	for i, at := range times {
		p := processes[i]
		if i > 0 && at < times[i-1] {
			t.Fatalf("event %d is of time %d, the one before of %d", i, at, times[i-1])
		}
		if values[i] != next[p] || at != stamps[p][next[p]] {
			t.Fatalf("worker %d: event %d at time %d, want %d at %d",
				p, values[i], at, next[p], stamps[p][next[p]])
		}
		next[p]++
	}
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Ops) != workers*events/2 || h.Header.Test != "merge" || h.Torn {
		t.Errorf("loaded %d operations of %q, torn %v", len(h.Ops), h.Header.Test, h.Torn)
	}
}

// memory is a file that notes when it was written and synced.
type memory struct {
	mu        sync.Mutex
	buf       bytes.Buffer
	synced    int
	onWrite   func(b []byte) error
	onSync    func()
	closeErr  error
	syncError error
}

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.onWrite != nil {
		if err := m.onWrite(b); err != nil {
			return 0, err
		}
	}
	return m.buf.Write(b)
}

func (m *memory) Sync() error {
	m.mu.Lock()
	n, onSync := m.buf.Len(), m.onSync
	m.mu.Unlock()
	if onSync != nil {
		onSync()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = n
	return m.syncError
}

func (m *memory) Close() error { return m.closeErr }

func (m *memory) durable() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.buf.Bytes()[:m.synced])
}

// TestRecorderFollow: a follower hears every event in the order of the file, with its
// index, until it is sent away.
func TestRecorderFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := newRecorder("followed", &memory{}, Header{})
		if err != nil {
			t.Fatal(err)
		}
		r.run()
		var heard []int64
		logs := []*Log{r.NewLog(), r.NewLog()}
		tell := func() {
			for i := range 20 {
				logs[i%2].Record(Event{Process: Process(i % 2), Type: Type(i / 2 % 2), F: "read"})
				<-time.After(3 * time.Millisecond)
			}
			<-time.After(2 * mergeEvery)
			synctest.Wait()
		}
		r.Follow(func(e Event) { heard = append(heard, e.Index) })
		tell()
		r.Follow(nil)
		<-time.After(2 * mergeEvery)
		synctest.Wait()
		tell()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		for i, index := range heard {
			if int64(i) != index {
				t.Fatalf("heard %v", heard)
			}
		}
		if len(heard) != 20 {
			t.Errorf("heard of %d events, want 20", len(heard))
		}
	})
}

// TestRecorderTies steps a clock by hand: at one time invocations come first, a
// worker's own order stays, and what is not older than the round waits.
func TestRecorderTies(t *testing.T) {
	file := &memory{}
	r, err := newRecorder("ties", file, Header{})
	if err != nil {
		t.Fatal(err)
	}
	var now Time
	r.clock = func() Time { return now }
	logs := newLogs(r, 3)
	record := func(at Time, log int, typ Type) {
		now = at
		logs[log].Record(Event{Process: Process(log), Type: typ, F: "read"})
	}
	written := func() string {
		var s []string
		for _, line := range strings.Split(file.buf.String(), "\n")[1:] {
			var e struct {
				Time, Process int64
				Type          string
			}
			if json.Unmarshal([]byte(line), &e) == nil {
				s = append(s, fmt.Sprintf("%d:%d:%s", e.Time, e.Process, e.Type))
			}
		}
		return strings.Join(s, " ")
	}
	record(1, 2, Invoke)
	record(1, 0, Invoke)
	record(5, 0, OK)
	record(5, 0, Invoke)
	record(5, 1, Invoke)
	record(6, 2, OK)
	now = 5
	r.merge()
	if got, want := written(), "1:0:invoke 1:2:invoke"; got != want {
		t.Errorf("before 5: %s, want %s", got, want)
	}
	record(7, 1, OK)
	r.merge()
	want := "1:0:invoke 1:2:invoke 5:1:invoke 5:0:ok 5:0:invoke 6:2:ok"
	if got := written(); got != want {
		t.Errorf("before 7: %s, want %s", got, want)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got := written(); got != want+" 7:1:ok" {
		t.Errorf("after close: %s", got)
	}
}

// TestMergeWhileRecording merges without pause while workers record, so that a
// round often falls between the moments at which two logs are taken over.
func TestMergeWhileRecording(t *testing.T) {
	const workers, events = 4, 20_000
	file := &memory{}
	r, err := newRecorder("race", file, Header{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, l := range newLogs(r, workers) {
		wg.Go(func() {
			for range events {
				l.Record(Event{Process: Nemesis, Type: Info, F: "x"})
			}
		})
	}
	recorded := make(chan struct{})
	go func() {
		wg.Wait()
		close(recorded)
	}()
	for more := true; more; {
		select {
		case <-recorded:
			more = false
		default:
			r.merge()
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := Read(&file.buf, "race") // rejects times out of order
	if err != nil || len(h.Nemesis) != workers*events {
		t.Errorf("%d events, %v", len(h.Nemesis), err)
	}
}

// TestRecorderLag gives the recorder a disk that needs 15 ms for a sync and finds
// every event synced 50 ms after its time.
func TestRecorderLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &memory{}
		r, err := newRecorder("lag", file, Header{})
		if err != nil {
			t.Fatal(err)
		}
		file.onSync = func() { <-time.After(15 * time.Millisecond) }
		r.run()
		l := r.NewLog()
		var recorded []Time
		for range 1006 { // the last one comes between two rounds
			<-time.After(700 * time.Microsecond)
			e := Event{Process: 1, Type: Type(len(recorded) % 2), F: "read"}
			recorded = append(recorded, l.Record(e))
			if len(recorded)%5 > 0 {
				continue
			}
			h, err := Read(bytes.NewReader(file.durable()), "durable")
			if err != nil {
				t.Fatal(err)
			}
			old := 0
			for old < len(recorded) && recorded[old] < r.Now()-Time(50*time.Millisecond) {
				old++
			}
			if old > 0 && h.End() < recorded[old-1] {
				t.Fatalf("at %d the disk has events until %d, want %d", r.Now(), h.End(), recorded[old-1])
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		h, err := Read(bytes.NewReader(file.durable()), "durable")
		if err != nil || len(h.Ops) != len(recorded)/2 || h.End() != recorded[len(recorded)-1] {
			t.Errorf("in the end the disk has %d operations until %d, %v", len(h.Ops), h.End(), err)
		}
	})
}

// TestRecorderDiskError fills the disk in mid-run: the workers go on, the error is
// reported, and what was written before is a history.
func TestRecorderDiskError(t *testing.T) {
	full := errors.New("no space left on device")
	for name, breakIt := range map[string]func(m *memory, on *atomic.Bool){
		"write": func(m *memory, on *atomic.Bool) {
			m.onWrite = func([]byte) error {
				if on.Load() {
					return full
				}
				return nil
			}
		},
		"sync": func(m *memory, on *atomic.Bool) {
			m.onSync = func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				if on.Load() {
					m.syncError = full
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var on atomic.Bool
				file := &memory{}
				breakIt(file, &on)
				r, err := newRecorder("disk", file, Header{})
				if err != nil {
					t.Fatal(err)
				}
				r.run()
				testDiskError(t, r, file, &on, full)
			})
		})
	}
}

func testDiskError(t *testing.T, r *Recorder, file *memory, on *atomic.Bool, full error) {
	l := r.NewLog()
	l.Record(Event{Type: Invoke, F: "read"})
	<-time.After(100 * time.Millisecond)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	on.Store(true)
	l.Record(Event{Type: OK, F: "read"})
	<-time.After(100 * time.Millisecond)
	if !errors.Is(r.Err(), full) {
		t.Fatalf("Err is %v, want %v", r.Err(), full)
	}
	for range 100_000 {
		l.Record(Event{Type: Invoke, F: "read"})
	}
	if len(l.buf) > 0 {
		t.Errorf("%d events pile up behind a broken disk", len(l.buf))
	}
	if err := r.Close(); !errors.Is(err, full) {
		t.Errorf("Close returns %v", err)
	}
	h, err := Read(bytes.NewReader(file.durable()), "durable")
	if err != nil || len(h.Ops) != 1 {
		t.Errorf("the disk has %v, %v, want the first invocation", h, err)
	}
}

// TestRecorderClose checks that late events are dropped, not lost halfway or
// written behind the end.
func TestRecorderClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	r, err := Create(path, Header{Test: "close", Seed: 1<<64 - 1, Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	l := r.NewLog()
	var wg sync.WaitGroup
	started := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			for i := range 10_000 {
				if w == 0 && i == 100 {
					close(started)
				}
				l.Record(Event{Process: Nemesis, Type: Info, F: "tick"})
			}
		})
	}
	<-started
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	r.NewLog().Record(Event{F: "late"})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if len(l.buf) > 0 {
		t.Errorf("%d events pile up behind a closed recorder", len(l.buf))
	}
	h, err := Load(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(h.Nemesis); n < 100 || n > 40_000 || h.Nemesis[n-1].F != "tick" {
		t.Errorf("%d events, the last is %s", n, h.Nemesis[n-1].F)
	}
	if h.Header.Seed != 1<<64-1 || h.Header.Labels["a"] != "b" || h.Header.Format != Format {
		t.Errorf("header is %+v", h.Header)
	}
	if _, err := Create(path, Header{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create over a history: %v", err)
	}
	if _, err := Create(filepath.Join(path, "x"), Header{}); err == nil {
		t.Error("Create below a file succeeds")
	}
}

// TestRecordAllocates checks that recording costs no allocation per event.
func TestRecordAllocates(t *testing.T) {
	r, err := newRecorder("allocs", &memory{}, Header{})
	if err != nil {
		t.Fatal(err)
	}
	l := r.NewLog()
	n := testing.AllocsPerRun(200, func() {
		for i := range 100 {
			l.Record(Event{Process: 1, Type: Type(i % 2), F: "cas", Key: "k", Value: Pair(1, 2)})
		}
		l.drain()
		l.next = len(l.taken)
	})
	if n > 1 { // per 100 events, once the two buffers have grown
		t.Errorf("100 events allocate %v times", n)
	}
}

// TestMergerAgainstSort compares the merge with sorting everything at once.
func TestMergerAgainstSort(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		file := &memory{}
		r, err := newRecorder("sort", file, Header{})
		if err != nil {
			t.Fatal(err)
		}
		var now Time
		r.clock = func() Time { return now }
		logs := newLogs(r, 1+rnd.IntN(9))
		counts := map[Time]int{}
		for range rnd.IntN(200) {
			now += Time(rnd.IntN(3))
			logs[rnd.IntN(len(logs))].Record(Event{Process: Nemesis, Type: Info, F: "x"})
			counts[now]++
			if rnd.IntN(10) == 0 {
				r.merge()
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		h, err := Read(&file.buf, "sort") // rejects times out of order
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range h.Nemesis {
			counts[e.Time]--
		}
		for at, n := range counts {
			if n != 0 {
				t.Errorf("time %d: %d events are missing", at, n)
			}
		}
	}
}
