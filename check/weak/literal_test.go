package weak

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// parse reads sessions, one on a line, of transactions divided by "|": "w x 1" writes 1
// to x, "r x -" reads that nobody has written it, "!" ends an aborted transaction and "?"
// a crashed one.
func parse(t *testing.T, text string) *History {
	t.Helper()
	h := &History{}
	keys := map[string]int32{}
	for s, line := range strings.Split(strings.TrimSpace(text), "\n") {
		for _, txn := range strings.Split(line, "|") {
			words := strings.Fields(txn)
			status := Committed
			switch {
			case words[len(words)-1] == "!":
				status = Aborted
			case words[len(words)-1] == "?":
				status = Crashed
			}
			h.Begin(int32(s), status)
			for ; len(words) >= 3; words = words[3:] {
				key, known := keys[words[1]]
				if !known {
					key = int32(len(keys))
					keys[words[1]] = key
				}
				value, err := strconv.ParseInt(words[2], 10, 64)
				if words[2] == "-" {
					value, err = Unwritten, nil
				}
				if err != nil {
					t.Fatal(err)
				}
				if words[0] == "w" {
					h.Write(key, value)
				} else {
					h.Read(key, value)
				}
			}
		}
	}
	return h
}

// verdicts lists the levels that a history refutes: rc, mav, ra without sessions, RC,
// MAV, RA and CC with them.
func verdicts(t *testing.T, x *Index) string {
	t.Helper()
	var list []string
	for _, l := range []struct {
		name     string
		level    Level
		sessions bool
	}{
		{"rc", ReadCommitted, false},
		{"mav", MonotonicAtomicView, false},
		{"ra", ReadAtomic, false},
		{"RC", ReadCommitted, true},
		{"MAV", MonotonicAtomicView, true},
		{"RA", ReadAtomic, true},
		{"CC", Causal, true},
	} {
		v, err := x.Check(l.level, l.sessions)
		if err != nil {
			t.Fatal(err)
		}
		if v != nil {
			list = append(list, l.name)
		}
	}
	return strings.Join(list, " ")
}

// TestLevels tells for each level a story that it allows and the next does not, and some
// that look bad and are not.
func TestLevels(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing shown", "w x 1\nw y 1\nr x -", ""},
		{"one after the other", "w x 1 w y 1 | w x 2\nr x 1 r y 1\nr x 2 r y 1", ""},
		{
			// Whoever reads two versions in one transaction does not read atomically; in
			// this order nothing else is wrong.
			"non-repeatable", "w x 1\nw x 2\nr x 1 r x 2", "ra RA CC",
		},
		{"forth and back", "w x 1\nw x 2\nr x 1 r x 2 r x 1", "mav ra MAV RA CC"},
		{"fractured, newer last", "w x 1 w y 1\nr y - r x 1", "ra RA CC"},
		{"fractured, newer first", "w x 1 w y 1\nr x 1 r y -", "mav ra MAV RA CC"},
		{
			// Without a reader of both nobody knows which version of x is newer.
			"perhaps the other order", "w x 1 w y 1\nw x 2\nr y 1 r x 2", "",
		},
		{"circular information flow", "w x 1 r y 1\nw y 1 r x 1", "rc mav ra RC MAV RA CC"},
		{"circular by a session", "r y 1 | w x 1\nr x 1 | w y 1", "RC MAV RA CC"},
		{"own write forgotten", "w x 1 | r x -", "RA CC"},
		{"own write overwritten", "w x 1 | r x 2\nw x 2", ""},
		{"back in a session", "w x 1\nw x 2\nr x 1 | r x 2 | r x 1", "CC"},
		{"cause without effect", "w x 1\nr x 1 | w y 1\nr y 1 r x -", "CC"},
		{"effect in another session", "w x 1\nr x 1 w y 1\nr y 1 | r x -", "CC"},
		{
			"two observers disagree", "w x 1\nw x 2\nr x 1 | r x 2\nr x 2 | r x 1", "CC",
		},
		{"long fork", "w x 1\nw y 1\nr x 1 r y -\nr x - r y 1", ""},
		{"lost update", "w x 1\nr x 1 w x 2\nr x 1 w x 3", ""},
		{"write skew", "r x - w y 1\nr y - w x 1", ""},
		{"a crashed writer that nobody saw", "w x 1 ? | r x -\nr x -", ""},
		{"a crashed writer that somebody saw", "w x 1 w y 1 ?\nr x 1 r y -", "mav ra MAV RA CC"},
		{"an aborted write is written again", "w x 1 !\nw x 1\nr x 1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := NewIndex(parse(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := verdicts(t, x); got != c.want {
				t.Errorf("refuted: %q, want %q", got, c.want)
			}
		})
	}
}

