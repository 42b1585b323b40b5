package check

import (
	"slices"

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
	// order returns a legal order, if decide found that there is one. It is nil if the
	// engine has none that the model's Step would follow.
	order func() []int
}

// exactEngines returns the engines for a model, the ones to be asked first first.
func exactEngines(model string) []exact {
	const unique = "every value is written once"
	const once = "every element is put in once"
	switch model {
	case "register":
		return []exact{{"register zones", unique, registerZones}}
	case "cas-register":
		return []exact{{"cas chains",
			unique + ", and refusals fit into the order of the rest", casChains}}
	case "fenced-register":
		return []exact{{"fenced zones", unique + ", tokens are not negative", fencedZones}}
	case "mutex":
		return []exact{{"lock tenures", "every process acquires and releases in turn", lockTenures}}
	case "set":
		return []exact{
			{"growing set", once + ", nothing but adds and whole reads", growingSet},
			{"set members", once + " and taken out at most once, no whole reads", setMembers},
		}
	case "list":
		return []exact{{"log positions", once, logPositions}}
	case "counter":
		return []exact{{"counter gaps", "always the same positive number is added", counterGaps}}
	case "queue":
		return []exact{{"fifo queue", once, queueEngine(linear.Queues, linear.QueuesOrder)}}
	case "unordered-queue":
		// Its order lets a dequeue without answer take any element; the model lets it
		// take the smallest only, and find its place.
		return []exact{{"bag", once, queueEngine(linear.Bags, nil)}}
	default:
		return nil
	}
}

// fit binds an engine to operations. order may be nil.
func fit[T any](
	ops []T, decide func([]T) linear.Result, order func([]T) []int,
) fitted {
	f := fitted{decide: func() linear.Result { return decide(ops) }}
	if order != nil {
		f.order = func() []int { return order(ops) }
	}
	return f
}

