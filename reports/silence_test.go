package reports

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// silentRun: after a success nothing works for ten seconds, under a partition that leaves a
// majority, and then it does again.
func silentRun(t *testing.T, stored bool) Run {
	t.Helper()
	r := baseRun()
	r.History = &history.History{}
	add := func(call, ended history.Time, kind history.Type) {
		i := int64(len(r.History.Ops))
		r.History.Ops = append(r.History.Ops, history.Operation{
			Index: 2 * i, Process: history.Process(i), Call: call, Return: ended, Ended: ended, F: "read",
			Key: "k", Type: kind,
		})
	}
	add(1e9, 2e9, history.OK)
	for i := range history.Time(40) {
		add(3e9+i*25e7, 3e9+i*25e7+1e8, history.Fail)
	}
	add(14e9, 15e9, history.OK)
	add(16e9, 17e9, history.OK)
	r.History.Nemesis = []history.Event{
		nemesisEvent(25e8, history.Invoke, "start", "n1 | n2 n3"),
		nemesisEvent(13e9, history.Info, "stop", "n1 | n2 n3"),
	}
	gap := check.Gap{From: 3e9, To: 13e9, Nodes: []string{"n2", "n3"}, Tried: 40}
	part := check.Result{
		Name: "availability", Verdict: check.Invalid, Reason: gap.String(),
		Details: check.AvailabilityDetails{Gaps: []check.Gap{gap}},
	}
	if stored { // its details have lost their type
		b, err := json.Marshal(part.Details)
		if err != nil {
			t.Fatal(err)
		}
		part.Details = nil
		if err := json.Unmarshal(b, &part.Details); err != nil {
			t.Fatal(err)
		}
	}
	r.Result = check.Result{
		Name: "register", Verdict: check.Invalid, Reason: part.Reason, Parts: []check.Result{part},
	}
	return r
}

// TestSilence: where nothing worked for too long, the page says so first, says under which
// fault, and draws what was tried between the last success and the next.
func TestSilence(t *testing.T) {
	for _, stored := range []bool{false, true} {
		p := newPage(silentRun(t, stored))
		const lead = "No operation completed between 3.000 s and 13.000 s although n2 and n3 were " +
			"healthy and connected throughout, and 40 were tried."
		if p.Lead != lead {
			t.Errorf("it begins with %q", p.Lead)
		}
		if !strings.Contains(p.Setting.String(), "At that time there was fault 1, partition: n1 | n2") {
			t.Errorf("and says of the faults: %q", p.Setting.String())
		}
		if len(p.Grounds) != 1 || p.Grounds[0].Reason != "" {
			t.Errorf("it is said again: %v", p.Grounds)
		}
		if p.First == nil || len(p.First.Told) != triesDrawn+2 {
			t.Fatalf("%+v is drawn", p.First)
		}
		for i, op := range p.First.Told {
			want := "did not succeed"
			if i == 0 || i == triesDrawn+1 {
				want = ""
			}
			if op.Mark != want {
				t.Errorf("operation %d, called at %s, is marked %q", i, op.From, op.Mark)
			}
		}
		if first, last := p.First.Told[0], p.First.Told[triesDrawn+1]; first.From != "1.000 s" ||
			last.From != "14.000 s" {
			t.Errorf("the successes around are called at %s and %s", first.From, last.From)
		}
	}
	if r := silentRun(t, false); len(silences(Run{Result: check.Result{
		Name: "availability", Details: r.Result.Parts[0].Details,
	}})) > 0 {
		t.Error("a gap that nobody promised to avoid is drawn")
	}
}
