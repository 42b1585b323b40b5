package reports

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// unpacked is what the page's script reads of its data.
type unpacked struct {
	header
	columns map[string][]byte
}

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// unpack does what web/src/data.ts does.
func unpack(t failer, data string) unpacked {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(flate.NewReader(bytes.NewReader(b))); err != nil {
		t.Fatal(err)
	}
	u := unpacked{columns: map[string][]byte{}}
	n := binary.LittleEndian.Uint32(b)
	if err := json.Unmarshal(b[4:4+n], &u.header); err != nil {
		t.Fatal(err)
	}
	b = b[4+n:]
	for _, c := range u.Columns {
		u.columns[c.Name], b = b[:c.Bytes], b[c.Bytes:]
	}
	if len(b) > 0 {
		t.Fatalf("%d bytes belong to no column", len(b))
	}
	return u
}

func (u *unpacked) number(name string, i int) uint32 {
	v := uint32(0)
	for p := range 4 {
		v |= uint32(u.columns[name+string(rune('0'+p))][i]) << (8 * p)
	}
	return v
}

func unsmall(v uint32) int64 {
	if v&1 == 1 {
		return -int64(v>>1) - 1
	}
	return int64(v >> 1)
}

// duration is what a code stands for, in nanoseconds.
func (u *unpacked) duration(code int) int64 {
	exponent := max(0, code>>u.Mantissa-1)
	rest := int64(code)
	if code >= 1<<u.Mantissa {
		rest = int64(code&(1<<u.Mantissa-1)) + 1<<u.Mantissa
	}
	return rest << exponent
}

// checkColumns compares what is unpacked with the operations.
func checkColumns(t failer, u unpacked, l *lanes) {
	t.Helper()
	i := 0
	for n, lane := range u.Lanes {
		end, process := int64(0), int64(0)
		for range lane.Ops {
			op := l.ops[i]
			code := int(u.columns["code0"][i]) | int(u.columns["code1"][i])<<8
			took, ended := took(op)
			call, nanos := end+unsmall(u.number("gap", i)), int64(0)
			if code != endless {
				nanos = u.duration(code)
			}
			process += unsmall(u.number("process", i))
			end = call + nanos/u.Unit
			if d := int64(op.Call) - call*u.Unit; d < 0 || d >= u.Unit {
				t.Fatalf("operation %d of lane %d: called at %d, in the page %d", i, n, op.Call, call*u.Unit)
			}
			if ended != (code != endless) || ended &&
				math.Abs(float64(int64(took)-nanos)) > float64(took)/float64(int(1)<<u.Mantissa) {
				t.Fatalf("operation %d: took %d, in the page %d (code %d)", i, took, nanos, code)
			}
			if process != int64(op.Process) {
				t.Fatalf("operation %d: process %d, in the page %d", i, op.Process, process)
			}
			kind := int(u.columns["kind"][i])
			if u.Functions[kind>>2] != string(op.F) || kind&3 != outcome(op) {
				t.Fatalf("operation %d: %s %s is kind %d", i, op.F, op.Type, kind)
			}
			i++
		}
	}
	if i != len(l.ops) || i != u.Count {
		t.Fatalf("%d operations in the lanes, %d in the page, want %d", i, u.Count, len(l.ops))
	}
}

// TestColumns: whatever the operations are, the page has them.
func TestColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history.History{}
		for i := range rapid.IntRange(0, 40).Draw(t, "operations") {
			call := history.Time(rapid.Int64Range(0, 1e13).Draw(t, "call"))
			op := history.Operation{
				Index: int64(i), Call: call, Return: history.Never, Ended: history.Never,
				Process: history.Process(rapid.Int64Range(0, 100).Draw(t, "process")),
				F:       history.F(rapid.SampledFrom([]string{"read", "write", ""}).Draw(t, "f")),
				Type:    rapid.SampledFrom(outcomes()).Draw(t, "type"),
			}
			if op.Type != history.Info || rapid.Bool().Draw(t, "answered") {
				op.Ended = call + history.Time(rapid.Int64Range(0, 1e12).Draw(t, "took"))
			}
			h.Ops = append(h.Ops, op)
		}
		r := Run{History: h, Concurrency: rapid.IntRange(0, 5).Draw(t, "clients"), Nodes: []string{"n1"}}
		p := newPage(r)
		data, err := embedded(&p)
		if err != nil {
			t.Fatal(err)
		}
		checkColumns(t, unpack(t, data), p.lanes)
	})
}

// TestLongRun: a run of many operations makes a page that a browser opens at once: what
// it says of each operation is exact as far as there is room.
func TestLongRun(t *testing.T) {
	r := longRun(t, 200_000)
	p := newPage(r)
	data, err := embedded(&p)
	if err != nil {
		t.Fatal(err)
	}
	u := unpack(t, data)
	checkColumns(t, u, p.lanes)
	if u.Unit > 1000 {
		t.Errorf("times are exact to %d ns only", u.Unit)
	}
	if page := render(t, r); len(page) > 3<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// TestThinned: of more operations than the page holds, the rare ones are all there, and
// the weights make up for the others.
func TestThinned(t *testing.T) {
	r := Run{History: &history.History{Ops: make([]history.Operation, embedMax+300_000)}}
	for i := range r.History.Ops {
		op := &r.History.Ops[i]
		op.Index, op.Call, op.Ended, op.Type = int64(i), history.Time(i), history.Time(i), history.OK
		if i%100_000 == 7 {
			op.Type = history.Fail
		}
	}
	r.Result.Counterexamples = []check.Counterexample{{Ops: []check.Op{{Index: 100_001}}}}
	ops, weights := chosen(r)
	counts, found := [4]int{}, false
	for _, op := range ops {
		counts[outcome(op)]++
		found = found || op.Index == 100_001
	}
	if len(ops) > embedMax || counts[1] != 13 || !found || weights != [4]float64{2, 1, 1, 1} {
		t.Errorf("%d operations, %v, weights %v, culprit there: %v", len(ops), counts, weights, found)
	}
}

// TestDetails: of a long run, what is told is what may matter.
func TestDetails(t *testing.T) {
	r := longRun(t, 2*detailsMax)
	for i := range r.History.Ops {
		op := &r.History.Ops[i]
		op.Key, op.In = "k", history.Int(int64(i))
		if i == 777 {
			op.Key, op.Error = "bad", "a\x1fb\x1ec"
		}
	}
	r.Result.Counterexamples = []check.Counterexample{{Key: "bad", Ops: []check.Op{{Index: 777}}}}
	p := newPage(r)
	data, err := embedded(&p)
	if err != nil {
		t.Fatal(err)
	}
	u := unpack(t, data)
	texts := strings.Split(string(u.columns["text"]), u.Between[0])
	if len(texts) != u.Told || u.Told < 1000 || u.Told > detailsMax {
		t.Fatalf("%d texts of %d operations", len(texts), u.Told)
	}
	at, found := 0, false
	for i, text := range texts {
		at += int(u.number("told", i))
		fields := strings.Split(text, u.Between[1])
		if len(fields) != 4 || fields[2] != p.lanes.ops[at].In.String() {
			t.Fatalf("text %d is %q, want operation %d", i, text, p.lanes.ops[at].Index)
		}
		found = found || fields[0] == "777" && fields[3] == "a⟨U+001F⟩b⟨U+001E⟩c"
	}
	if !found || len(u.Marks) != 1 || p.lanes.ops[u.Marks[0].Op].Index != 777 {
		t.Errorf("the counter-example is told: %v, marked: %v", found, u.Marks)
	}
}
