package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const sampleHeader = `{"ordeal":"history","format":1,"test":"sample","seed":42}`

// render shows a history completely, so that two can be compared.
func render(h *History) string {
	var b strings.Builder
	for _, op := range h.Ops {
		fmt.Fprintf(&b, "%d: %d..%d (%d) process %d %s %q %s -> %v %s %q\n", op.Index, op.Call,
			op.Return, op.Ended, op.Process, op.F, op.Key, op.In, op.Type, op.Out, op.Error)
	}
	for i := range h.Nemesis {
		fmt.Fprintf(&b, "%s\n", h.Nemesis[i].AppendJSON(nil))
	}
	return b.String()
}

// genEvents draws the events of a legal history.
func genEvents(t *rapid.T) []Event {
	text := rapid.StringMatching(`[a-z]{1,3}|[^\x{d800}-\x{dfff}]{1,2}`)
	value := genValue(2)
	open := map[Process]F{}
	var events []Event
	now := Time(rapid.Int64Range(1, 9).Draw(t, "start"))
	for range rapid.IntRange(0, 40).Draw(t, "events") {
		now += Time(rapid.SampledFrom([]int64{0, 1, 1e9, 1e15}).Draw(t, "pause"))
		p := Process(rapid.SampledFrom([]int64{-1, 0, 1, 255, 256, 1e12}).Draw(t, "process"))
		e := Event{
			Index:   int64(len(events)),
			Time:    now,
			Process: p,
			F:       F(text.Draw(t, "f")),
			Key:     Key(rapid.OneOf(rapid.Just(""), text).Draw(t, "key")),
			Value:   value.Draw(t, "value"),
		}
		switch f, ok := open[p]; {
		case p == Nemesis:
			e.Type = rapid.SampledFrom([]Type{Invoke, Info}).Draw(t, "type")
		case ok:
			e.F, e.Type = f, rapid.SampledFrom([]Type{OK, Fail, Info}).Draw(t, "type")
			e.Error = rapid.OneOf(rapid.Just(""), text).Draw(t, "error")
			delete(open, p)
		default:
			open[p] = e.F
		}
		events = append(events, e)
	}
	return events
}

// TestFileRoundTrip writes histories as files and reads them back.
func TestFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := genEvents(t)
		want, err := New(events...)
		if err != nil {
			t.Fatal(err)
		}
		// Not all at once, so that lines lie across the borders of reads.
		file := iotest.HalfReader(bytes.NewReader(historyFile(events)))
		got, err := Read(file, "x")
		if err != nil {
			t.Fatal(err)
		}
		if render(got) != render(want) || got.Torn {
			t.Fatalf("got\n%swant\n%s", render(got), render(want))
		}
	})
}

// sampleEvents has something of everything that a line may hold.
func sampleEvents() []Event {
	return []Event{
		{Time: 1, Process: 0, Type: Invoke, F: "write", Key: "k\"1", Value: Int(-3)},
		{Time: 1, Process: 7, Type: Invoke, F: "cas", Key: "ключ", Value: Pair(1, 2)},
		{Time: 2, Process: Nemesis, Type: Invoke, F: "start", Value: Map(
			Field{"id", Int(1)}, Field{"nodes", Strings("n1")}, Field{"at", Float(0.5)})},
		{Time: 3, Process: 0, Type: OK, F: "write", Key: "k\"1"},
		{Time: 3, Process: 7, Type: Info, F: "cas", Key: "ключ", Error: "no answer:\n\"é\""},
		{Time: 4, Process: 300, Type: Invoke, F: "read", Value: List(Bool(true), Nil(), Ints(1, 2, 3))},
		{Time: 5, Process: Nemesis, Type: Info, F: "start", Error: "x"},
		{Time: 9, Process: 300, Type: Fail, F: "read", Error: "empty"},
	}
}

