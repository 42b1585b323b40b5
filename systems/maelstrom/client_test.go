package maelstrom

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/workload"
)

// TestCodes: which errors prove that nothing happened is what Maelstrom documents. A code
// that is not in its table proves nothing.
func TestCodes(t *testing.T) {
	definite := []int64{1, 10, 11, 12, 14, 20, 21, 22, 30}
	indefinite := []int64{0, 13, 2, 15, 23, 31, 999, 1000, 1_000_000, -1}
	for _, code := range definite {
		if !(&Error{Code: code}).Definite() {
			t.Errorf("%d proves nothing", code)
		}
	}
	for _, code := range indefinite {
		if (&Error{Code: code}).Definite() {
			t.Errorf("%d is a proof", code)
		}
	}
	if n := len(Codes()); n != len(definite)+2 {
		t.Errorf("the table has %d codes", n)
	}
	got, want := (&Error{Code: 22, Text: "it is 5"}).Error(), "error 22 (precondition-failed): it is 5"
	if got != want {
		t.Errorf("%q", got)
	}
}

// scripted is a network of one node that answers in turn, and notes what it was asked.
type scripted struct {
	asked   []string
	answers []string
	err     error
}

func (s *scripted) Connect() Port { return s }
func (s *scripted) Close() error  { return nil }

func (s *scripted) Call(_ context.Context, _ string, request Request) (Body, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	s.asked = append(s.asked, string(text))
	if s.err != nil {
		return nil, s.err
	}
	var b Body
	err = json.Unmarshal([]byte(s.answers[0]), &b)
	s.answers = s.answers[1:]
	return b, err
}

// outcome says in a word what an error means.
func outcome(err error) string {
	switch {
	case operation.IsBroken(err):
		return "broken"
	case history.IsDefinite(err):
		return "fail"
	case err != nil:
		return "info"
	}
	return "ok"
}

// operationCase is an operation, the answers of a node, what clients make of them, and what
// they asked, if that is given.
type operationCase struct {
	name, object, f, in string
	answers             []string
	want, out, asked    string
}

func simpleCases() []operationCase {
	return []operationCase{
		{"echo", "echo", "echo", `"hi"`, []string{`{"type":"echo_ok","echo":"hi"}`},
			"ok", `"hi"`, `{"echo":"hi","type":"echo"}`},
		{"echo", "echo", "echo", `"hi"`, []string{`{"type":"echo_ok"}`}, "ok", "null", ""},
		{"unique-ids", "ids", "generate", "null", []string{`{"type":"generate_ok","id":7}`},
			"ok", "7", `{"type":"generate"}`},
		{"unique-ids", "ids", "generate", "null", []string{`{"type":"generate_ok","id":"a-1"}`},
			"ok", `"a-1"`, ""},
		{"unique-ids", "ids", "generate", "null",
			[]string{`{"type":"generate_ok","id":340282366920938463463374607431768211455}`},
			"ok", `"json 340282366920938463463374607431768211455"`, ""},
		{"unique-ids", "ids", "generate", "null", []string{`{"type":"generate_ok","id":[ "n1", 2 ]}`},
			"ok", `"json [\"n1\",2]"`, ""},
		{"unique-ids", "ids", "generate", "null", []string{`{"type":"generate_ok"}`}, "broken", "", ""},
		{"unique-ids", "ids", "generate", "null", []string{`{"type":"error","code":14}`}, "fail", "", ""},
		{"broadcast", "set", "add", "5", []string{`{"type":"broadcast_ok"}`},
			"ok", "5", `{"message":0,"type":"broadcast"}`},
		{"broadcast", "set", "read", "null", []string{`{"type":"read_ok","messages":[3]}`},
			"ok", `["element 3"]`, `{"type":"read"}`},
		{"broadcast", "set", "read", "null",
			[]string{`{"type":"read_ok","messages":null}`}, "ok", "[]", ""},
		{"broadcast", "set", "read", "null", []string{`{"type":"read_ok"}`}, "broken", "", ""},
		{"broadcast", "set", "read", "null",
			[]string{`{"type":"read_ok","messages":["3"]}`}, "broken", "", ""},
		{"g-set", "set", "add", "5",
			[]string{`{"type":"add_ok"}`}, "ok", "5", `{"element":0,"type":"add"}`},
		{"g-set", "set", "read", "null", []string{`{"type":"read_ok","value":[]}`}, "ok", "[]", ""},
		{"g-set", "set", "add", "5",
			[]string{`{"type":"error","code":13,"text":"ouch"}`}, "info", "", ""},
		{"g-set", "set", "add", "5", []string{`{"type":"error","code":11}`}, "fail", "", ""},
		{"g-set", "set", "add", "5", []string{`{"type":"error","code":1001}`}, "info", "", ""},
		{"g-set", "set", "add", "5", []string{`{"type":"error","code":"11"}`}, "broken", "", ""},
		{"g-set", "set", "add", "5", []string{`{"type":"broadcast_ok"}`}, "broken", "", ""},
		{"g-set", "set", "add", "5", []string{`{}`}, "broken", "", ""},
		{"pn-counter", "counter", "add", "-3", []string{`{"type":"add_ok"}`},
			"ok", "-3", `{"delta":-3,"type":"add"}`},
		{"g-counter", "counter", "read", "null",
			[]string{`{"type":"read_ok","value":12}`}, "ok", "12", ""},
		{"g-counter", "counter", "read", "null",
			[]string{`{"type":"read_ok","value":"12"}`}, "broken", "", ""},
		{"g-counter", "counter", "read", "null", []string{`{"type":"error","code":13}`}, "fail", "", ""},
	}
}

