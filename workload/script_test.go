package workload

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestScript: each thread does its own, at its time, or as soon as it is free, and that is not over
// before its time. In the end times count from then.
func TestScript(t *testing.T) {
	op := func(thread int, at history.Time, f history.F) Scripted {
		return Scripted{Thread: thread, Op: Op{F: f, At: at}}
	}
	out, err := Simulate(Simulation{
		Concurrency: 2,
		Generator: Script(2, []Scripted{
			op(0, 50, "a"), op(1, 20, "b"), op(0, 55, "c"), op(1, 90, "d"), op(3, 91, "e"),
		}, 200),
		Final: ScriptFromNow(2, []Scripted{op(1, 0, "x"), op(0, 7, "y"), op(1, 30, "z")}),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range out.Steps {
		got = append(got, fmt.Sprintf("%d:%d%s", s.Time, s.Thread, s.Op.F))
	}
	// An operation takes ten.
	const want = "20:1b 50:0a 60:0c 90:1d 100:1e 200:1x 207:0y 230:1z"
	if s := strings.Join(got, " "); s != want || out.Stuck {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