// TestEveryCut cuts a file at every byte: the rest is a history of all lines that
// are whole.
func TestEveryCut(t *testing.T) {
	events := sampleEvents()
	for i := range events {
		events[i].Index = int64(i)
	}
	file := historyFile(events)
	for cut := 1; cut <= len(file); cut++ {
		h, err := Read(bytes.NewReader(file[:cut]), "cut")
		if err != nil {
			t.Fatalf("cut at %d, behind %q: %v", cut, file[max(0, cut-20):cut], err)
		}
		// A line that lacks only its newline is whole.
		whole := bytes.Count(file[:cut], []byte{'\n'})
		torn := file[cut-1] != '\n'
		if cut < len(file) && file[cut] == '\n' {
			whole, torn = whole+1, false
		}
		want, err := New(events[:max(0, whole-1)]...)
		if err != nil {
			t.Fatal(err)
		}
		if render(h) != render(want) || h.Torn != torn {
			t.Fatalf("cut at %d: torn %v\n%swant %v\n%s", cut, h.Torn, render(h), torn, render(want))
		}
		if hasHeader := h.Header.Seed == 1; hasHeader != (whole > 0) {
			t.Fatalf("cut at %d: header %+v", cut, h.Header)
		}
	}
}

// TestTornByZeros loads what some file systems leave after a power failure.
func TestTornByZeros(t *testing.T) {
	file := append(historyFile(sampleEvents()[:1]), make([]byte, 4096)...)
	h, err := Read(bytes.NewReader(file), "zeros")
	if err != nil || !h.Torn || len(h.Ops) != 1 {
		t.Errorf("got %+v, %v", h, err)
	}
}

// TestTolerance reads lines that this package would not write, but others might.
func TestTolerance(t *testing.T) {
	lines := []string{
		sampleHeader,
		``,
		"\t{ \"f\" : \"read\" ,\"type\":\"\\u0069nvoke\", \"process\": 3, \"time\" : 5 } \r",
		`{"value":[{"a":[]},1.5],"extra":{"x":[1,{"y":null}]},"error":null,"process":3,` +
			`"type":"ok","time":5,"f":"read","node":"n1","key":null}`,
		`{"process":4,"type":"invoke","time":6,"f":"r","index":90,"key":17,"value":1e2}`,
		`{"process":4,"type":"fail","time":7,"f":"r","error":["timeout",{"ms":5}]}`,
	}
	h, err := Read(strings.NewReader(strings.Join(lines, "\n")), "odd")
	if err != nil {
		t.Fatal(err)
	}
	want := `0: 5..5 (5) process 3 read "" null -> ok [{"a":[]},1.5] ""
90: 6..7 (7) process 4 r "17" 100.0 -> fail null "[\"timeout\",{\"ms\":5}]"
`
	if got := render(h); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if h.Torn || h.Header.Test != "sample" || h.Header.Seed != 42 || h.Source != "odd" {
		t.Errorf("torn %v, header %+v, source %s", h.Torn, h.Header, h.Source)
	}
}

func TestBadLines(t *testing.T) {
	const ok = `{"time":5,"process":1,"type":"invoke","f":"read"}`
	for _, tc := range []struct{ line, want string }{
		{`{"time":6,"process":2,"type":"okay","f":"read"}`,
			`3:30: "type" is "okay": want invoke, ok, fail or info`},
		{`{"time":6,"process":2,"type":7,"f":"read"}`,
			`3:30: "type" is 7: want invoke, ok, fail or info`},
		{`{"time":6,"process":"client","type":"ok","f":"read"}`,
			`3:21: "process" is "client": want a whole number from 0 or "nemesis"`},
		{`{"time":6,"process":-1,"type":"ok","f":"read"}`,
			`3:21: "process" is -1: want a whole number from 0`},
		{`{"time":"6","process":1,"type":"ok","f":"read"}`,
			`3:9: "time" is "6": want a whole number from 0`},
		{`{"time":6,"process":1,"type":"ok","f":["read"]}`, `3:39: "f" is ["read"]: want a string`},
		{`{"time":6,"process":1,"type":"ok"}`, `3:1: an event without "f"`},
		{`{"time":6,"type":"ok","f":"read"}`, `3:1: an event without "process"`},
		{` {"time":6,"process":1,"f":"read"}`, `3:2: an event without "type"`},
		{`{"process":1,"type":"ok","f":"read"}`, `3:1: an event without "time"`},
		{`{"time":4,"process":1,"type":"ok","f":"read"}`, `3:9: time goes back from 5 to 4`},
		{`{"index":0,"time":6,"process":1,"type":"ok","f":"read"}`,
			`3:10: index 0 comes after index 0`},
		{`{"time":6,"process":2,"type":"ok","f":"read"}`,
			`3:21: process 2 completes read without an invocation`},
		{`{"time":6,"process":1000,"type":"info","f":"read"}`,
			`3:21: process 1000 completes read without an invocation`},
		{`{"time":6,"process":1,"type":"invoke","f":"write"}`,
			`3:21: process 1 invokes write while its read of index 0 is open`},
		{`{"time":6,"process":1,"type":"ok","f":"write"}`,
			`3:39: process 1 completes write but invoked read at index 0`},
		{`{"time":6,"process":"nemesis","type":"ok","f":"start"}`,
			`3:38: the nemesis reports ok: want invoke or info`},
		{`{"time":6,"process":1,"type":"ok","f":"read","value":[1 2]}`,
			`3:57: '2': want comma or ] in a list`},
		{`{"time":6 "process":1}`, `3:11: '"': want comma or } after a field`},
		{`{"time":6`, `3:10: end of input: want comma or } after a field`},
		{ok + ` x`, `3:51: 'x': want the end of the line after an event`},
		{`[1]`, `3:1: '[': want an event, that is {`},
		{`{:type :ok}`, `3:2: ':': want a field name in quotes`},
	} {
		file := sampleHeader + "\n" + ok + "\n" + tc.line + "\n" + ok
		h, err := Read(strings.NewReader(file), "history.jsonl")
		if want := "history.jsonl:" + tc.want; err == nil || err.Error() != want {
			t.Errorf("%s\n got %v, %v\nwant %s", tc.line, h, err, want)
		}
	}
}