func storeCases() []operationCase {
	return []operationCase{
		{"lin-kv", "cas-register", "read", "null", []string{`{"type":"read_ok","value":4}`},
			"ok", "4", `{"key":0,"type":"read"}`},
		{"lin-kv", "register", "read", "null", []string{`{"type":"error","code":20}`}, "ok", "null", ""},
		{"lin-kv", "register", "read", "null",
			[]string{`{"type":"read_ok","value":"4"}`}, "broken", "", ""},
		{"lin-kv", "register", "write", "4", []string{`{"type":"write_ok"}`},
			"ok", "4", `{"key":0,"type":"write","value":4}`},
		{"lin-kv", "cas-register", "cas", "[4,5]", []string{`{"type":"cas_ok"}`},
			"ok", "[4,5]", `{"from":4,"key":0,"to":5,"type":"cas"}`},
		{"lin-kv", "cas-register", "cas", "[4,5]",
			[]string{`{"type":"error","code":22}`}, "fail", "", ""},
		{"lin-kv", "cas-register", "cas", "[null,5]", nil, "fail", "", ""},
		{"lin-kv", "cas-register", "append", "5", nil, "fail", "", ""},
		{"txn-rw-register", "txn", "txn", `[["r","k",null],["w","k",6]]`,
			[]string{`{"type":"txn_ok","txn":[["r",0,null],["w",0,6]]}`},
			"ok", `[["r","k",null],["w","k",6]]`, `{"txn":[["r",0,null],["w",0,6]],"type":"txn"}`},
		{"txn-list-append", "txn-list", "txn", `[["append","k",6],["r","k",null]]`,
			[]string{`{"type":"txn_ok","txn":[["append",0,6],["r",0,[5,6]]]}`},
			"ok", `[["append","k",6],["r","k",[5,6]]]`, ""},
		{"txn-list-append", "txn-list", "txn", `[["append","k",6]]`,
			[]string{`{"type":"txn_ok","txn":[["append",1,6]]}`}, "broken", "", ""},
		{"txn-list-append", "txn-list", "txn", `[["append","k",6]]`, []string{`{"type":"txn_ok"}`},
			"broken", "", ""},
		{"txn-list-append", "txn-list", "txn", `[["append","k",6]]`,
			[]string{`{"type":"error","code":30}`}, "fail", "", ""},
		{"kafka", "log", "append", "9", []string{`{"type":"send_ok","offset":3}`},
			"ok", "3", `{"key":"k0","msg":9,"type":"send"}`},
		{"kafka", "log", "append", "9", []string{`{"type":"send_ok"}`}, "broken", "", ""},
		{"kafka", "log", "append", "9", []string{`{"type":"send_ok","offset":null}`}, "broken", "", ""},
		{"kafka", "log", "read", "null", []string{
			`{"type":"poll_ok","msgs":{"k0":[[0,9],[2,8]]}}`, `{"type":"poll_ok","msgs":{"k0":[[3,7]]}}`,
			`{"type":"poll_ok","msgs":{}}`, `{"type":"commit_offsets_ok"}`,
			`{"type":"list_committed_offsets_ok","offsets":{"k0":3}}`}, "ok", "[9,8,7]",
			`{"offsets":{"k0":0},"type":"poll"} {"offsets":{"k0":3},"type":"poll"} ` +
				`{"offsets":{"k0":4},"type":"poll"} {"offsets":{"k0":3},"type":"commit_offsets"} ` +
				`{"keys":["k0"],"type":"list_committed_offsets"}`},
		{"kafka", "log", "read", "null", []string{`{"type":"poll_ok","msgs":{}}`}, "ok", "[]",
			`{"offsets":{"k0":0},"type":"poll"}`},
		{"kafka", "log", "read", "null", []string{
			`{"type":"poll_ok","msgs":{"k0":[[0,9],[1,8]]}}`,
			`{"type":"poll_ok","msgs":{"k0":[[0,9],[1,8]]}}`, `{"type":"commit_offsets_ok"}`,
			`{"type":"list_committed_offsets_ok","offsets":{}}`}, "ok", "[9,8,9,8]", ""},
		{"kafka", "log", "read", "null", []string{
			`{"type":"poll_ok","msgs":{"k0":[[0,9],[0,8],[2,9]]}}`, `{"type":"poll_ok","msgs":{}}`,
			`{"type":"commit_offsets_ok"}`, `{"type":"list_committed_offsets_ok","offsets":{"k0":7}}`},
			"ok", `[9,"8 at offset 0, where 9 was","9 at offset 2, which was at 0",` +
				`"committed offset 7, which nobody has committed"]`, ""},
		{"kafka", "log", "read", "null", []string{`{"type":"poll_ok","msgs":{"k0":[[0,9]]}}`,
			`{"type":"poll_ok","msgs":{}}`, `{"type":"error","code":11}`}, "fail", "", ""},
		{"kafka", "log", "read", "null", []string{`{"type":"poll_ok","msgs":{"k0":[[0,"9"]]}}`},
			"broken", "", ""},
		{"kafka", "log", "read", "null", []string{`{"type":"poll_ok","msgs":[]}`}, "broken", "", ""},
	}
}

