package run

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ordeal-dev/ordeal/check"
)

// published compiles the schema that others check results.json against.
func published(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "schema", "results.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("results.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("results.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid checks results against the schema.
func valid(s *jsonschema.Schema, results []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(results))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// TestSchema: results of every verdict, of linearizability and of transactions, are as the
// published schema says, and it says something.
func TestSchema(t *testing.T) {
	s := published(t)
	event := func(p, kind, f, value string) string {
		return `{"process":` + p + `,"type":"` + kind + `","f":"` + f + `","value":` + value + "}\n"
	}
	register := event("0", "invoke", "write", "1") + event("0", "ok", "write", "1") +
		event("1", "invoke", "read", "null")
	txn := func(p, in, out string) string {
		return event(p, "invoke", "txn", in) + event(p, "ok", "txn", out)
	}
	for _, c := range []struct {
		name, history string
		file          File
		want          check.Verdict
		has           string
	}{
		{"valid", register + event("1", "ok", "read", "1"), File{Model: "register"}, check.Valid,
			`"power"`},
		{"stale", register + event("1", "ok", "read", "2"), File{Model: "register"}, check.Invalid,
			`"describe"`},
		{"empty", "[]", File{Checker: "set-full"}, check.Unknown, `"reason"`},
		{"cycle", txn("0", `[["append",1,1],["r",2,null]]`, `[["append",1,1],["r",2,[1]]]`) +
			txn("1", `[["append",2,1],["r",1,null]]`, `[["append",2,1],["r",1,[1]]]`),
			File{Checker: "list-append"}, check.Invalid, `"edges"`},
		{"bank", event("0", "invoke", "read", "null") + event("0", "ok", "read", `{"1":5}`),
			File{Checker: "bank"}, check.Valid, `"name"`},
	} {
		path := filepath.Join(t.TempDir(), "h.json")
		if err := os.WriteFile(path, []byte(c.history), 0o644); err != nil {
			t.Fatal(err)
		}
		c.file.Limits = CheckLimits{Time: time.Minute, Memory: 1 << 30}
		r, err := CheckFile(t.Context(), path, c.file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(s, b); err != nil || !strings.Contains(string(b), c.has) {
			t.Errorf("%s: %v in\n%s", c.name, err, b)
		}
		if r.Verdict != c.want && c.name != "bank" {
			t.Errorf("%s: %v, %s", c.name, r.Verdict, r.Reason)
		}
	}
	for _, bad := range []string{
		`{}`, `{"name":"x"}`, `{"name":"x","verdict":"good"}`, `[]`,
		`{"name":"x","verdict":"valid","extra":1}`,
		`{"name":"x","verdict":"valid","parts":[{"name":"y"}]}`,
		`{"name":"x","verdict":"valid","counterexamples":[{"key":"k"}]}`,
	} {
		if valid(s, []byte(bad)) == nil {
			t.Errorf("the schema allows %s", bad)
		}
	}
}
