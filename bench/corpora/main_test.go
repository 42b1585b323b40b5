package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/ordeal-dev/ordeal/check"
)

// The histories of the test: one that is fine, and one with a stale read.
const (
	good = `{:process 0 :type :invoke :f :write :value 1} {:process 0 :type :ok :f :write :value 1}
{:process 0 :type :invoke :f :read} {:process 0 :type :ok :f :read :value 1}`
	stale = good + `{:process 0 :type :invoke :f :write :value 2} {:process 0 :type :ok :f :write}
{:process 0 :type :invoke :f :read} {:process 0 :type :ok :f :read :value 1}`
	ops = `[{"process":0,"type":"invoke","value":[["append",1,1]]},` +
		`{"process":0,"type":"ok","value":[["append",1,1]]},` +
		`{"process":0,"type":"invoke","value":[["r",1,null]]},` +
		`{"process":0,"type":"ok","value":[["r",1,[1]]]}]`
)

// write makes a directory of files; those that end with .gz are compressed.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		b := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			if _, err := z.Write(b); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			b = packed.Bytes()
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// layouts are all ways to write verdicts down, and all of these are right.
func layouts() map[string]string {
	return map[string]string{
		"tsv/VERDICTS.tsv": "a.log\tlinearizable\nb.txt\tnot-linearizable\n",
		"tsv/README.md":    "nothing",
		"tsv/a.log": "INFO jepsen.util - 0\t:invoke\t:read\tnil\n" +
			"INFO jepsen.util - 0\t:ok\t:read\tnil\n",
		"tsv/b.txt": `{:process 0 :type :invoke :f :get :key "a"}
			{:process 0 :type :ok :f :get :key "a" :value "x"}`,
		"cli/expected.json": `[{"file":"gone","model":"tree","present":false},
			{"file":"x/r.edn","model":"register","expected":{"valid":true},"present":true}]`,
		"cli/x/r.edn": good,
		"elle/some.jsonl.gz": `{"name":"a","workload":"list-append","expected_by_model":{` +
			`"serializable":{"valid":true},"consistent-view":{"valid":"unknown"},` +
			`"prefix":{"valid":true}},"ops":` + ops + `}`,
		"elle/true.jsonl.gz": `{"name":"b","workload":"list-append","truth":{` +
			`"serializable":true,"strict_serializable":true},"expected_by_model":{` +
			`"strict-serializable":{"valid":false}},"ops":` + ops + `}`,
		"kn/random.jsonl.gz": `{"name":"c","model":"register","expected":{"valid":true},"ops":[` +
			`{"process":0,"type":"invoke","f":"write","value":1},` +
			`{"process":0,"type":"ok","f":"write"},{"process":1,"type":"invoke","f":"read"},` +
			`{"process":1,"type":"ok","f":"read","value":1}]}`,
		"elle/moments.jsonl.gz": `{"name":"d","workload":"list-append","expected_by_model":{` +
			`"serializable":{"valid":false},"strict-serializable":{"valid":true}},"ops":[` +
			`{"process":0,"type":"ok","index":0,"value":[["append",1,1],["r",2,[]]]},` +
			`{"process":1,"type":"ok","index":1,"value":[["append",2,1],["r",1,[]]]},` +
			`{"process":2,"type":"ok","index":2,"value":[["r",1,[1]],["r",2,[1]]]}]}`,
		"elle/empty.jsonl.gz": `{"name":"e","workload":"rw-register","expected_by_model":{` +
			`"serializable":{"valid":true}},"ops":[]}`,
		"elle/twice.jsonl.gz": `{"name":"f","workload":"rw-register","expected_by_model":{` +
			`"serializable":{"valid":true}},"ops":[` +
			`{"process":0,"type":"ok","value":[["w",1,1]]},` +
			`{"process":1,"type":"ok","value":[["w",1,1]]},` +
			`{"process":2,"type":"ok","value":[["r",1,1]]}]}`,
		"kn/register/good/a":    good,
		"kn/register/bad/b.edn": stale,
	}
}

func TestLayouts(t *testing.T) {
	var out strings.Builder
	if err := compare(t.Context(), &out, write(t, layouts()), true); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`tsv +cas-register +0 +1 +0 +0 +0`, `tsv +text +1 +0 +0 +0`, `cli +register +1 +0`,
		`moments.jsonl.gz +list-append serializable +1 +0 +0 +0`,
		`moments.jsonl.gz +list-append strict-serializable +0 +0 +0 +1 +0`,
		`empty.jsonl.gz +rw-register serializable +0 +1 +0`,
		`twice.jsonl.gz +rw-register serializable +0 +0 +1`,
		`1 known: without invocations Elle knows no time`,
		`1 untested: nothing was shown: no read found a value`,
		`some.jsonl.gz +list-append serializable +1 +0`, `random.jsonl.gz +register +1 +0`,
		`true.jsonl.gz +list-append strict-serializable +1 +0`, `kn/register/good +register +1`,
		`kn/register/bad +register +1`,
		`undecided: elle/twice.jsonl.gz/f by rw-register serializable, want valid: `,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	if regexp.MustCompile(`some.jsonl.gz +list-append (causal|prefix)`).MatchString(out.String()) {
		t.Errorf("judged what nobody knows:\n%s", out.String())
	}
}

// TestDifference: whatever is said wrongly, or cannot be judged, is told and fails.
func TestDifference(t *testing.T) {
	for name, text := range map[string]string{
		"kn/register/good/a":    stale,
		"kn/register/bad/b.edn": good,
		"cli/x/r.edn":           "{:process 0",
		"tsv/VERDICTS.tsv":      "b.txt\tlinearizable\n",
	} {
		files := layouts()
		files[name] = text
		var out strings.Builder
		err := compare(t.Context(), &out, write(t, files), false)
		if !errors.Is(err, errDiffer) || !regexp.MustCompile(`(?m)^(differs .*|not judged): `).
			MatchString(out.String()) {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
	for _, dir := range []string{"", t.TempDir(), write(t, map[string]string{
		"cli/expected.json": `[{"file":"x","model":"tree","present":true}]`})} {
		if err := compare(t.Context(), &strings.Builder{}, dir, false); err == nil {
			t.Errorf("%q: compared", dir)
		}
	}
}

// TestKnown: the list excuses one verdict of one case only.
func TestKnown(t *testing.T) {
	c := testCase{name: "elle/random.jsonl.gz/la-100464-mut2"}
	c.file.Checker, c.file.Isolation = "list-append", "read-atomic"
	if whyKnown(c, outcome{result: check.Result{Verdict: check.Valid}}) == "" {
		t.Error("what is on the list is not known")
	}
	if whyKnown(c, outcome{result: check.Result{Verdict: check.Invalid}}) != "" {
		t.Error("another verdict is known")
	}
	if whyKnown(c, outcome{err: errors.New("unreadable")}) != "" {
		t.Error("an error is known")
	}
	c.file.Isolation = "read-committed"
	if whyKnown(c, outcome{result: check.Result{Verdict: check.Valid}}) != "" {
		t.Error("another level is known")
	}
	for _, d := range differences() {
		if d.why == "" || d.judge == "" || d.got == "" {
			t.Errorf("%+v excuses too much", d)
		}
	}
}
