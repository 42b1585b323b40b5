package txn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/history"
)

// RegisterReport is what was found in transactions on registers.
type RegisterReport struct {
	Report
	// Writes are counted in addition to Stats, and of these the Blind ones: their
	// transactions had not read the key, so that nothing says which version they replace.
	// Seen are the reads that found a value.
	Writes, Blind, Seen int
	// Methods say how each level was decided, in how many groups.
	Methods map[graph.Level]map[rw.Method]int
	// Ambiguous says why groups could not be judged at all.
	Ambiguous []string
}

// RWRegister checks transactions that write unique values to registers and read them, by
// package rw. Operations with a key of their own belong to a group of that name, an
// independent database. It fails if the operations are no such transactions. When ctx
// ends, what is undecided is left so.
func RWRegister(ctx context.Context, h *history.History, o Options) (*RegisterReport, error) {
	if o.Keep <= 0 {
		o.Keep = 4
	}
	r := &RegisterReport{Methods: make(map[graph.Level]map[rw.Method]int)}
	found := newFindings(o.Keep)
	var names []history.Key
	groups := make(map[history.Key][]int)
	for i := range h.Ops {
		k := h.Ops[i].Key
		if _, known := groups[k]; !known {
			names = append(names, k)
		}
		groups[k] = append(groups[k], i)
	}
	for _, name := range names {
		g := &registers{ops: h.Ops, name: name, places: groups[name], found: &found}
		if err := g.load(r); err != nil {
			return nil, err
		}
		g.judge(ctx, o, r)
	}
	r.Counts, r.Anomalies = found.counts, found.anomalies
	sortAnomalies(r.Anomalies)
	return r, nil
}

// sortAnomalies puts the gravest types first and of one type the smallest.
func sortAnomalies(list []Anomaly) {
	types := Types()
	slices.SortStableFunc(list, func(a, b Anomaly) int {
		return cmp.Or(cmp.Compare(slices.Index(types, a.Type), slices.Index(types, b.Type)),
			cmp.Compare(len(a.Ops), len(b.Ops)))
	})
}

// registers is one group of keys.
type registers struct {
	ops    []history.Operation
	name   history.Key
	places []int // of the group's operations, by weak.Txn
	h      weak.History
	x      *weak.Index
	keys   map[history.Key]int32
	names  []history.Key
	// values that are no integers have numbers of their own.
	values map[string]int64
	found  *findings
	// whole asks for sessions in which every transaction comes before the next: one of
	// unknown outcome has one of its own, which follows what its process did before,
	// because whatever that does next need not come after it.
	whole bool
}

// load reads the group's transactions.
func (g *registers) load(r *RegisterReport) error {
	g.keys, g.values = make(map[history.Key]int32), make(map[string]int64)
	sessions, next := make(map[history.Process]int32), int32(0)
	last := make(map[int32]weak.Txn) // of each session that had an answer
	for _, i := range g.places {
		op := &g.ops[i]
		s, known := sessions[op.Process]
		if !known {
			s = next
			sessions[op.Process] = s
			next++
		}
		alone := g.whole && op.Type == history.Info
		of := s
		if alone {
			of = next
			next++
		}
		err := g.operation(op, of, r)
		if before, any := last[s]; any && alone && err == nil {
			g.h.Follow(before)
		}
		if op.Type == history.OK {
			last[s] = weak.Txn(g.h.Len() - 1)
		}
		if err != nil {
			return fmt.Errorf("operation %d (process %d, f %q) does not fit rw-register: %w", op.Index,
				op.Process, op.F, err)
		}
	}
	r.Stats.Keys += len(g.names)
	return nil
}