// TestWrongReads has a history for each read that is wrong by itself.
func TestWrongReads(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"w x 1\nr x 2", "thin-air read"},
		{"w x 1 !\nr x 1", "aborted read"},
		{"w x 1 w x 2\nr x 1", "intermediate read"},
		{"w x 1 w x 2 r x 1", "internal"},
		{"w x 1 r x 2\nw x 2", "internal"},
		{"w x 1 r x -", "internal"},
		{"w x 1 r x 2\nw x 2 !", "internal aborted read"},
		{"r x 1 w x 1", "future read"},
		{"w x 1 r x 2 w x 2", "future read"},
		{"r x 1 r x 2\nw x 1\nw x 2", "non-repeatable read"},
		{"r x 1 r x -\nw x 1", "non-repeatable read"},
		// What only looks bad.
		{"r x 1 w x 2 r x 2\nw x 1", ""},
		{"w x 1 ?\nr x 1 r x 1", ""},
		{"w x 1 r x 1 w x 2 r x 2", ""},
	} {
		x, err := NewIndex(parse(t, c.text))
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, v := range x.Wrong() {
			kinds = append(kinds, v.Kind.String())
		}
		if got := strings.Join(kinds, " "); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestValuesAreUnique(t *testing.T) {
	for _, text := range []string{"w x 1\nw x 1", "w x 1 w x 2 w x 1", "w x 1\nw x 1 ?"} {
		if _, err := NewIndex(parse(t, text+"\nr x 1")); err == nil {
			t.Errorf("%q: want an error", text)
		}
		// If nobody reads it, it does not matter who wrote it.
		for _, other := range []string{"", "\nr x -", "\nr y 1 ?"} {
			if _, err := NewIndex(parse(t, text+other)); err != nil {
				t.Errorf("%q: %v", text+other, err)
			}
		}
	}
	if _, err := NewIndex(parse(t, "w x 1\nw y 1")); err != nil {
		t.Error(err)
	}
}

// TestWitness looks at the words of one violation of each kind of edge.
func TestWitness(t *testing.T) {
	x, err := NewIndex(parse(t, "w x 1 | w x 2\nr x 2 | w y 1\nr y 1 | r x 1"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := x.Check(Causal, true)
	if err != nil || v == nil {
		t.Fatalf("got %v, %v", v, err)
	}
	want := "[{0 1 0 -1 -1 []} {1 0 2 0 5 [{1 2 1 0 -1 []} {2 3 0 -1 -1 []} {3 4 1 1 -1 []} " +
		"{4 5 0 -1 -1 []}]}]"
	if got := fmt.Sprint(v.Edges); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(x.Witness(v)); got != "[0 1 2 3 4 5]" {
		t.Errorf("witness %s", got)
	}
}

// TestCorpus compares with the verdicts of AWDIT's own tests, in the folders of
// $ORDEAL_CORPORA/awdit: a history's folder is the strongest level that it has.
func TestCorpus(t *testing.T) {
	root := os.Getenv("ORDEAL_CORPORA")
	if root == "" {
		return
	}
	want := map[string]string{
		"causal": "", "read-atomic": "CC", "read-committed": "RA CC", "none": "MAV RA CC",
	}
	n := 0
	for folder, refuted := range want {
		for _, pattern := range []string{"*.txt", "*/*.txt"} {
			files, err := filepath.Glob(filepath.Join(root, "awdit", folder, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				n++
				x, err := NewIndex(parseAWDIT(t, f))
				if err != nil {
					t.Errorf("%s: %v", f, err)
					continue
				}
				got := verdicts(t, x)
				at := max(0, len(got)-len(refuted))
				if got[at:] != refuted || refuted == "" && got != "" ||
					refuted == "CC" && strings.Contains(got, "RA") ||
					refuted == "RA CC" && strings.Contains(got, "MAV") {
					t.Errorf("%s: refuted %q, want %q", f, got, refuted)
				}
			}
		}
	}
	if n != 22 {
		t.Errorf("%d histories, want 22", n)
	}
}

// parseAWDIT reads sessions divided by "=====" of transactions divided by "-----".
func parseAWDIT(t *testing.T, path string) *History {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := &History{}
	for s, session := range strings.Split(string(text), "=====") {
		for _, txn := range strings.Split(session, "-----") {
			h.Begin(int32(s), Committed)
			words := strings.Fields(txn)
			for ; len(words) >= 3; words = words[3:] {
				value, err := strconv.ParseInt(words[2], 10, 64)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				key, err := strconv.ParseInt(words[1], 10, 32)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if words[0] == "w" {
					h.Write(int32(key), value)
				} else {
					h.Read(int32(key), value)
				}
			}
		}
	}
	return h
}
