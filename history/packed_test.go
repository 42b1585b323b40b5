package history

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// genSteps draws a transaction, or one step of it, in each of the shapes that values have.
func genSteps(t *rapid.T) Value {
	var steps []Step
	for range rapid.IntRange(1, 4).Draw(t, "steps") {
		steps = append(steps, Step{
			F:     rapid.SampledFrom([]F{StepRead, StepAppend}).Draw(t, "f"),
			Key:   rapid.SampledFrom([]Key{"x", "5", ""}).Draw(t, "key"),
			Value: genValue(1).Draw(t, "value"),
		})
	}
	v := Steps(steps...)
	if rapid.Bool().Draw(t, "numbers") {
		for i := range steps {
			steps[i].Key = "5"
		}
		v = stepList(kindIntSteps, steps)
	}
	if rapid.Bool().Draw(t, "one") {
		v = v.At(0)
	}
	return v
}

// TestPacked: events come out as they went in, also from a copy that was made before others
// were added.
func TestPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genEvents(t)
		for i := range want {
			switch rapid.IntRange(0, 3).Draw(t, "shape") {
			case 0:
				want[i].Value = genSteps(t)
			case 1:
				ns := rapid.SliceOf(rapid.Int64()).Draw(t, "integers")
				want[i].Value = Ints(ns...)
			}
		}
		cut := rapid.IntRange(0, len(want)).Draw(t, "cut")
		var p, early Packed
		for i := range want {
			if i == cut {
				early = p
			}
			p.Append(&want[i])
		}
		if cut == len(want) {
			early = p
		}
		if p.Len() != len(want) || early.Len() != cut {
			t.Fatalf("%d and %d events, want %d and %d", p.Len(), early.Len(), len(want), cut)
		}
		compareEvents(t, p.AppendTo(nil), want)
		compareEvents(t, early.AppendTo(nil), want[:cut])
	})
}

// compareEvents holds two lists of events against each other, by all that they say.
func compareEvents(t rapid.TB, got, want []Event) {
	t.Helper()
	for i := range want {
		g, w := got[i], want[i]
		same := g.Value.Equal(w.Value) && g.Value.Hash() == w.Value.Hash() &&
			bytes.Equal(g.Value.AppendJSON(nil), w.Value.AppendJSON(nil))
		g.Value, w.Value = Nil(), Nil()
		if g != w || !same {
			t.Fatalf("event %d is %+v %s, want %+v %s", i, got[i], got[i].Value, want[i], want[i].Value)
		}
	}
}

// TestPackedFloats: what equals nothing, or two things, stays what it is.
func TestPackedFloats(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Copysign(0, -1), 1e-300} {
		var p Packed
		p.Append(&Event{Value: Float(f)})
		got, _ := p.AppendTo(nil)[0].Value.AsFloat()
		if math.Float64bits(got) != math.Float64bits(f) {
			t.Errorf("%v became %v", f, got)
		}
	}
}