func (g *registers) operation(op *history.Operation, session int32, r *RegisterReport) error {
	if op.F != "txn" {
		return errors.New("there is only txn")
	}
	in, err := history.ViewSteps(op.In)
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	out, status := in, weak.Crashed
	r.Stats.Txns++
	switch op.Type {
	case history.OK:
		status = weak.Committed
		if !op.Out.IsNil() {
			if out, err = history.ViewSteps(op.Out); err != nil {
				return fmt.Errorf("result: %w", err)
			}
		} else if slices.ContainsFunc(in, func(s history.Step) bool { return s.F == history.StepRead }) {
			return errors.New("result: nothing of what was read")
		}
		if len(out) != len(in) {
			return errors.New("result: not the steps of the call")
		}
	case history.Fail:
		status = weak.Aborted
	default:
		r.Stats.Crashed++
	}
	g.h.Begin(session, status)
	g.h.Timed(int64(op.Call), int64(op.Return))
	for i := range in {
		if !answers(&out[i], &in[i]) {
			return errors.New("result: not the steps of the call")
		}
		if err := g.step(&in[i], &out[i], status, r); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func (g *registers) step(in, out *history.Step, status weak.Status, r *RegisterReport) error {
	key, known := g.keys[in.Key]
	if !known {
		key = int32(len(g.names))
		g.keys[in.Key] = key
		g.names = append(g.names, in.Key)
	}
	switch in.F {
	case history.StepRead:
		if status != weak.Committed {
			return nil
		}
		r.Stats.Reads++
		if !out.Value.IsNil() {
			r.Seen++
		}
		g.h.Read(key, g.number(out.Value))
	case history.StepWrite:
		if in.Value.IsNil() {
			return errors.New("null is written, which is what nobody has written")
		}
		r.Writes++
		g.h.Write(key, g.number(in.Value))
	default:
		return errors.New("there are only reads and writes")
	}
	return nil
}

// ownNumbers are those of values that are no integers, or as small as these numbers.
const ownNumbers = math.MinInt64 + 1<<32

func (g *registers) number(v history.Value) int64 {
	if v.IsNil() {
		return weak.Unwritten
	}
	if n, isInt := v.AsInt(); isInt && n >= ownNumbers {
		return n
	}
	text := v.String()
	n, known := g.values[text]
	if !known {
		n = math.MinInt64 + 1 + int64(len(g.values))
		g.values[text] = n
	}
	return n
}

// judge decides the group's levels.
func (g *registers) judge(ctx context.Context, o Options, r *RegisterReport) {
	x, err := weak.NewIndex(&g.h)
	if err != nil {
		r.Lattice.Doubt(graph.ReadUncommitted)
		r.Ambiguous = append(r.Ambiguous, g.ambiguous(err))
		return
	}
	g.x = x
	a := rw.Analyze(ctx, x, rw.Options{
		Keys:   o.Keys,
		Cycles: graph.Options{Budget: o.Budget, Keep: o.Keep},
	})
	r.Lattice.Join(a.Lattice)
	r.Stats.Edges += a.Stats.Dependencies
	r.Stats.Versions += a.Stats.Writes
	r.Blind += a.Stats.Blind
	for i := range int32(x.Nodes()) {
		if x.Crashed(i) {
			r.Stats.Resolved++
		}
	}
	for l, m := range a.Methods {
		if r.Methods[l] == nil {
			r.Methods[l] = make(map[rw.Method]int)
		}
		r.Methods[l][m]++
	}
	g.report(a)
}

func (g *registers) ambiguous(err error) string {
	var d *weak.DuplicateError
	if !errors.As(err, &d) {
		return err.Error()
	}
	first, second := g.op(d.First), g.op(d.Second)
	return fmt.Sprintf("process %d and process %d (operations %d and %d) both wrote %s to %s: nobody "+
		"can tell whom a read of it saw", first.Process, second.Process, first.Index, second.Index,
		g.value(d.Value), g.names[d.Key])
}

func (g *registers) op(t weak.Txn) *history.Operation { return &g.ops[g.places[t]] }

func (g *registers) value(n int64) string {
	switch {
	case n == weak.Unwritten:
		return "nothing"
	case n >= ownNumbers:
		return fmt.Sprint(n)
	}
	for text, own := range g.values {
		if own == n {
			return text
		}
	}
	return "?"
}

// report adds the anomalies of the group.
func (g *registers) report(a *rw.Report) {
	for i := range a.Wrong {
		v := &a.Wrong[i]
		g.found.add(wrongType(v.Kind), func() Anomaly { return g.wrong(v) })
	}
	for _, c := range a.Cyclic {
		g.found.add(CyclicVersions, func() Anomaly { return g.cyclic(c) })
	}
	for _, l := range a.Lost {
		g.found.add(LostUpdate, func() Anomaly { return g.lost(l) })
	}
	for _, l := range slices.Sorted(maps.Keys(a.Fractured)) {
		v, t := a.Fractured[l], FracturedRead
		if l == graph.MonotonicAtomicView {
			t = FracturedView
		}
		g.found.add(t, func() Anomaly { return g.fractured(v) })
	}
	told := make(map[graph.Class]int)
	for _, c := range a.Cycles {
		told[c.Class]++
		g.found.add(Type(c.Class.String()), func() Anomaly { return g.cycle(c) })
	}
	for class, n := range a.Counts {
		g.found.counts[Type(class.String())] += n - told[class]
	}
	for _, c := range a.Cores {
		g.found.add(coreType(c.Level), func() Anomaly { return g.core(c) })
	}
}

func wrongType(k weak.Kind) Type {
	switch k {
	case weak.ThinAir:
		return Unexpected
	case weak.AbortedRead:
		return G1a
	case weak.Intermediate:
		return G1b
	case weak.FutureRead:
		return FutureRead
	default:
		return Internal
	}
}

// coreType names what every order of the versions has, at least: the mildest class of
// cycles that the level forbids.
func coreType(l graph.Level) Type {
	var name graph.Class
	for _, c := range graph.Classes() {
		if slices.Contains(c.Refutes(), l) {
			name = c
		}
	}
	return Type(name.String())
}
