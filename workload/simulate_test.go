package workload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

const ms = history.Time(time.Millisecond)

// f returns an endless generator of operations with this F.
func f(name history.F) Generator { return Func(func(Context) Op { return Op{F: name} }) }

// seq returns the generator of operations with these Fs.
func seq(names ...history.F) Generator {
	var list []Op
	for _, n := range names {
		list = append(list, Op{F: n})
	}
	return Ops(list...)
}

// never is always pending.
type never struct{}

func (n never) Next(Context) (Step, Generator)          { return Pending(), n }
func (n never) Update(Context, history.Event) Generator { return n }

// counting gives operations whose value is the number of events it was told of.
type counting struct{ told int64 }

func (c counting) Next(Context) (Step, Generator) {
	return Do(Op{F: "told", Value: history.Int(c.told)}), c
}
func (c counting) Update(Context, history.Event) Generator { return counting{told: c.told + 1} }

// slowly answers ok after some milliseconds.
func slowly(millis int) func(int, history.Event) Answer {
	return func(int, history.Event) Answer {
		return Answer{Type: history.OK, Latency: time.Duration(millis) * time.Millisecond}
	}
}

// imperfect answers fail, info, ok, fail, … after a millisecond each.
func imperfect() func(int, history.Event) Answer {
	n := 0
	return func(int, history.Event) Answer {
		t := []history.Type{history.Fail, history.Info, history.OK}[n%3]
		n++
		return Answer{Type: t, Latency: time.Millisecond}
	}
}

// pure asks everything twice, and notes a difference.
type pure struct {
	gen  Generator
	diff *string
}

func (p pure) Next(ctx Context) (Step, Generator) {
	a, next := p.gen.Next(ctx)
	b, _ := p.gen.Next(ctx)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		*p.diff = fmt.Sprintf("asked twice: %v, then %v", a, b)
	}
	if same(p.gen, next) {
		return a, p
	}
	return a, pure{gen: next, diff: p.diff}
}

func (p pure) Update(ctx Context, ev history.Event) Generator {
	next := p.gen.Update(ctx, ev)
	p.gen.Update(ctx, ev)
	if same(p.gen, next) {
		return p
	}
	return pure{gen: next, diff: p.diff}
}

// simulate runs a simulation twice from the same generator value: a generator that
// changed itself would go on where it stopped.
func simulate(t *testing.T, sim Simulation) *Simulated {
	t.Helper()
	respond := sim.Respond
	var diff string
	if sim.Concurrency == 0 {
		sim.Concurrency = 3
	}
	sim.Generator = pure{gen: sim.Generator, diff: &diff}
	first, err := Simulate(sim)
	if err != nil {
		t.Fatal(err)
	}
	if diff != "" {
		t.Errorf("not a pure function: %s", diff)
	}
	if respond == nil { // a scripted system has a state of its own
		second, err := Simulate(sim)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(first) != fmt.Sprint(second) {
			t.Errorf("the same generator gave another history")
		}
	}
	return first
}

// show writes the steps, one a line: time in milliseconds, thread, operation.
func show(out *Simulated) string {
	var b strings.Builder
	for _, s := range out.Steps {
		fmt.Fprintf(&b, "%8.3f  t%d  %v\n", float64(s.Time)/1e6, s.Thread, s.Op)
	}
	if out.Stuck {
		b.WriteString("pending for ever\n")
	}
	return b.String()
}

// fs lists the Fs of the steps.
func fs(out *Simulated) string {
	var names []string
	for _, s := range out.Steps {
		if s.Op.Kind != OpInvoke {
			names = append(names, s.Op.String())
			continue
		}
		names = append(names, string(s.Op.F))
	}
	return strings.Join(names, " ")
}
