package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// chunked reads a file in blocks of this size, and shows all that is known of it.
func chunked(b []byte, block int, form Form) string {
	h, err := ReadWith(bytes.NewReader(b), "h", LoadOptions{block: block, Form: form})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("torn %t, untimed %t, %+v\n%s", h.Torn, h.Untimed, h.Header, render(h))
}

// awkward are files of which no place is a good one to cut at.
func awkward() []string {
	own := string(historyFile(sampleEvents()))
	edn := `{:type :invoke :f :txn :process 0 :value [[:r 1 nil]]}
{:type :ok :f :txn :process 0 :value [[:r 1 [1 2 3]]] :error "several
{:type :ok :f :x}
lines"}
#_ {:type :invoke} ; {:type :invoke}
#jepsen.history.Op{:type :invoke :f :set :process 1 :value #{1
{:a {:type :b}}}}
{:type :info :f :set :process 1 :value #:ns{:a 1, :b \c} :time ##NaN-is-no-time}`
	ops := strings.ReplaceAll(strings.ReplaceAll(edn, " :time ##NaN-is-no-time", ""),
		"#_ {:type :invoke} ; {:type :invoke}", "")
	list := `[{"type":"invoke","process":0,"f":"read","value":{"x":{"y":[1,2]}}},
 {"type":"ok","process":0,"f":"read","value":"a\"{\"b"} , {"type":"invoke","process":0,"f":"w"}
,{"type":"info","process":0,"f":"w","value":[[1,2],[3,4]]}]`
	return []string{
		own, own[:len(own)-9], own + own, strings.ReplaceAll(own, "\n", "\n\n \r\n"),
		edn, ops, "[" + ops + "]", "(" + ops, ops + "]", "[" + ops + "][" + ops + "]", ops + "{:a",
		list, strings.ReplaceAll(list, "\n", ""), list[:len(list)-1], list + list, list + "x",
		strings.ReplaceAll(list, ",\n", "\n"), strings.Trim(list, "[]"),
		"\ufeff" + ops, "\n\n  \n" + edn,
	}
}

// TestChunks reads files in blocks of every size: what is found, and what is said of
// errors, does not depend on it.
func TestChunks(t *testing.T) {
	for i, file := range awkward() {
		want := chunked([]byte(file), 1<<20, AnyForm)
		form := AnyForm
		for block := 3; block <= len(file)+1; block++ {
			if block < 32 { // the format does not show in so little
				form = detect(bytes.TrimLeft([]byte(file), " \n\ufeff"))
			}
			if got := chunked([]byte(file), block, form); got != want {
				t.Fatalf("file %d in blocks of %d:\n%s\nwant\n%s\nfile\n%s", i, block, got, want, file)
			}
		}
	}
}

// TestManyChunks has enough of them for all goroutines to be busy.
func TestManyChunks(t *testing.T) {
	events := registerEvents(20_000)
	own := historyFile(events)
	want := chunked(own, 1<<26, AnyForm)
	if got := chunked(own, 10_000, AnyForm); got != want {
		t.Error("own lines differ")
	}
	// A broken line ends the reading, whatever is under way.
	broken := bytes.Clone(own)
	at := len(own) / 3
	broken[at+bytes.IndexByte(broken[at:], '\n')-1] = '!'
	want = chunked(broken, 1<<26, AnyForm)
	if got := chunked(broken, 10_000, AnyForm); got != want || !strings.Contains(want, "'!'") {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestProgress counts up to the size of the file.
func TestProgress(t *testing.T) {
	path := t.TempDir() + "/h"
	file := historyFile(registerEvents(3_000))
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	var last Progress
	_, err := LoadWith(path, LoadOptions{block: 50_000, Progress: func(p Progress) {
		if p.Bytes < last.Bytes {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}})
	if size := int64(len(file)); err != nil || last != (Progress{Bytes: size, Total: size}) {
		t.Errorf("%+v of %d, %v", last, size, err)
	}
}

// TestReadErrorPlace says which line was read when the disk failed.
func TestReadErrorPlace(t *testing.T) {
	file := historyFile(registerEvents(100))
	broken := errors.New("input/output error")
	for _, n := range []int{5, 500, 3_000, 9_000} {
		r := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))
		_, err := ReadWith(r, "x", LoadOptions{block: 1000})
		line := fmt.Sprintf("read history x: line %d: ", 1+bytes.Count(file[:n], []byte{'\n'}))
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), line) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}
