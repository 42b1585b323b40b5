package run

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// TestReading shows what a person is told of a long file.
func TestReading(t *testing.T) {
	var shown []string
	r := reading{began: started, show: func(at time.Time, line string) {
		shown = append(shown, fmt.Sprintf("%s %s", at.Sub(started), line))
	}}
	for _, step := range []struct {
		ms, bytes, total int64
	}{
		{900, 50e6, 300e6}, // too short to be worth a line
		{2000, 100e6, 300e6},
		{2100, 110e6, 300e6}, // too soon after the last one
		{2500, 250e6, 0},     // a pipe
	} {
		r.at(started.Add(time.Duration(step.ms)*time.Millisecond),
			history.Progress{Bytes: step.bytes, Total: step.total})
	}
	want := "2s reading: 100 of 300 MB, 50 MB/s, 4s left\n2.5s reading: 250 MB, 100 MB/s"
	if got := strings.Join(shown, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestJudges: every checker of the table has a name and a sentence of its own, and
// can be made.
func TestJudges(t *testing.T) {
	seen := make(map[string]bool)
	for _, j := range judges() {
		v, err := j.verdict(File{})
		if j.name == "" || j.doc == "" || seen[j.name] || seen[j.doc] || v.checker == nil || err != nil {
			t.Errorf("%+v: %v", j, err)
		}
		seen[j.name], seen[j.doc] = true, true
		if _, err := lookupJudge(j.name); err != nil {
			t.Error(err)
		}
	}
}

// TestGroupByReads: keys that are read together are a group, also by way of others.
func TestGroupByReads(t *testing.T) {
	read := func(keys ...history.Key) history.Operation {
		var steps []history.Step
		for _, k := range keys {
			steps = append(steps, history.Step{F: history.StepRead, Key: k})
		}
		return history.Operation{F: "read", In: history.Steps(steps...)}
	}
	h := &history.History{Ops: []history.Operation{read("1", "2"), read("3"), read("4", "5"),
		read("2", "3"), read("5", "4"), read("9")}}
	groupByReads(h)
	var groups []string
	for _, op := range h.Ops {
		groups = append(groups, fmt.Sprint(op.F, " ", op.Key))
	}
	want := "txn 1, txn 1, txn 4, txn 1, txn 4, txn 9"
	if got := strings.Join(groups, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	grouped := &history.History{Ops: []history.Operation{{F: "read", Key: "x"}}}
	if groupByReads(grouped); grouped.Ops[0].F != "read" || grouped.Ops[0].Key != "x" {
		t.Errorf("%+v", grouped.Ops[0])
	}
}

// TestHints: whatever a hint proposes exists.
func TestHints(t *testing.T) {
	names, _ := Checkers()
	for _, m := range models.All() {
		names = append(names, m.Name)
	}
	for _, hint := range hints() {
		for _, word := range strings.FieldsFunc(hint.flags, func(r rune) bool {
			return r == ' ' || r == ','
		}) {
			if word != "or" && !strings.HasPrefix(word, "--") && !slices.Contains(names, word) {
				t.Errorf("%s: there is no %s", hint.flags, word)
			}
		}
	}
}
