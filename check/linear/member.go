package linear

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// MemberKind is what an operation of a set does with one element.
type MemberKind uint8

// The operations.
const (
	MemberAdd MemberKind = iota
	MemberRemove
	// MemberFound and MemberMissed looked for the element.
	MemberFound
	MemberMissed
)

// MemberOp is an operation of a set, empty at first, that concerns one element.
// Looks of unknown outcome are passed over.
type MemberOp struct {
	Span
	Kind  MemberKind
	Value Value
}

// Members decides sets where each element is added at most once and removed at most
// once. Elements are objects of their own.
//
// Either the removal found nothing: then everybody who missed the element and the
// removal come before the add, and everybody who found it behind. Or it took the
// element: then the add, those who found it and the removal are a block, and who
// missed it stands before the block if that is possible, else behind. A removal of
// unknown outcome may also never have happened.
func Members(ops []MemberOp) Result {
	_, res := newMemberRun(ops)
	return res
}

// MembersOrder returns a legal order of the operations, nil if Members finds none.
func MembersOrder(ops []MemberOp) []int {
	m, res := newMemberRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	slices.SortStableFunc(m.order, func(a, b int) int {
		return cmp.Compare(m.effects[a], m.effects[b])
	})
	return m.order
}

// member are the operations on one element; add and remove are noOp if there is
// none.
type member struct {
	add, remove   int
	found, missed []int
}

type memberRun struct {
	ops []MemberOp
	// order are the operations of one element after the other, and effects when they
	// take effect.
	order   []int
	effects []history.Time
}

func newMemberRun(ops []MemberOp) (*memberRun, Result) {
	m := &memberRun{ops: ops, effects: make([]history.Time, len(ops))}
	byValue, why := m.byValue()
	if why != "" {
		return m, notApplicable(why)
	}
	e := &member{}
	for len(byValue) > 0 {
		v := ops[byValue[0]].Value
		e.add, e.remove, e.found, e.missed = noOp, noOp, e.found[:0], e.missed[:0]
		for len(byValue) > 0 && ops[byValue[0]].Value == v {
			if why := e.take(byValue[0], &ops[byValue[0]]); why != "" {
				return m, notApplicable(why)
			}
			byValue = byValue[1:]
		}
		if res := m.decide(e); res.Answer != Linearizable {
			return m, res
		}
	}
	return m, Result{Answer: Linearizable}
}

// byValue returns the operations by their value, those of one by their call. The text
// is a precondition that does not hold.
func (m *memberRun) byValue() (ops []int, why string) {
	most := Nil
	for i := range m.ops {
		most = max(most, m.ops[i].Value)
	}
	if !dense(most, len(m.ops)) {
		return nil, notDense
	}
	next := make([]int, int(most)+2)
	for i := range m.ops {
		next[m.ops[i].Value+1]++
	}
	for v := range most {
		next[v+1] += next[v]
	}
	ops = make([]int, len(m.ops))
	for _, i := range m.timeline().sorted(len(m.ops)) {
		v := m.ops[i].Value
		ops[next[v]] = i
		next[v]++
	}
	return ops, ""
}

func (m *memberRun) timeline() timeline { return func(i int) Span { return m.ops[i].Span } }

// take puts an operation where it belongs. The text is a precondition that does not
// hold.
func (e *member) take(i int, op *MemberOp) (why string) {
	switch {
	case op.Return < op.Call:
		return backwards(i, op.Span)
	case op.Kind == MemberAdd && e.add != noOp:
		return fmt.Sprintf("operation %d adds an element that was added before", i)
	case op.Kind == MemberRemove && e.remove != noOp:
		return fmt.Sprintf("operation %d removes an element that was removed before", i)
	case op.Kind == MemberAdd:
		e.add = i
	case op.Kind == MemberRemove:
		e.remove = i
	case op.crashed():
	case op.Kind == MemberFound:
		e.found = append(e.found, i)
	default:
		e.missed = append(e.missed, i)
	}
	return ""
}

// decide finds an order for the operations on one element.
func (m *memberRun) decide(e *member) Result {
	removed := e.remove != noOp && !m.ops[e.remove].crashed()
	var early []int // the removal, if it has to stand somewhere
	if removed {
		early = []int{e.remove}
	}
	switch {
	case len(e.found) > 0 && e.add == noOp:
		return conflict(Unwritten, m.ops[e.found[0]].Return, e.found[0])
	case len(e.found) == 0 && (e.add == noOp || m.ops[e.add].crashed()):
		m.place(m.timeline().sort(slices.Concat(e.missed, early)))
		return Result{Answer: Linearizable}
	}
	groups := [][]int{slices.Concat(e.missed, early), {e.add}, e.found}
	y, x, _ := m.timeline().walk(groups)
	if y == noOp {
		m.place(m.timeline().flatten(groups))
		return Result{Answer: Linearizable}
	}
	if e.remove == noOp {
		kind := Missing
		if m.ops[y].Kind == MemberFound {
			kind = Shrunk
			if m.ops[x].Kind == MemberAdd {
				kind = Inverted
			}
		}
		return m.timeline().certain(kind, y, x)
	}
	order, why := m.remove(e)
	if why != nil {
		return m.timeline().certain(Unstable, append(why, y, x)...)
	}
	m.place(order)
	return Result{Answer: Linearizable}
}

// remove finds an order where the element is added first and removed then, or
// operations that speak against that.
func (m *memberRun) remove(e *member) (order, why []int) {
	block := slices.Concat([]int{e.add}, e.found, []int{e.remove})
	if y, x, _ := m.timeline().walk([][]int{{e.add}, e.found, {e.remove}}); y != noOp {
		return nil, []int{y, x}
	}
	b := newBlock(0)
	for _, i := range block {
		b.add(i, m.ops[i].Span)
	}
	var before, behind []int
	for _, i := range e.missed {
		switch s := m.ops[i].Span; {
		case s.Call <= b.first:
			before = append(before, i)
		case s.Return >= b.last:
			behind = append(behind, i)
		default:
			return nil, []int{i, b.firstOp, b.lastOp}
		}
	}
	return slices.Concat(before, block, behind), nil
}

// place lets operations take effect in this order, each as early as it can.
func (m *memberRun) place(ops []int) {
	at := beginning
	for _, i := range ops {
		at = max(at, m.ops[i].Call)
		m.effects[i] = at
	}
	m.order = append(m.order, ops...)
}
