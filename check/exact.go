package check

import (
	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/models"
)

// exact is an engine that decides histories of one model in nearly linear time, if
// they say enough.
type exact struct {
	name string
	// needs says what a history has to be like.
	needs string
	bind  func(items []item) fitted
}

// fitted is an exact engine with a history in its own terms.
type fitted struct {
	decide func() linear.Result
	// order returns a legal order, if decide found that there is one. nil if the
	// engine cannot tell.
	order func() []int
}

// exactEngines returns the engines for a model, the ones to be asked first first.
func exactEngines(model string) []exact {
	switch model {
	case "register":
		return []exact{{"register zones", "unique values", registerZones}}
	default:
		return nil
	}
}

// numbering gives values numbers, nil that of what an object holds at first.
type numbering map[models.Scalar]linear.Value

func (n numbering) of(s models.Scalar) linear.Value {
	if s.IsNil() {
		return linear.Nil
	}
	v, found := n[s]
	if !found {
		v = linear.Value(len(n) + 1)
		n[s] = v
	}
	return v
}

func (it *item) span() linear.Span { return linear.Span{Call: it.call, Return: it.ret} }

func registerZones(items []item) fitted {
	values := make(numbering)
	ops := make([]linear.RegisterOp, len(items))
	for i := range items {
		f := &items[i].p.Facts
		ops[i].Span = items[i].span()
		if ops[i].Write = !f.Pure; ops[i].Write {
			ops[i].Value = values.of(f.Makes[0].Value)
		} else {
			ops[i].Value = values.of(f.Sees[0].Value)
		}
	}
	return fitted{decide: func() linear.Result { return linear.Register(ops) }}
}
