package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/workload"
)

// TestProgress shows every byte that a person's terminal, and a log, gets.
func TestProgress(t *testing.T) {
	for terminal, want := range map[bool]string{
		true: "a\n" + "set up" + "\r      \r" + "10 ops/s …" + "\r          \r" + "note\n" +
			"checking" + "\r        \r",
		false: "a\n" + "set up\n" + "note\n" + "checking\n",
	} {
		var out strings.Builder
		p := &progress{out: &out, terminal: terminal}
		p.say("%s", "a")
		p.status(started, "set up")
		p.status(started.Add(plainInterval-time.Millisecond), "10 ops/s …")
		p.say("note")
		p.status(started.Add(plainInterval), "checking")
		p.done()
		p.done()
		if out.String() != want {
			t.Errorf("terminal %v: %q, want %q", terminal, out.String(), want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	before := workload.Snapshot{Time: 11e9, OK: 100}
	s := workload.Snapshot{
		Time: history.Time(12 * time.Second), Invoked: 140, OK: 120, Fail: 3, Info: 2,
	}
	got := progressLine(s, before, nil)
	if want := "  12.0s     25/s  ok 120  fail 3  info 2  faults: none"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	active := []nemesis.ActiveFault{{Fault: "pause", What: "n1"}, {Fault: "loss"}}
	got = progressLine(s, before, active)
	if want := "  12.0s     25/s  ok 120  fail 3  info 2  faults: pause n1; loss"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	active[1].What = strings.Repeat("ü", progressColumns)
	got = progressLine(s, before, active)
	if n := len([]rune(got)); n != progressColumns || !strings.HasSuffix(got, "ü…") {
		t.Errorf("%d columns: %q", n, got)
	}
}

// TestTail keeps whole lines, from the end.
func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{
		100: "one\ntwo\nthree\n", 14: "one\ntwo\nthree\n", 13: "two\nthree\n",
		11: "two\nthree\n", 9: "three\n",
		6: "", 1: "",
	} {
		if got, err := tail(path, limit); got != want || err != nil {
			t.Errorf("last %d bytes: %q, %v; want %q", limit, got, err, want)
		}
	}
}