// TestOperations: what clients ask and what they make of the answers.
func TestOperations(t *testing.T) {
	for _, c := range slices.Concat(simpleCases(), storeCases()) {
		p, _ := Named(c.name)
		net := &scripted{answers: c.answers}
		op := history.Event{F: history.F(c.f), Key: "k", Value: value(t, c.in)}
		got, err := NewClients(net, p).Open("n1", c.object).Invoke(t.Context(), op)
		what := c.name + " " + c.f + " answered by " + strings.Join(c.answers, " ")
		if outcome(err) != c.want {
			t.Errorf("%s: %v (%s), want %s", what, err, outcome(err), c.want)
			continue
		}
		if c.want == "ok" && !got.Value.Equal(value(t, c.out)) {
			t.Errorf("%s: got %s, want %s", what, got.Value, c.out)
		}
		if c.asked != "" && strings.Join(net.asked, " ") != c.asked {
			t.Errorf("%s: asked %s, want %s", what, strings.Join(net.asked, " "), c.asked)
		}
	}
}

// TestNobodyAnswers: nobody knows what became of it, unless it can have had no effect or was
// certainly never delivered.
func TestNobodyAnswers(t *testing.T) {
	p, _ := Named("lin-kv")
	for _, c := range []struct {
		f, in string
		err   error
		want  string
	}{
		{"write", "4", errors.New("timeout"), "info"}, {"read", "null", errors.New("timeout"), "fail"},
		{"write", "4", history.Definite(errors.New("not running")), "fail"},
	} {
		client := NewClients(&scripted{err: c.err}, p).Open("n1", "register")
		_, err := client.Invoke(t.Context(), history.Event{F: history.F(c.f), Value: value(t, c.in)})
		if outcome(err) != c.want {
			t.Errorf("%s, %v: %v", c.f, c.err, err)
		}
	}
}

