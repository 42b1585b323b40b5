package run

import (
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// TestMisfits: a transaction is answered with its own steps, with anything where they read.
func TestMisfits(t *testing.T) {
	read := history.Step{F: history.StepRead, Key: "k.x"}
	write := history.Step{F: history.StepWrite, Key: "k.y", Value: history.Int(3)}
	got := read
	got.Value = history.List(history.Int(1))
	other := write
	other.Value = history.Int(4)
	for _, c := range []struct {
		name string
		op   history.Operation
		want bool
	}{
		{"its own", history.Operation{Out: history.Steps(got, write)}, false},
		{"nothing read", history.Operation{Out: history.Steps(read, write)}, false},
		{"less", history.Operation{Out: history.Steps(got)}, true},
		{"another order", history.Operation{Out: history.Steps(write, got)}, true},
		{"another value", history.Operation{Out: history.Steps(got, other)}, true},
		{"no steps", history.Operation{Out: history.Int(1)}, true},
		{"unknown", history.Operation{Out: history.Int(1), Type: history.Info}, false},
		{"a write", history.Operation{Out: history.Int(1), F: workload.Write}, false},
	} {
		c.op.In = history.Steps(read, write)
		if c.op.F == "" {
			c.op.F = workload.Txn
		}
		if c.name != "unknown" {
			c.op.Type = history.OK
		}
		if misfits(c.op) != c.want {
			t.Errorf("%s: %t, want %t", c.name, !c.want, c.want)
		}
	}
}
