package export

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/ordeal-dev/ordeal/history"
)

// sample has something of everything that a history may hold.
func sample(t *testing.T) string {
	t.Helper()
	return file(t, history.Header{Test: "a test", Seed: 7},
		history.Event{Time: 1, Process: 0, F: "write", Key: "k\"1,\n", Value: history.Int(-3)},
		history.Event{Time: 2, Process: 7, F: "=cmd()", Key: "ключ", Value: history.Pair(1, 2)},
		history.Event{Time: 3, Process: history.Nemesis, F: "start", Value: history.Map(
			history.Field{Name: "id", Value: history.Int(1)})},
		history.Event{Time: 4, Process: 7, Type: history.Info, F: "=cmd()", Key: "ключ",
			Error: "no answer:\n\"é\""},
		history.Event{Time: 5, Process: 0, Type: history.OK, F: "write", Key: "k\"1,\n"},
		history.Event{Time: 6, Process: 22, F: "read", Value: history.Nil()},
		history.Event{Time: 7, Process: 8, F: "read", Key: "5"},
		history.Event{Time: 8, Process: 8, Type: history.OK, F: "read", Key: "5",
			Value: history.Map(history.Field{Name: "a b", Value: history.Float(1)})},
	)
}

// file writes a history.
func file(t *testing.T, h history.Header, events ...history.Event) string {
	t.Helper()
	h.Format = history.Format
	b, err := h.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	for i := range events {
		events[i].Index = int64(i)
		b = append(events[i].AppendJSON(b), '\n')
	}
	return write(t, b)
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func export(t *testing.T, path string, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Write(&b, path, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLines: what is read back is what was written.
func TestLines(t *testing.T) {
	path := sample(t)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edn := write(t, export(t, path, Options{Format: EDN}))
	if got := export(t, path, Options{Format: JSONL}); !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	_, events, _ := bytes.Cut(want, []byte{'\n'})
	_, got, _ := bytes.Cut(export(t, edn, Options{Format: JSONL}), []byte{'\n'})
	if !bytes.Equal(got, events) {
		t.Errorf("by way of EDN\n%swant\n%s", got, events)
	}
}

// TestTables: both kinds of tables have the same cells.
func TestTables(t *testing.T) {
	path := sample(t)
	ops := [][]string{
		{"index", "process", "f", "key", "call_ns", "return_ns", "type", "input", "output", "error"},
		{"1", "7", "=cmd()", "ключ", "2", "", "info", "[1,2]", "", "no answer:\n\"é\""},
		{"0", "0", "write", "k\"1,\n", "1", "5", "ok", "-3", "", ""},
		{"6", "8", "read", "5", "7", "8", "ok", "", `{"a b":1.0}`, ""},
		{"5", "22", "read", "", "6", "", "info", "", "", ""},
	}
	events := [][]string{
		{"index", "time_ns", "process", "type", "f", "key", "value", "error"},
		{"0", "1", "0", "invoke", "write", "k\"1,\n", "-3", ""},
		{"1", "2", "7", "invoke", "=cmd()", "ключ", "[1,2]", ""},
		{"2", "3", "-1", "invoke", "start", "", `{"id":1}`, ""},
		{"3", "4", "7", "info", "=cmd()", "ключ", "", "no answer:\n\"é\""},
		{"4", "5", "0", "ok", "write", "k\"1,\n", "", ""},
		{"5", "6", "22", "invoke", "read", "", "", ""},
		{"6", "7", "8", "invoke", "read", "5", "", ""},
		{"7", "8", "8", "ok", "read", "5", `{"a b":1.0}`, ""},
	}
	for _, c := range []struct {
		events bool
		want   [][]string
	}{{false, ops}, {true, events}} {
		got, err := csv.NewReader(bytes.NewReader(
			export(t, path, Options{Format: CSV, Events: c.events}))).ReadAll()
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("csv: %v\n%q\nwant\n%q", err, got, c.want)
		}
		got = cells(t, export(t, path, Options{Format: Parquet, Events: c.events}))
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("parquet:\n%q\nwant\n%q", got, c.want)
		}
	}
}

// cells reads a Parquet file by its own description, as any other program would.
func cells(t *testing.T, b []byte) [][]string {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range f.Schema().Columns() {
		names = append(names, c[0])
	}
	table := [][]string{names}
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		batch := make([]parquet.Row, 10)
		for {
			n, err := rows.ReadRows(batch)
			for _, r := range batch[:n] {
				row := make([]string, len(names))
				for _, v := range r {
					if !v.IsNull() {
						row[v.Column()] = v.String()
					}
				}
				table = append(table, row)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// TestElle: transactions go to elle-cli, anything else is refused.
func TestElle(t *testing.T) {
	txn := func(steps ...history.Step) history.Value { return history.Steps(steps...) }
	step := func(f history.F) history.Value {
		return txn(history.Step{F: f, Key: "x", Value: history.Int(1)})
	}
	path := file(t, history.Header{},
		history.Event{Time: 1, F: "txn", Value: step("append")},
		history.Event{Time: 2, Process: history.Nemesis, F: "start"},
		history.Event{Time: 3, Type: history.OK, F: "txn", Value: step("append")},
		history.Event{Time: 4, F: "txn", Value: step("r")},
		history.Event{Time: 5, Type: history.Info, F: "txn", Error: "timeout"})
	const want = `[
{"index":0,"time":1,"process":0,"type":"invoke","f":"txn","value":[["append","x",1]]},
{"index":2,"time":3,"process":0,"type":"ok","f":"txn","value":[["append","x",1]]},
{"index":3,"time":4,"process":0,"type":"invoke","f":"txn","value":[["r","x",1]]},
{"index":4,"time":5,"process":0,"type":"info","f":"txn","value":null,"error":"timeout"}
]
`
	if got := string(export(t, path, Options{Format: ElleJSON})); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, c := range []struct {
		events []history.Event
		want   string
	}{
		{[]history.Event{{F: "read", Key: "k", Value: history.Nil()}}, "the key"},
		{[]history.Event{{F: "write", Value: history.Int(1)}}, "no transaction"},
		{[]history.Event{{F: "txn", Value: step("add")}}, `no step "add"`},
		{[]history.Event{{F: "txn", Value: step("w")},
			{Type: history.OK, F: "txn", Value: step("append")}}, `"append" where event 0 has "w"`},
	} {
		for i := range c.events {
			c.events[i].Time = history.Time(i + 1)
		}
		_, err := Write(io.Discard, file(t, history.Header{}, c.events...), Options{Format: ElleJSON})
		if !errors.Is(err, ErrContent) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestEdges: empty and torn histories, values that JSON has no words for, full disks.
func TestEdges(t *testing.T) {
	names, _ := Formats()
	empty := file(t, history.Header{})
	torn := write(t, append(export(t, sample(t), Options{Format: JSONL}), `{"index":8,"ti`...))
	for _, f := range names {
		if got := export(t, empty, Options{Format: f}); len(got) == 0 {
			t.Errorf("%s of an empty history is empty: nothing reads that", f)
		}
		if f == ElleJSON {
			continue
		}
		done, err := Write(io.Discard, torn, Options{Format: f})
		if err != nil || !done.Torn || done.Rows == 0 {
			t.Errorf("%s of a torn history: %+v, %v", f, done, err)
		}
		_, err = Write(broken{}, torn, Options{Format: f})
		if !IsOutput(err) || !errors.Is(err, errFull) {
			t.Errorf("%s to a full disk: %v", f, err)
		}
	}
	nan := write(t, []byte("{:type :invoke, :f :write, :process 1, :value [##NaN]}"))
	for _, f := range []Format{JSONL, ElleJSON} {
		if _, err := Write(io.Discard, nan, Options{Format: f}); !errors.Is(err, ErrContent) {
			t.Errorf("a NaN as %s: %v", f, err)
		}
	}
	if got := string(export(t, nan, Options{Format: EDN})); !strings.Contains(got, "[##NaN]") {
		t.Errorf("a NaN as EDN: %s", got)
	}
	if _, err := ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "elle-json") {
		t.Errorf("got %v", err)
	}
	for _, name := range names {
		if f, err := ParseFormat(string(name)); err != nil || f != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errFull = errors.New("disk full")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errFull }

// TestMemory: the heap does not grow with the history, whatever the format.
func TestMemory(t *testing.T) {
	const ops = 150_000
	path := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(path, long(t, ops), 0o644); err != nil {
		t.Fatal(err)
	}
	names, _ := Formats()
	for _, f := range names {
		w := &watched{}
		if _, err := Write(w, path, Options{Format: f}); err != nil {
			t.Fatal(err)
		}
		if w.n == 0 || w.peak > 160<<20 {
			t.Errorf("%s: %d bytes, up to %d MiB in use", f, w.n, w.peak>>20)
		}
	}
}

// long writes a history of list-append in which no two values are the same.
func long(t *testing.T, ops int) []byte {
	t.Helper()
	b, err := history.Header{Format: history.Format}.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	for i := range int64(ops) {
		e := history.Event{
			Index: 2 * i, Time: history.Time(2 * i), Process: history.Process(i % 10), F: "txn",
			Value: history.Steps(history.Step{
				F: history.StepAppend, Key: history.Key(fmt.Sprint("k", i)), Value: history.Int(i),
			}),
		}
		b = append(e.AppendJSON(b), '\n')
		e.Index, e.Time, e.Type = e.Index+1, e.Time+1, history.OK
		b = append(e.AppendJSON(b), '\n')
	}
	return b
}

// watched looks at the heap now and then.
type watched struct {
	n, looked int64
	peak      uint64
}

func (w *watched) Write(b []byte) (int, error) {
	if w.n += int64(len(b)); w.n-w.looked > 4<<20 || w.looked == 0 {
		w.looked = w.n
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.peak = max(w.peak, m.HeapAlloc)
	}
	return len(b), nil
}
