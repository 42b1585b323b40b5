package history

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// ednFile writes events as EDN.
func ednFile(events []Event) []byte {
	var b []byte
	for i := range events {
		b = append(events[i].AppendEDN(b), '\n')
	}
	if len(events) == 0 {
		return []byte("[]\n") // a file with nothing in it is no history
	}
	return b
}

// TestEDNRoundTrip writes histories as EDN and reads them back: nothing is lost.
func TestEDNRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := genEvents(t)
		for i := range events { // files of other tools are in order: equal times are moved
			events[i].Time += Time(i)
		}
		want, err := New(events...)
		if err != nil {
			t.Fatal(err)
		}
		file := ednFile(events)
		got, err := Read(bytes.NewReader(file), "x")
		if err != nil {
			t.Fatalf("%v in\n%s", err, file)
		}
		if render(got) != render(want) {
			t.Fatalf("got\n%swant\n%sfile\n%s", render(got), render(want), file)
		}
	})
}

// TestEDNOfEvents: what other programs read.
func TestEDNOfEvents(t *testing.T) {
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Index: 3, Time: 9, Process: 2, Type: OK, F: "cas", Key: "5", Value: Pair(1, -2)},
			`{:index 3, :time 9, :process 2, :type :ok, :f :cas, ` +
				`:value #jepsen.independent/tuple [5 [1 -2]]}`},
		{Event{Process: 1, F: "txn", Value: Steps(Step{StepAppend, "x", Int(1)},
			Step{StepRead, "y", Nil()})},
			`{:index 0, :time 0, :process 1, :type :invoke, :f :txn, ` +
				`:value [[:append "x" 1] [:r "y" nil]]}`},
		{Event{Process: Nemesis, Type: Info, F: "start, 1}", Key: "05", Error: "a\n\"b\\c\"\x01",
			Value: Map(Field{"a b", Float(math.Inf(-1))}, Field{"c", Float(2)})},
			`{:index 0, :time 0, :process :nemesis, :type :info, :f "start, 1}", ` +
				`:value #jepsen.independent/tuple ["05" {"a b" ##-Inf, "c" 2.0}], ` +
				`:error "a\n\"b\\c\"\u0001"}`},
	} {
		if got := string(c.e.AppendEDN(nil)); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

// TestScan: what a sink gets is what Load keeps.
func TestScan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	rapid.Check(t, func(rt *rapid.T) {
		events := genEvents(rt)
		file := historyFile(events)
		if rapid.Bool().Draw(rt, "torn") {
			file = append(file, `{"index":99`...)
		}
		if err := os.WriteFile(path, file, 0o644); err != nil {
			rt.Fatal(err)
		}
		want, err := Load(path)
		if err != nil {
			rt.Fatal(err)
		}
		var lines []byte
		got := &History{}
		end, err := Scan(path, LoadOptions{block: 100}, Sink{
			Event: func(e *Event) error {
				lines = append(e.AppendJSON(lines), '\n')
				if e.Process == Nemesis {
					got.Nemesis = append(got.Nemesis, *e)
				}
				return nil
			},
			Op: func(op *Operation) error {
				got.Ops = append(got.Ops, *op)
				return nil
			},
		})
		if err != nil {
			rt.Fatal(err)
		}
		if end.Torn != want.Torn || end.End != want.end {
			rt.Fatalf("got %+v, want torn %v and end %d", end, want.Torn, want.end)
		}
		if !slices.IsSortedFunc(got.Ops, func(a, b Operation) int {
			return cmp.Compare(a.Ended, b.Ended)
		}) {
			rt.Fatalf("the ends are out of order:\n%s", render(got))
		}
		slices.SortFunc(got.Ops, func(a, b Operation) int { return int(a.Index - b.Index) })
		if render(got) != render(want) {
			rt.Fatalf("got\n%swant\n%s", render(got), render(want))
		}
		_, all, _ := bytes.Cut(historyFile(events), []byte{'\n'})
		if !bytes.Equal(lines, all) {
			rt.Fatalf("events\n%swant\n%s", lines, all)
		}
	})
}

// TestScanErrors: a sink ends the reading, and bad files are as bad as for Load.
func TestScanErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "h")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full := errors.New("disk full")
	_, err := Scan(write(`{:type :invoke, :f :read}`), LoadOptions{}, Sink{
		Event: func(*Event) error { return full },
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v, want that of the sink", err)
	}
	for text, want := range map[string]string{
		"{:type :ok, :f :read, :process 1}": ":1:1: process 1 completes read without an invocation",
		"w(1,2,3,4)\n":                      ErrUntimed.Error(),
		"":                                  "nothing in it",
	} {
		_, err := Scan(write(text), LoadOptions{}, Sink{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestScanMemory reads a long history in little memory: every operation has a key and a
// value of its own, and some never end.
func TestScanMemory(t *testing.T) {
	r, w := io.Pipe()
	const ops = 400_000
	go func() {
		b := []byte("{\"ordeal\":\"history\",\"format\":1}\n")
		for i := range int64(ops) {
			p := Process(i % 10)
			key := Key(fmt.Sprintf("k%d", i))
			e := Event{Index: 2 * i, Time: Time(2 * i), Process: p, F: "write", Key: key,
				Value: Str("value of " + string(key))}
			b = append(e.AppendJSON(b), '\n')
			e.Index, e.Time, e.Type = e.Index+1, e.Time+1, OK
			b = append(e.AppendJSON(b), '\n')
			if len(b) > 1<<16 || i == ops-1 {
				if _, err := w.Write(b); err != nil {
					return
				}
				b = b[:0]
			}
		}
		_ = w.Close()
	}()
	n, peak := 0, uint64(0)
	var m runtime.MemStats
	j := newJoiner("pipe", 0, LoadOptions{})
	j.sink = &Sink{Op: func(*Operation) error {
		if n++; n%50_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
		return nil
	}}
	if _, err := read(r, 0, j); err != nil || n != ops {
		t.Fatalf("%d operations, %v", n, err)
	}
	if len(j.h.Ops) > 10 {
		t.Errorf("%d operations are kept", len(j.h.Ops))
	}
	if peak > 128<<20 {
		t.Errorf("%d MiB are in use", peak>>20)
	}
}

func TestDecodeEvent(t *testing.T) {
	for _, want := range sampleEvents() {
		got, err := DecodeEvent(want.AppendJSON(nil))
		if err != nil || string(got.AppendJSON(nil)) != string(want.AppendJSON(nil)) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	for _, bad := range []string{"", "{", `{"index":1}`, `{"process":1,"type":"ok","f":"r"} x`} {
		if e, err := DecodeEvent([]byte(bad)); err == nil {
			t.Errorf("%q became %+v", bad, e)
		}
	}
}
