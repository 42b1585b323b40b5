package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestForms reads files of other tools; the scripts are in testdata/forms.
func TestForms(t *testing.T) {
	datadriven.Walk(t, "testdata/forms", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			file := []byte(d.Input + "\n")
			h, err := Read(bytes.NewReader(file), "h")
			if err != nil {
				return err.Error() + "\n"
			}
			checkHistory(t, h)
			for _, block := range []int{40, 100} {
				if a, b := chunked(file, block, detect(file)), chunked(file, 1<<20, AnyForm); a != b {
					t.Errorf("%s\nin blocks of %d: %s\nwant %s", file, block, a, b)
				}
			}
			text := fmt.Sprintf("form %s", detect(file))
			if h.Untimed {
				text += ", untimed"
			}
			return text + "\n" + strings.ReplaceAll(render(h), fmt.Sprint(Never), "never")
		})
	})
}

// bincodeFile writes sessions as the first dbcop did.
func bincodeFile(sessions [][]sessionTxn) []byte {
	var b []byte
	number := func(n int64) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	text := func(s string) {
		number(int64(len(s)))
		b = append(b, s...)
	}
	truth := func(is bool) { b = append(b, map[bool]byte{true: 1}[is]) }
	for range 5 {
		number(3)
	}
	text("generated")
	text("2026-01-02T03:04:05.678901234+00:00")
	text("2026-01-02T03:04:06+00:00")
	number(int64(len(sessions)))
	for _, txns := range sessions {
		number(int64(len(txns)))
		for _, txn := range txns {
			number(int64(len(txn.steps)))
			for _, s := range txn.steps {
				truth(s.F == StepWrite)
				var key int64
				fmt.Sscan(string(s.Key), &key)
				number(key)
				n, _ := s.Value.AsInt()
				number(n)
				truth(true)
			}
			truth(txn.typ == OK)
		}
	}
	return b
}

func bincodeSample() []byte {
	return bincodeFile([][]sessionTxn{
		{
			{typ: OK, steps: []Step{{StepWrite, "1", Int(7)}, {StepRead, "2", Int(0)}}},
			{typ: Fail, steps: []Step{{StepWrite, "1", Int(8)}}},
		},
		{},
		{{typ: OK, steps: []Step{{StepRead, "1", Int(7)}}}},
	})
}

func TestBincode(t *testing.T) {
	file := bincodeSample()
	h, err := Read(bytes.NewReader(file), "b")
	const want = `0: 0..1 (1) process 0 txn "" [["w","1",7],["r","2",null]] -> ok ` +
		`[["w","1",7],["r","2",null]] ""
2: 0..1 (1) process 0 txn "" [["w","1",8]] -> fail [["w","1",8]] ""
4: 0..1 (1) process 2 txn "" [["r","1",null]] -> ok [["r","1",7]] ""
`
	if err != nil || render(h) != want || !h.Untimed {
		t.Fatalf("got %v\n%s", err, render(h))
	}
	for cut := 120; cut < len(file); cut++ {
		_, err := Read(bytes.NewReader(file[:cut]), "b")
		want := fmt.Sprintf("read history b: byte %d: the file ends in the middle", cut)
		if err == nil || err.Error() != want {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if _, err := Read(bytes.NewReader(append(file, 0)), "b"); err == nil ||
		!strings.HasSuffix(err.Error(), "bytes behind the history") {
		t.Errorf("too long: %v", err)
	}
	bad := slices.Clone(file)
	bad[len(bad)-1] = 2
	if _, err := Read(bytes.NewReader(bad), "b"); err == nil ||
		!strings.HasSuffix(err.Error(), "2: want 0 or 1, a boolean") {
		t.Errorf("no boolean: %v", err)
	}
	huge := slices.Clone(file)
	huge[len(huge)-1-18-1] = 0xff // the length of the last transaction
	if _, err := Read(bytes.NewReader(huge), "b"); err == nil ||
		!strings.Contains(err.Error(), "want a number below 2^63") {
		t.Errorf("huge: %v", err)
	}
}

// TestTornLog: a log that ends inside a line may have lost a part of a value.
func TestTornLog(t *testing.T) {
	log := "INFO  jepsen.util - 3\t:invoke\t:write\t10\nINFO  jepsen.util - 3\t:ok\t:write\t1"
	h, err := Read(strings.NewReader(log), "log")
	if err != nil || !h.Torn || len(h.Ops) != 1 || h.Ops[0].Type != Info {
		t.Errorf("got %+v, %v", h, err)
	}
}

// TestForcedForm: whoever names the format gets errors in its terms.
func TestForcedForm(t *testing.T) {
	for _, c := range []struct {
		form Form
		file string
		want string
	}{
		{EDNForm, `{"process":0}`, "h:1:1: an operation without :type"},
		{JSONForm, `{:type :invoke}`, "h:1:2: ':': want a field name in quotes"},
		{OwnForm, `{"type":"invoke","process":0}`, `h:1:1: "ordeal" is ""`},
		{PlumeForm, `w 1 2`, "h:1:3: '1': want '('"},
		{SessionsForm, `w(1,2,3,4)`, "h:1:2: '(': want a space"},
		{DBCopForm, `{"type":"invoke"}`, `h:1:1: an object without "data"`},
		{LogForm, `{:type :invoke}` + "\n", "no line of this log is an operation"},
		{"tree", `x`, `format "tree" is not known`},
	} {
		_, err := ReadWith(strings.NewReader(c.file), "h", LoadOptions{Form: c.form})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s as %s: %v, want %q", c.file, c.form, err, c.want)
		}
	}
	for _, name := range []Form{OwnForm, DBCopForm, LogForm} {
		if got, err := ParseForm(string(name)); got != name || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := ParseForm("tree"); err == nil || !strings.Contains(err.Error(), "plume, sessions") {
		t.Errorf("got %v", err)
	}
}

// FuzzForms reads anything as any format: it must not crash, errors have a place, and
// a history that could be read is the same in small blocks and in one.
func FuzzForms(f *testing.F) {
	names, _ := Forms()
	for i, name := range names {
		for _, file := range append(awkward(), "w 1 2\n-\nr 1 2", "w(1,2,3,4)\nr(1,2,3,-1)",
			"[x:=1 y==?]!\n---\n[x==1]", string(bincodeSample()),
			`[[{"events":[["r",1,null],{"Write":{"variable":1,"version":2}}],"committed":true}]]`,
			"INFO  jepsen.util - 3\t:invoke\t:write\t10\nINFO jepsen.util: 3\t:info\t:write\t1\tx\n",
		) {
			if form := detect([]byte(strings.TrimLeft(file, "\n \ufeff"))); form == name {
				f.Add(byte(i), byte(20), []byte(file))
			}
		}
	}
	f.Fuzz(func(t *testing.T, form, block byte, b []byte) {
		name := names[int(form)%len(names)]
		h, err := ReadWith(bytes.NewReader(b), "fuzz", LoadOptions{Form: name})
		if err == nil {
			checkHistory(t, h)
		} else if !strings.HasPrefix(err.Error(), "fuzz:") &&
			!strings.HasPrefix(err.Error(), "read history fuzz: ") {
			t.Fatalf("error without place: %v", err)
		}
		whole, parts := chunked(b, 1<<20, name), chunked(b, max(4, int(block)), name)
		if whole != parts {
			t.Fatalf("as %s: %s\nin blocks of %d: %s", name, whole, block, parts)
		}
	})
}
