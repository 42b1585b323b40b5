package check_test

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// A stale read: 2 had been acknowledged before the read began.
func ExampleLinearizable() {
	const ms = 1_000_000
	event := func(
		p history.Process, t history.Type, f history.F, v history.Value, at history.Time,
	) history.Event {
		return history.Event{Process: p, Type: t, F: f, Value: v, Time: at * ms}
	}
	h, err := history.New(
		event(0, history.Invoke, "write", history.Int(1), 0),
		event(0, history.OK, "write", history.Int(1), 10),
		event(0, history.Invoke, "write", history.Int(2), 20),
		event(0, history.OK, "write", history.Int(2), 30),
		event(1, history.Invoke, "read", history.Nil(), 40),
		event(1, history.OK, "read", history.Int(1), 50),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := check.Linearizable("register", check.Options{}).Check(context.Background(), h)
	fmt.Println(r.Verdict)
	for _, op := range r.Counterexamples[0].Ops {
		fmt.Printf("process %d %s, the culprit: %t\n", op.Process, op.Describe, op.Culprit)
	}
	// Output:
	// invalid
	// process 0 write(1), the culprit: false
	// process 0 write(2), the culprit: false
	// process 1 read() = 1, the culprit: true
}
