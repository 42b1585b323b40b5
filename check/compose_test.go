package check

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

func fixed(name string, v Verdict, reason string) Checker {
	return CheckerFunc(func(context.Context, *history.History) Result {
		return Result{Name: name, Verdict: v, Reason: reason}
	})
}

func TestCompose(t *testing.T) {
	boom := CheckerFunc(func(context.Context, *history.History) Result { panic("boom") })
	good := fixed("good", Valid, "fine")
	lazy := fixed("lazy", Unknown, "no idea")
	bad := fixed("bad", Invalid, "wrong")
	for _, tt := range []struct {
		name     string
		checkers []Checker
		verdict  Verdict
		reason   string
	}{
		{"nothing", nil, Unknown, "there is nothing to check"},
		{"valid", []Checker{good, Named("other", good)}, Valid, "good: fine; other: fine"},
		{"unknown", []Checker{good, lazy}, Unknown, "lazy: no idea"},
		{"invalid", []Checker{bad, lazy, good}, Invalid, "bad: wrong"},
		{"panic", []Checker{good, boom}, Unknown, "checker: the checker panicked: boom"},
		{"panic beside invalid", []Checker{boom, bad}, Invalid, "bad: wrong"},
		{"nested", []Checker{Compose("inner", bad), good}, Invalid, "inner: bad: wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Compose("all", tt.checkers...).Check(t.Context(), &history.History{})
			if r.Name != "all" || r.Verdict != tt.verdict || r.Reason != tt.reason {
				t.Errorf("got %s %s %q, want %s %q", r.Name, r.Verdict, r.Reason,
					tt.verdict, tt.reason)
			}
			if len(r.Parts) != len(tt.checkers) {
				t.Errorf("%d parts, want %d", len(r.Parts), len(tt.checkers))
			}
			for _, p := range r.Parts {
				d, panicked := p.Details.(PanicDetails)
				if panicked && !strings.Contains(d.Stack, "compose_test.go") {
					t.Errorf("the stack does not show the culprit:\n%s", d.Stack)
				}
			}
		})
	}
}

// TestInterrupted: no checker calls a history valid that it had no time for.
func TestInterrupted(t *testing.T) {
	h := mustTimeline(t, `
		p0 add 1 0..10
		p0 read = [1] 20..30`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []Checker{
		Linearizable("set", Options{}), SetFull(SetFullOptions{}), Counter(), UniqueIDs(),
		Stats(), Floors(), Availability(AvailabilityOptions{}),
	} {
		r := c.Check(ctx, h)
		if r.Verdict != Unknown || r.Name == "" || r.Reason == "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestVerdictJSON(t *testing.T) {
	for _, v := range []Verdict{Valid, Unknown, Invalid} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back Verdict
		if err := json.Unmarshal(b, &back); err != nil || back != v {
			t.Errorf("%s became %s, %v", v, back, err)
		}
	}
	var v Verdict
	if err := json.Unmarshal([]byte(`"fine"`), &v); err == nil {
		t.Error("fine is no verdict")
	}
	if Merge(Unknown, Valid) != Unknown || Merge(Unknown, Invalid) != Invalid {
		t.Error("the greater verdict wins")
	}
}
