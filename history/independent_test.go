package history

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIndependent splits plain pairs of all formats, and says where one is none.
func TestIndependent(t *testing.T) {
	const header = `{"ordeal":"history","format":1}` + "\n"
	for _, c := range []struct{ name, file, want string }{
		{"edn", `{:process 0 :type :invoke :f :cas :value [1 [2 3]]}
{:process 1 :type :invoke :f :read :value ["1" nil]}
{:process :nemesis :type :info :f :start :value 3}
{:process 1 :type :ok :f :read :value ["1" [4 5]]}
{:process 0 :type :info :f :cas}`, `
0: 0..never (4) process 0 cas "1" [2,3] -> info null ""
1: 1..3 (3) process 1 read "1" null -> ok [4,5] ""`},
		{"a tag is a key already", `
{:process 0 :type :invoke :f :write :value #jepsen.independent/tuple [1 [2 3]]}
{:process 0 :type :ok :f :write :value [1 [2 3]]}`, `
0: 0..1 (1) process 0 write "1" [2,3] -> ok [2,3] ""`},
		{"json", `{"process":0,"type":"invoke","f":"write","value":["k",7]}
{"process":0,"type":"fail","f":"write","value":["k",7]}`, `
0: 0..1 (1) process 0 write "k" 7 -> fail 7 ""`},
		{"own form", header + `{"process":0,"type":"invoke","f":"cas","key":"x","value":[1,2],"time":1}
{"process":1,"type":"invoke","f":"write","value":[[1],[2]],"time":2}`, `
0: 1..never (never) process 0 cas "x" [1,2] -> info null ""
1: 2..never (never) process 1 write "[1]" [2] -> info null ""`},

		{"no pair", `{:process 0 :type :invoke :f :write :value [1 2]}
 {:process 0 :type :ok :f :write :value 2}`, `h:2:2: value of write is 2: want [key, value]`},
		{"no value", `{:process 0 :type :invoke :f :read}`, `h:1:1: value of read is null`},
		{"no answer", `{:process 0 :type :invoke :f :read :value [1 nil]}
{:process 0 :type :ok :f :read :value nil}`, `h:2:1: value of read is null`},
		{"three", header + `{"process":0,"type":"invoke","f":"cas","value":[1,2,3],"time":1}`,
			`h:2:48: value of cas is [1,2,3]`},
		{"nil is no key", `{:process 0 :type :invoke :f :write :value [nil 2]}`,
			`h:1:1: value of write is [null,2]`},
		{"another key", `{:process 0 :type :invoke :f :read :value [1 nil]}
{:process 0 :type :ok :f :read :value [2 3]}`,
			`h:2:1: process 0 completes read of key "2" but invoked that of key "1" at index 0`},
	} {
		got, err := loadText(t, c.file, LoadOptions{Independent: true})
		if err != nil {
			got = err.Error()
		}
		if want := strings.TrimSpace(c.want); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// TestAccept is asked about invocations and completions, and its refusal has a place.
func TestAccept(t *testing.T) {
	const file = `{:process 0 :type :invoke :f :write :value 1}
{:process 0 :type :ok :f :write :value 2}`
	for _, c := range []struct {
		bad  int64
		want string
	}{
		{1, "h:1:1: bad"}, {2, "h:2:1: bad"}, {3, ""},
	} {
		_, err := loadText(t, file, LoadOptions{Accept: func(op Operation) error {
			for _, v := range []Value{op.In, op.Out} {
				if n, _ := v.AsInt(); n == c.bad {
					return errors.New("bad")
				}
			}
			return nil
		}})
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%d: %v, want %q", c.bad, err, c.want)
		}
	}
}

// loadText loads a file with this text; errors name it h.
func loadText(t *testing.T, text string, o LoadOptions) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "h")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := LoadWith(path, o)
	if err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), filepath.Dir(path)+"/"))
	}
	return strings.ReplaceAll(render(h), "9223372036854775807", "never"), nil
}