func TestBadHeaders(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{`{"ordeal":"history","format":2,"test":"x"}` + "\n", `h:1:1: format 2 is newer than 1, ` +
			`the newest that this program reads: update the program`},
		{`{"ordeal":"history","format":0}` + "\n", `h:1:1: "format" is 0: want a number from 1`},
		{`{"ordeal":"schedule","format":1}` + "\n",
			`h:1:1: "ordeal" is "schedule": want history, this file holds something else`},
		{`{"ordeal":"history","format":}` + "\n",
			`h:1:30: bad header: `},
		{" \n\t\n", `read history h: nothing in it`},
		{"", `read history h: nothing in it`},
		{`{"ordeal": nonsense` + "\n", `h:1:13: bad header: `},
	} {
		h, err := Read(strings.NewReader(tc.file), "h")
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s\n got %v, %v\nwant %s", tc.file, h, err, tc.want)
		}
	}
}

func TestLoadPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	event := `{"time":5,"process":1,"type":"invoke","f":"read"}`
	file := write("run/history.jsonl", sampleHeader+"\n"+event+"\n")
	for _, path := range []string{file, filepath.Dir(file)} {
		h, err := Load(path)
		if err != nil || len(h.Ops) != 1 || h.Source != file {
			t.Errorf("%s: %+v, %v", path, h, err)
		}
	}
	edn := write("misnamed.json", `{:type :invoke :f :read :process 0}`)
	if h, err := Load(edn); err != nil || len(h.Ops) != 1 {
		t.Errorf("EDN under another name: %+v, %v", h, err)
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for path, want := range map[string]string{
		dir:                  "load history: directory " + dir + " has no history.jsonl",
		write("empty", ""):   "read history " + filepath.Join(dir, "empty") + ": nothing in it",
		write("noise", "\n"): "read history " + filepath.Join(dir, "noise") + ": nothing in it",
	} {
		if _, err := Load(path); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	bad := write("bad/history.jsonl", sampleHeader+"\n"+event+"\n"+event+"\n")
	if _, err := Load(bad); err == nil || !strings.HasPrefix(err.Error(), bad+":3:21: ") {
		t.Errorf("bad file: %v", err)
	}
}

// TestReadErrors checks that a failing disk is no torn file.
func TestReadErrors(t *testing.T) {
	broken := errors.New("input/output error")
	file := historyFile(sampleEvents())
	for _, n := range []int{0, 10, 100, len(file)} {
		r := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))
		if h, err := Read(r, "x"); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v, %v", n, h, err)
		}
	}
}

