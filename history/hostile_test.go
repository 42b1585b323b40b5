package history

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packers compress.
func packers() map[string]func(io.Writer) io.WriteCloser {
	return map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			if err != nil {
				panic(err)
			}
			return z
		},
	}
}

func pack(t *testing.T, packer func(io.Writer) io.WriteCloser, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := packer(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCompressed reads compressed files as what they hold, whatever their names. One
// that is cut off or damaged is an error that says how far it could be read.
func TestCompressed(t *testing.T) {
	file := historyFile(registerEvents(3_000))
	want := chunked(file, 1<<20, AnyForm)
	place := regexp.MustCompile(`^read history h: (line \d+: )?(gzip|zstd): `)
	for name, packer := range packers() {
		packed := pack(t, packer, file)
		path := filepath.Join(t.TempDir(), "misnamed.edn")
		if err := os.WriteFile(path, packed, 0o644); err != nil {
			t.Fatal(err)
		}
		if h, err := Load(path); err != nil || !strings.HasSuffix(want, render(h)) {
			t.Errorf("%s: %v", name, err)
		}
		for cut := 5; cut < len(packed); cut += 1 + len(packed)/50 {
			if got := chunked(packed[:cut], 10_000, AnyForm); !place.MatchString(got) {
				t.Fatalf("%s cut at %d: %.300s", name, cut, got)
			}
			damaged := bytes.Clone(packed)
			damaged[cut] ^= 0x55
			got := chunked(damaged, 10_000, AnyForm)
			if got != want && !place.MatchString(got) && !strings.HasPrefix(got, "h:") {
				t.Fatalf("%s damaged at %d: %.300s", name, cut, got)
			}
		}
	}
}

// TestBomb: what becomes a multiple of itself that no history does is not read on.
func TestBomb(t *testing.T) {
	for name, packer := range packers() {
		bomb := pack(t, packer, bytes.Repeat([]byte{' '}, 40<<20))
		in, err := newInput(bytes.NewReader(bomb), 0)
		if err != nil {
			t.Fatal(err)
		}
		in.free = 1 << 20
		n, err := io.Copy(io.Discard, in)
		in.close()
		if err == nil || !strings.Contains(err.Error(), "this is no history") || n > 32<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

// TestDeep nests a million times in every format that nests.
func TestDeep(t *testing.T) {
	const deep = 1_000_000
	for _, c := range []struct{ name, before, nest, want string }{
		{"own", sampleHeader + "\n" + `{"value":`, `[`, `h:2:10011: nested more than`},
		{"own", sampleHeader + "\n" + `{"x":`, `{"a":`, `nested more than`},
		{"json", `[{"value":`, `[[`, `h:1:10012: nested more than`},
		{"dbcop", `{"params":`, `[`, `nested more than`},
		{"edn", `{:value `, `[`, `h:1:10009: nested more than`},
		{"log", "INFO jepsen.util - 3\t:ok\t:read\t", `[`, `nested more than`},
	} {
		file := c.before + strings.Repeat(c.nest, deep) + "\n" + sampleHeader
		_, err := Read(strings.NewReader(file), "h")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.200v, want %s", c.name, err, c.want)
		}
	}
}

// TestHugeLine has 10 MB between two newlines: fine as long as it is an event.
func TestHugeLine(t *testing.T) {
	text := strings.Repeat("x", 10<<20)
	for _, format := range []string{
		sampleHeader + "\n" + `{"time":1,"process":1,"type":"invoke","f":"w","value":"%s"%s}` + "\n",
		`{:process 1 :type :invoke :f :w :value "%s" %s}`,
		`{"process":1,"type":"invoke","f":"w","value":"%s"%s}`,
	} {
		h, err := Read(strings.NewReader(fmt.Sprintf(format, text, "")), "h")
		if err != nil || len(h.Ops) != 1 || h.Ops[0].In.Len() != 0 {
			t.Fatalf("%.60s: %v", format, err)
		}
		if s, _ := h.Ops[0].In.AsString(); s != text {
			t.Errorf("%.60s: %d bytes", format, len(s))
		}
		_, err = Read(strings.NewReader(fmt.Sprintf(format, text, ")")), "h")
		if err == nil || !strings.HasPrefix(err.Error(), "h:") || len(err.Error()) > 200 {
			t.Errorf("%.60s: %.300v", format, err)
		}
	}
}

// TestHostileEvents: what no recorder can have seen is an error with a place, in every
// format that could say it.
func TestHostileEvents(t *testing.T) {
	const edn = "{:process 1 :type :invoke :f :write :value 3 :time 5}\n"
	const json = `{"process":1,"type":"invoke","f":"write","value":3,"time":5}` + "\n"
	for _, c := range []struct{ file, want string }{
		{edn + "{:process 1 :type :ok :f :write :time ##NaN}", `h:2:39: :time is null: want a whole`},
		{edn + "{:process 1 :type :ok :f :write :time 1e30}", `h:2:39: :time is 1e+30: want a whole`},
		{edn + "{:process 1 :type :ok :f :write :time 99999999999999999999}",
			`h:2:39: number 99999999999999999999 does not fit 64 bits`},
		{json + `{"process":1,"type":"ok","f":"write","time":NaN}`, `h:2:45: 'N': want a JSON value`},
		{json + `{"process":1,"type":"ok","f":"write","time":1e400}`, `h:2:45: number 1e400 is out of`},
		{json + `{"process":1,"type":"ok","f":"write","time":99999999999999999999}`,
			`h:2:45: number 99999999999999999999 does not fit 64 bits`},
		{edn + "{:process 1 :type :ok :f :write :value [-9223372036854775809N]}",
			`h:2:41: number -9223372036854775809N does not fit 64 bits`},
		{json + `{"process":1,"type":"ok","f":"write","value":[9223372036854775808]}`,
			`h:2:47: number 9223372036854775808 does not fit 64 bits`},
		{json + `{"process":1.5,"type":"ok","f":"write"}`, `h:2:12: "process" is 1.5: want a whole`},
		{edn + edn, "h:2:1: process 1 invokes write while its write of index 0 is open"},
		{json + json, "h:2:12: process 1 invokes write while its write of index 0 is open"},
		{edn + strings.Repeat("{:process 1 :type :ok :f :write}", 2),
			"h:2:33: process 1 completes write without an invocation"},
		{edn + "{:process 1 :type :ok :f :read :value 3}",
			"h:2:1: process 1 completes read but invoked write at index 0"},
		{json + `{"process":1,"type":"ok","f":"read","value":3}`,
			"h:2:30: process 1 completes read but invoked write at index 0"},
		{edn + `{:process 1 :type :ok :type :fail :f :write}`, `h:2:29: a second :type`},
		{edn + `{:process 1 :type :ok :f :write :value 3 :value 4}`, `h:2:49: a second :value`},
		{json + `{"process":1,"type":"ok","f":"write","value":3,"value":4}`,
			`h:2:56: a second "value"`},
		{edn + "{:process 2 :type :invoke :f :txn :value [[:r 5 nil]]}\n" +
			`{:process 3 :type :invoke :f :txn :value [[:r "5" nil]]}`,
			"h:3:1: keys of steps are numbers, and others are texts"},
		{edn + `{:process 2 :type :invoke :f :txn :value [[:r -5 nil] [:r "x" nil] [:r "-5"]]}`,
			"h:2:1: keys of steps are numbers, and others are texts"},
		{"INFO jepsen.util - x\t:invoke\t:write\t4\n", "h:1:20: 'x': want the process of an operation"},
		{"INFO jepsen.util - :p2\t:invoke\t:write\t4\n",
			"h:1:20: a process that is no number has :type invoke, as if it were a client"},
		{edn + `{:process :p2 :type :invoke :f :read}`,
			"h:2:1: a process that is no number has :type invoke, as if it were a client"},
		{edn + `{:process "2" :type :invoke :f :read}`,
			"h:2:1: a process that is no number has :type invoke, as if it were a client"},
		{edn + "{:process 1 :type :ok :f :write :value [1 2}", "h:2:44: '}': want a value"},
		{edn + "{:process 1 :type :ok :f :write :value \"\xff\xfe\"", "h:2:1: '{' without its '}'"},
	} {
		h, err := Read(strings.NewReader(c.file), "h")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\n got %v %v\nwant %s", c.file, h, err, c.want)
		}
	}
}

// TestInvalidUTF8: in a value it is an error, because two different ones must not become
// one; in the text of an error it becomes U+FFFD.
func TestInvalidUTF8(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{:process 1 :type :invoke :f :write :value "`, `"}`, "h:1:4"},
		{`{:process 1 :type :invoke :f :write :value {:`, ` 1}}`, "h:1:4"},
		{`{:process 1 :type :invoke :f :`, `}`, "h:1:3"},
		{`{"process":1,"type":"invoke","f":"write","value":"`, `"}`, "h:1:5"},
		{sampleHeader + "\n" + `{"time":1,"process":1,"type":"invoke","f":"`, "\"}\n", "h:2:4"},
		{`{:process 1 :type :invoke :f :write :error "`, `"}`, ""},
		{`{"process":1,"type":"invoke","f":"write","error":"`, `"}`, ""},
		{"INFO jepsen.util - 1\t:invoke\t:write\t\"", "\"\n", "h:1:"},
		{"INFO jepsen.util - 1\t:invoke\t:write\t1\t\"", "\"\n", ""},
	} {
		for _, text := range []string{"a\xff", "\xed\xa0\x80", `\ud800`} {
			if text[0] == '\\' && !strings.HasSuffix(c.before, `"`) {
				continue // no escapes outside strings
			}
			_, err := Read(strings.NewReader(c.before+text+c.after), "h")
			if c.want == "" && err != nil || c.want != "" && (err == nil ||
				!strings.HasPrefix(err.Error(), c.want) || !strings.Contains(err.Error(), "UTF-8")) {
				t.Errorf("%q: %v", c.before+text+c.after, err)
			}
		}
		for _, text := range []string{"\ufffd", "é"} {
			if _, err := Read(strings.NewReader(c.before+text+c.after), "h"); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}
