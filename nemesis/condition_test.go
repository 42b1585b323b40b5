package nemesis

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

const scenario = `
# A leader is killed until there is another one; a hundred operations later that is
# paused, as long as two hundred are acknowledged; when that is over, a third fault.
{"at":"1s","for":"30s","fault":"kill","target":"primaries","until":"new primary"}
{"when":["step 1 over","100 acks"],"for":"30s","until":"200 acks","fault":"pause","target":"one"}
{"when":"step 2 over","at":"2s","for":"1s","fault":"loss"}
`

func readScenario(t *testing.T, text string) []Step {
	t.Helper()
	steps, err := ReadSchedule("scenario", strings.NewReader(text))
	must(t, err)
	return steps
}

// TestScenario waits for what is observed instead of times.
func TestScenario(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		// A hundred acknowledgments a second.
		b.env.Acks = func() int64 { return int64(time.Duration(b.Now()) / (10 * time.Millisecond)) }
		s := b.run(t, t.Context(), readScenario(t, scenario)...)
		if r := s.Result(); r.Verdict != check.Valid {
			t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
		}
		begun := func(i int) time.Duration { return time.Duration(s.Faults[i].Start) }
		lasted := func(i int) time.Duration { return time.Duration(s.Faults[i].End - s.Faults[i].Start) }
		over := func(i int) time.Duration { return time.Duration(s.Faults[i].End) }
		if begun(0) != time.Second || lasted(0) > 200*time.Millisecond {
			t.Errorf("the kill at %v lasted %v: a new primary was there at once", begun(0), lasted(0))
		}
		if wait := begun(1) - over(0); wait < time.Second || wait > 1200*time.Millisecond {
			t.Errorf("the pause came %v after the kill, want a second for 100 acks", wait)
		}
		if d := lasted(1); d < 2*time.Second || d > 2200*time.Millisecond {
			t.Errorf("the pause lasted %v, want two seconds for 200 acks", d)
		}
		if wait := begun(2) - over(1); wait < 0 || wait > 200*time.Millisecond {
			t.Errorf("the loss came %v after the pause", wait)
		}
		if d := lasted(2); d < time.Second {
			t.Errorf("the loss lasted %v, want its second after its conditions", d)
		}
	})
}

// TestScenarioMisses says which condition did not come: what was not done proves nothing.
// One that does not end a fault leaves it to its time.
func TestScenarioMisses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		s := b.run(t, t.Context(), readScenario(t, `
{"at":"1s","for":"2s","fault":"pause","nodes":["n2"],"until":"no primary"}
{"when":["primary","new primary"],"within":"3s","for":"1s","fault":"pause","nodes":["n3"]}
{"when":"step 2 over","for":"1s","fault":"pause","nodes":["n1"]}
`)...)
		wantUnknown(t, s, `pause #2 (not begun) was not done: "new primary" did not come within 3s`)
		if d := time.Duration(s.Faults[0].End - s.Faults[0].Start); d < 2*time.Second {
			t.Errorf("the first lasted %v", d)
		}
		if !s.Faults[2].Bit {
			t.Errorf("what waits for the end of a step that was skipped is not done: %+v", s.Faults[2])
		}
	})
}

// TestScenarioEnds ends the test while a step waits: that is nobody's fault.
func TestScenarioEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		s := b.run(t, ctx, readScenario(t, `
{"at":"1s","for":"1s","fault":"pause","nodes":["n2"]}
{"when":"new primary","within":"1m","for":"1s","fault":"pause","nodes":["n3"]}
`)...)
		if r := s.Result(); r.Verdict != check.Valid || !s.Faults[1].Interrupted {
			t.Errorf("verdict %v: %s, %+v", r.Verdict, r.Reason, s.Faults[1])
		}
	})
}

// TestConditionMistakes reports every mistake with its line.
func TestConditionMistakes(t *testing.T) {
	for line, want := range map[string]string{
		`{"when":"12 monkeys","for":"1s","fault":"kill"}`:              `scenario:1: condition "12 m`,
		`{"when":"0 acks","for":"1s","fault":"kill"}`:                  `condition "0 acks"`,
		`{"when":"step 1","for":"1s","fault":"kill"}`:                  "can only wait for earlier ones",
		`{"when":[1],"for":"1s","fault":"kill"}`:                       "want a condition, or a list",
		`{"for":"1s","fault":"kill"}`:                                  "at: ",
		`{"when":"primary","within":"x","for":"1s","fault":"kill"}`:    "within: ",
		`{"at":"1s","until":"step one","for":"1s","fault":"kill"}`:     `condition "step one"`,
		`{"when":"primary","within":"-1s","for":"1s","fault":"kill"}`:  "within -1s",
		`{"when":"step 1 under","for":"1s","fault":"kill","id":7}`:     `condition "step 1 under"`,
		`{"when":"no  primary","for":"1s","fault":"kill","until":"x"}`: `condition "x"`,
	} {
		_, err := ReadSchedule("scenario", strings.NewReader(line))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	b := newBench(t, 3)
	steps := readScenario(t, `{"id":5,"when":["step 3","10 acks"],"for":"1s","fault":"kill"}`)
	_, err := NewRunner(b.env, steps)
	for _, want := range []string{"there is no such step", "nobody counts acknowledgments"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestScenarioRoundTrip writes what it has read.
func TestScenarioRoundTrip(t *testing.T) {
	steps := readScenario(t, scenario)
	var text strings.Builder
	must(t, WriteSchedule(&text, steps))
	again := readScenario(t, text.String())
	for i, s := range again {
		was := steps[i]
		if s.When.String() != was.When.String() || s.Until.String() != was.Until.String() ||
			s.At != was.At || s.For != was.For || s.Within != was.Within {
			t.Errorf("%+v, want %+v", s, steps[i])
		}
	}
}