// unfit is for a history that an engine has no words for.
func unfit(why string) fitted {
	return fitted{decide: func() linear.Result {
		return linear.Result{Answer: linear.NotApplicable, Why: why}
	}}
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

func (n numbering) all(ts []models.Token) []linear.Value {
	list := make([]linear.Value, len(ts))
	for i, t := range ts {
		list[i] = n.of(t.Value)
	}
	return list
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
	return fit(ops, linear.Register, linear.RegisterOrder)
}

func casChains(items []item) fitted {
	if i, found := repeated(items); found {
		return unfit(linear.NotUnique(i))
	}
	values := make(numbering)
	ops := make([]linear.CASOp, len(items))
	for i := range items {
		f := &items[i].p.Facts
		op := &ops[i]
		op.Span = items[i].span()
		switch {
		case f.Denies:
			in, ok := items[i].p.In.(models.RegisterIn)
			if !ok {
				return unfit("an operation that is not one of a register")
			}
			op.Kind, op.Old = linear.CASRefused, values.of(in.Old)
		case f.Pure:
			op.Kind, op.Value = linear.CASRead, values.of(f.Sees[0].Value)
		case len(f.Sees) > 0:
			op.Kind = linear.CASSwap
			op.Old, op.Value = values.of(f.Sees[0].Value), values.of(f.Makes[0].Value)
		default:
			op.Kind, op.Value = linear.CASWrite, values.of(f.Makes[0].Value)
		}
	}
	return fit(ops, linear.CAS, linear.CASOrder)
}

// repeated looks among the first writes of registers for one of what was written before:
// where few values come again and again, nothing else needs to be looked at.
func repeated(items []item) (i int, found bool) {
	var made [16]models.Scalar
	n := 0
	for i := range items {
		f := &items[i].p.Facts
		if f.Pure || len(f.Sees) > 0 && f.Sees[0] == f.Makes[0] {
			continue
		}
		v := f.Makes[0].Value
		switch {
		case v.IsNil() || slices.Contains(made[:n], v):
			return i, true
		case n == len(made):
			return 0, false
		}
		made[n] = v
		n++
	}
	return 0, false
}

func fencedZones(items []item) fitted {
	values := make(numbering)
	ops := make([]linear.RevisionOp, len(items))
	for i := range items {
		in, ok := items[i].p.In.(models.FencedIn)
		if !ok || in.Write && in.Token < 0 {
			return unfit("a token is negative")
		}
		f := &items[i].p.Facts
		ops[i] = linear.RevisionOp{Span: items[i].span(), Write: in.Write, Position: linear.Unknown}
		if in.Write {
			ops[i].Value, ops[i].Position = values.of(f.Makes[0].Value), in.Token
		} else {
			ops[i].Value = values.of(f.Sees[0].Value)
		}
	}
	o := linear.RevisionOptions{Shared: true}
	return fit(ops,
		func(ops []linear.RevisionOp) linear.Result { return linear.Revisions(ops, o) },
		func(ops []linear.RevisionOp) []int { return linear.RevisionsOrder(ops, o) })
}

func lockTenures(items []item) fitted {
	ops := make([]linear.LockOp, len(items))
	for i := range items {
		in, ok := items[i].p.In.(models.MutexIn)
		if !ok {
			return unfit("an operation that is not one of a mutex")
		}
		ops[i] = linear.LockOp{
			Span: items[i].span(), Acquire: in.Acquire, Owner: int(items[i].op.Process),
		}
	}
	return fit(ops, linear.Locks, linear.LocksOrder)
}

func growingSet(items []item) fitted {
	values := make(numbering)
	ops := make([]linear.SetOp, len(items))
	for i := range items {
		f := &items[i].p.Facts
		ops[i].Span = items[i].span()
		switch {
		case f.Whole:
			ops[i].Read, ops[i].Elements = true, values.all(f.Sees)
		case f.Pure || f.Pinned:
			return unfit("something is removed, or a single element asked for")
		case f.Makes[0].Value.IsNil():
			return unfit("nil is an element")
		default:
			ops[i].Value = values.of(f.Makes[0].Value)
		}
	}
	return fit(ops, linear.Sets, linear.SetsOrder)
}

func setMembers(items []item) fitted {
	values := make(numbering)
	ops := make([]linear.MemberOp, len(items))
	for i := range items {
		in, ok := items[i].p.In.(models.SetIn)
		out, known := items[i].p.Out.(models.SetOut)
		f := &items[i].p.Facts
		if !ok || !known || f.Whole {
			return unfit("the whole set is read")
		}
		ops[i] = linear.MemberOp{Span: items[i].span(), Value: values.of(in.Element)}
		switch {
		case f.Pinned:
			ops[i].Kind = linear.MemberRemove
		case f.Pure && out.Contains:
			ops[i].Kind = linear.MemberFound
		case f.Pure:
			ops[i].Kind = linear.MemberMissed
		}
	}
	return fit(ops, linear.Members, linear.MembersOrder)
}

func logPositions(items []item) fitted {
	values := make(numbering)
	ops := make([]linear.LogOp, len(items))
	for i := range items {
		f := &items[i].p.Facts
		ops[i].Span, ops[i].Offset = items[i].span(), linear.Unknown
		switch {
		case f.Whole:
			ops[i].Read, ops[i].Elements = true, values.all(f.Sees)
		case f.Makes[0].Value.IsNil():
			return unfit("nil is an element")
		default:
			ops[i].Value = values.of(f.Makes[0].Value)
		}
	}
	return fit(ops, linear.Logs, linear.LogsOrder)
}

func counterGaps(items []item) fitted {
	ops := make([]linear.CounterOp, len(items))
	for i := range items {
		in, ok := items[i].p.In.(models.CounterIn)
		out, known := items[i].p.Out.(models.CounterOut)
		if !ok || !known {
			return unfit("an operation that is not one of a counter")
		}
		ops[i] = linear.CounterOp{Span: items[i].span(), Read: in.Read, Value: in.Add}
		if in.Read {
			ops[i].Value = out.Value
		}
	}
	return fit(ops, linear.Counters, linear.CountersOrder)
}

func queueEngine(
	decide func([]linear.QueueOp) linear.Result, order func([]linear.QueueOp) []int,
) func([]item) fitted {
	return func(items []item) fitted {
		values := make(numbering)
		ops := make([]linear.QueueOp, len(items))
		for i := range items {
			in, ok := items[i].p.In.(models.QueueIn)
			out, known := items[i].p.Out.(models.QueueOut)
			if !ok || !known {
				return unfit("an operation that is not one of a queue")
			}
			ops[i] = linear.QueueOp{Span: items[i].span(), Dequeue: in.Dequeue}
			if in.Dequeue {
				ops[i].Value = values.of(out.Element)
			} else {
				ops[i].Value = values.of(in.Element)
			}
		}
		return fit(ops, decide, order)
	}
}
