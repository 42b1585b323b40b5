package history

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestEDN runs the scripts in testdata/edn: form reads one value, history a whole
// file.
func TestEDN(t *testing.T) {
	datadriven.Walk(t, "testdata/edn", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "form":
				p := &ednParser{b: []byte(d.Input), words: newInterner()}
				v, err := p.form(0)
				if err = (&part{b: p.b, line: 1}).place("edn", err); err != nil {
					return err.Error() + "\n"
				}
				return v.String() + "\n"
			case "history":
				h, err := Read(strings.NewReader(d.Input), "edn")
				if err != nil {
					return err.Error() + "\n"
				}
				if text := render(h); text != "" {
					return strings.ReplaceAll(text, fmt.Sprint(Never), "never")
				}
				return "no events\n"
			default:
				t.Fatalf("unknown command %s", d.Cmd)
				return ""
			}
		})
	})
}

// TestEDNDepth checks that a hostile file cannot exhaust the stack.
func TestEDNDepth(t *testing.T) {
	for _, open := range []string{"[", "{1 ", "#x ", "'", "#_ "} {
		file := "{:type :ok :value " + strings.Repeat(open, 1_000_000)
		_, err := Read(strings.NewReader(file), "deep")
		if err == nil || !strings.HasSuffix(err.Error(), "nested more than 10000 deep") {
			t.Errorf("%q: %v", open, err)
		}
	}
}

// TestEDNAgainstJSON writes one history in both forms.
func TestEDNAgainstJSON(t *testing.T) {
	events := registerEvents(300)
	var edn bytes.Buffer
	for i := range events {
		e := &events[i]
		e.Key = "" // EDN has keys only in values
		value := strings.NewReplacer("null", "nil", ",", " ").Replace(e.Value.String())
		fmt.Fprintf(&edn, "{:index %d, :time %d, :type %s, :process %d, :f %s, :value %s, :error %q}\n",
			e.Index, e.Time, ":"+e.Type.String(), e.Process, ":"+string(e.F), value, e.Error)
	}
	want, err := New(events...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(&edn, "edn")
	if err != nil {
		t.Fatal(err)
	}
	if render(got) != render(want) {
		t.Errorf("got\n%swant\n%s", render(got), render(want))
	}
}

func FuzzEDN(f *testing.F) {
	for _, s := range []string{
		`{:type :invoke, :f :read, :value nil, :process 0, :time 1, :index 0}`,
		`[#jepsen.history.Op{:type :invoke :f :cas :process 1 :value #{[1 2N] \a "b\n" 1/2 0x1f}}]`,
		`{:type :info :process :nemesis :f :x :value #:a{:b ##Inf} #_ 7 ; c`,
		"#jepsen.independent/tuple [k v] ^:m {:a 'b @c `d ~e}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &ednParser{b: b, words: newInterner()}
		if v, err := p.form(0); err == nil {
			if _, err := ParseValue(v.AppendJSON(nil)); err != nil {
				t.Fatalf("%q became %s: %v", b, v, err)
			}
		}
		h, err := Read(bytes.NewReader(b), "fuzz")
		if err == nil {
			checkHistory(t, h)
		}
	})
}

// TestRatios: a ratio that is whole is the same as the integer.
func TestRatios(t *testing.T) {
	for text, want := range map[string]Value{
		"2/2": Int(1), "-4/2": Int(-2), "9007199254740993/1": Int(9007199254740993),
		"1/2": Float(0.5), "-3/4": Float(-0.75),
	} {
		if got, ok := ednNumber(text); !ok || !got.Equal(want) {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	if v, ok := ednNumber("1/0"); ok {
		t.Errorf("1/0 is %s", v)
	}
}