// TestElements: the sets of a workload share the one that nodes have, by all clients.
func TestElements(t *testing.T) {
	p, _ := Named("broadcast")
	net := &scripted{}
	clients := NewClients(net, p)
	for _, key := range []history.Key{"a", "b"} {
		for i := range int64(2) {
			net.answers = append(net.answers, `{"type":"broadcast_ok"}`)
			op := history.Event{F: "add", Key: key, Value: history.Int(i)}
			if _, err := clients.Open("n1", "set").Invoke(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, want := range map[history.Key]string{
		"a": `[1,"element 17"]`, "b": `[0,"element 17",1]`, "c": `["element 17"]`,
	} {
		net.answers = []string{`{"type":"read_ok","messages":[2,1,17,3]}`}
		got, err := clients.Open("n2", "set").Invoke(t.Context(), history.Event{F: "read", Key: key})
		if err != nil || !got.Value.Equal(value(t, want)) {
			t.Errorf("%s: %s, %v, want %s", key, got.Value, err, want)
		}
	}
}

// TestProtocols: each of Maelstrom's workloads is judged by workloads that exist, on objects
// that it has operations for, and can be probed without a change.
func TestProtocols(t *testing.T) {
	want := []string{"broadcast", "echo", "g-counter", "g-set", "kafka", "lin-kv", "pn-counter",
		"txn-list-append", "txn-rw-register", "unique-ids"}
	if got := slices.Sorted(slices.Values(Names())); !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
	for _, p := range Protocols() {
		for _, name := range p.Workloads {
			w, err := workload.Lookup(name)
			if err != nil {
				t.Errorf("%s: %v", p.Name, err)
			} else if err := p.Supports(w.Object, w.Fs); err != nil {
				t.Error(err)
			}
		}
		if operation.Changes(p.probe) && p.Name != "unique-ids" {
			t.Errorf("%s: the probe %s changes something", p.Name, p.probe.F)
		}
		if p.Claim == "" || len(p.Requests) == 0 || p.calls[p.probe.F] == nil {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
	p, _ := Named("g-set")
	if p.Supports("queue", nil) == nil || p.Supports("set", []history.F{"remove"}) == nil {
		t.Error("g-set can do everything")
	}
}

func TestTopology(t *testing.T) {
	nodes := []string{"n1", "n2", "n3", "n4", "n5"}
	for kind, want := range map[string]string{
		"grid":  `{"n1":["n2","n4"],"n2":["n1","n3","n5"],"n3":["n2"],"n4":["n1","n5"],"n5":["n2","n4"]}`,
		"line":  `{"n1":["n2"],"n2":["n1","n3"],"n3":["n2","n4"],"n4":["n3","n5"],"n5":["n4"]}`,
		"tree":  `{"n1":["n2","n3"],"n2":["n1","n4","n5"],"n3":["n1"],"n4":["n2"],"n5":["n2"]}`,
		"total": `{"n1":["n2"],"n2":["n1"]}`,
	} {
		of := nodes
		if kind == "total" {
			of = nodes[:2]
		}
		top, err := Topology(kind, of)
		got, jerr := json.Marshal(top)
		if err := errors.Join(err, jerr); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", kind, got, err)
		}
	}
	if one, err := Topology("grid", nodes[:1]); err != nil || one["n1"] == nil {
		t.Errorf("one node: %v, %v: want a list of nobody", one, err)
	}
	if _, err := Topology("star", nodes); err == nil {
		t.Error("there is a star")
	}
}

func TestParseMessage(t *testing.T) {
	for line, want := range map[string]string{
		`{"src":"n1","dest":"n2","body":{"type":"x"}}`: "",
		`{"src":"n1","dest":"n2","body":[]}`:           "its body is no object",
		`{"src":"n1","dest":"n2"}`:                     "its body is no object",
		`{"dest":"n2","body":{}}`:                      "it has no src",
		`{"src":"n1","body":{}}`:                       "it has no dest",
		`{"src":1}`:                                    "cannot unmarshal",
		`hello`:                                        "invalid character",
		`[]`:                                           "cannot unmarshal",
		`null`:                                         "it has no src",
	} {
		_, err := ParseMessage([]byte(line))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

func value(t *testing.T, text string) history.Value {
	t.Helper()
	v, err := history.ParseValue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