// TestLongLine has a value that exceeds every buffer.
func TestLongLine(t *testing.T) {
	long := make([]int64, 300_000)
	for i := range long {
		long[i] = int64(i) * 7
	}
	events := []Event{
		{Process: 1, Type: Invoke, F: "read"},
		{Index: 1, Process: 1, Type: OK, F: "read", Value: Ints(long...)},
		{Index: 2, Process: 1, Type: Invoke, F: "read"},
	}
	file := historyFile(events)
	h, err := Read(bytes.NewReader(file), "long")
	if err != nil || len(h.Ops) != 2 || !h.Ops[0].Out.Equal(Ints(long...)) {
		t.Fatalf("got %d operations, %v", len(h.Ops), err)
	}
	if h.Ops[0].Out.kind != kindInts {
		t.Error("a list of integers is not stored as one")
	}
	h, err = Read(bytes.NewReader(file[:len(file)/2]), "long")
	if err != nil || !h.Torn || len(h.Ops) != 1 || h.Ops[0].Return != Never {
		t.Errorf("torn: %+v, %v", h, err)
	}
}

// TestForeignJSON reads lists and lines of other tools, without header, times and
// sometimes f.
func TestForeignJSON(t *testing.T) {
	ops := []string{
		`{"type":"invoke","process":0,"value":[["append",1,2]],"index":3}`,
		`{"type":"invoke","process":1,"value":null,"f":"read","time":10,"index":2}`,
		`{"type":"ok","process":0,"value":[["append",1,2]]}`,
	}
	want := `3: 0..11 (11) process 0 txn "" [["append",1,2]] -> ok [["append",1,2]] ""
4: 10..9223372036854775807 (9223372036854775807) process 1 read "" null -> info null ""
`
	for _, file := range []string{
		strings.Join(ops, "\n"),
		"\n[" + strings.Join(ops, ",\n") + "]\n",
		"[\n" + strings.Join(ops, "\n,") + ",]",
	} {
		h, err := Read(strings.NewReader(file), "foreign")
		if err != nil || render(h) != want {
			t.Errorf("%s\ngot %v\n%swant\n%s", file, err, render(h), want)
		}
	}
	for file, want := range map[string]string{
		"[" + ops[0] + "\n" + ops[1] + "]": `x:2:1: '{': want comma or ] in a list`,
		"[" + ops[0] + "] 1":               `x:1:68: '1': want an event, that is {`,
		ops[1] + "\n" + ops[2]:             `x:2:24: process 0 completes txn without an invocation`,
		"[" + ops[0] + "] " + ops[2]:       `x:1:68: '{': want nothing after the list`,
		`{"a":1}`:                          `x:1:1: an event without "type"`,
		ops[0] + `{"type":"ok"}`: `x:1:65: some operations have no process, ` +
			`others have: nobody knows which completion belongs to which invocation`,
		`{"type":"invoke"}{"type":"invoke"}`: `x:1:18: txn is invoked while the txn of ` +
			`index 0 is open, and no process tells which completion belongs to which`,
	} {
		if _, err := Read(strings.NewReader(file), "x"); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", file, err, want)
		}
	}
}

// checkHistory checks what holds for any history that could be read.
func checkHistory(t *testing.T, h *History) {
	t.Helper()
	last := int64(-1)
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Index <= last || op.Process < 0 {
			t.Fatalf("operation %+v comes after index %d", op, last)
		}
		last = op.Index
		if op.Return < op.Call || op.Ended < op.Call || op.Ended > op.Return {
			t.Fatalf("operation %+v ends before it begins", op)
		}
		if (op.Return == Never) != (op.Type == Info) {
			t.Fatalf("operation %+v: %v with return %d", op, op.Type, op.Return)
		}
	}
	for i := 1; i < len(h.Nemesis); i++ {
		if h.Nemesis[i].Index <= h.Nemesis[i-1].Index || h.Nemesis[i].Time < h.Nemesis[i-1].Time {
			t.Fatalf("nemesis events out of order: %+v", h.Nemesis[i-1:i+1])
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(historyFile(sampleEvents()))
	f.Add(historyFile(registerEvents(5)))
	f.Add([]byte(`[{"type":"invoke","process":0,"value":[["r",1,null]]}]`))
	f.Add([]byte(sampleHeader + "\n" + `{"time":5,"process":1,"type":"invoke","f":"read"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Read(bytes.NewReader(b), "fuzz")
		if err == nil {
			checkHistory(t, h)
			return
		}
		if !strings.HasPrefix(err.Error(), "fuzz:") && !strings.HasPrefix(err.Error(), "read ") {
			t.Fatalf("error without place: %v", err)
		}
	})
}
