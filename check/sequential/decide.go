package sequential

import "github.com/ordeal-dev/ordeal/history"

// Value is a number that the caller gave to a value, the same for equal values,
// given out from 1.
type Value uint32

// Nil is what the register holds at first.
const Nil Value = 0

// OpKind says what an operation does.
type OpKind uint8

// The kinds of operations.
const (
	// Read returned Value.
	Read OpKind = iota
	// Write made Value.
	Write
	// Swap replaced Old by Value, if the register held Old.
	Swap
	// Refused says that the register did not hold Old.
	Refused
)

// Op is an operation on a register. Operations of one process are handed in in its
// order; between processes any order will do, but one that is near the real one finds
// places for refusals more often.
type Op struct {
	Process history.Process
	Kind    OpKind
	// Crashed writes and swaps have an unknown outcome. Reads and refusals never do.
	Crashed    bool
	Value, Old Value
}

// makes reports whether an operation changes the register.
func (o *Op) makes() bool { return o.Kind == Write || o.Kind == Swap }

// Answer is what can be said of a history.
type Answer uint8

// The answers.
const (
	// Sequential: there is a legal order.
	Sequential Answer = iota
	// Undecided: a precondition does not hold, or a refusal did not fit.
	Undecided
	// Violation: there is no legal order.
	Violation
)

// String returns the answer in words.
func (a Answer) String() string {
	return [...]string{"sequential", "undecided", "violation"}[a]
}

// Kind is a kind of violation.
type Kind uint8

// The kinds of violations. Comments number the operations of Conflict.Ops from 0.
const (
	// Unwritten: 0 saw or replaced what nobody wrote.
	Unwritten Kind = iota + 1
	// Twice: 0 and 1 both replaced one value.
	Twice
	// Circle: each replaced what the one before made, and the first what the last did.
	Circle
	// Backward: 0 came before 1 in its process, and had to come after it.
	Backward
	// Early: 0 came before 1 in its process, and 1 is of the register as it was at
	// first, 0 of what was written later.
	Early
	// Cycle: of each pair of operations the first came before the second in its
	// process, the second is of the chain of the next pair's first, and the last
	// pair's second of that of the first pair's first.
	Cycle
)

// Conflict is why there is no legal order.
type Conflict struct {
	Kind Kind
	Ops  []int
}

// Result is what Decide found out.
type Result struct {
	Answer Answer
	// Why says what is not known, if Undecided.
	Why string
	// Conflict is there if Violation.
	Conflict *Conflict
	// Order is a legal order of all operations but those of unknown outcome that
	// nobody saw, if Sequential.
	Order []int
	// Pairs counts how often a process went from one value to another: each is
	// something that could have gone wrong.
	Pairs int
}

// noOp is no operation, noChain no chain.
const (
	noOp    = int32(-1)
	noChain = int32(-1)
)

// decider holds what is known of a history. Values are numbers up to the greatest.
type decider struct {
	ops []Op
	// maker and taker of each value: who made it, and who replaced it.
	maker, taker []int32
	// in are the operations that took effect.
	in []bool
	// chain and place of each value: in which chain it is, and as which.
	chain, place []int32
	chains       int
	edges        []edge
	pairs        int
}

// edge says that a chain comes before another, as a process did op a before op b.
type edge struct{ from, to, a, b int32 }

// Decide decides a register whose written values are all different, and none Nil.
// It takes time and memory linear in the operations, and in the greatest value.
func Decide(ops []Op) Result {
	d := newDecider(ops)
	if why := d.makers(); why != "" {
		return Result{Answer: Undecided, Why: why}
	}
	for _, step := range []func() *Conflict{d.effects, d.link, d.processes} {
		if c := step(); c != nil {
			return Result{Answer: Violation, Conflict: c}
		}
	}
	sequence, c := d.sort()
	if c != nil {
		return Result{Answer: Violation, Conflict: c}
	}
	order, fits := d.refusals(d.flatten(sequence))
	if !fits {
		return Result{Answer: Undecided, Why: "there is a legal order, but some refusal does " +
			"not fit into the one that was found"}
	}
	return Result{Answer: Sequential, Order: order, Pairs: d.pairs}
}

func newDecider(ops []Op) *decider {
	greatest := Nil
	for i := range ops {
		greatest = max(greatest, ops[i].Value, ops[i].Old)
	}
	d := &decider{ops: ops, in: make([]bool, len(ops))}
	for _, list := range []*[]int32{&d.maker, &d.taker, &d.chain, &d.place} {
		*list = make([]int32, greatest+1)
		for v := range *list {
			(*list)[v] = noOp
		}
	}
	return d
}

// makers finds who made what. It returns which precondition does not hold.
func (d *decider) makers() string {
	for i := range d.ops {
		op := &d.ops[i]
		if !op.makes() {
			continue
		}
		if op.Value == Nil || d.maker[op.Value] != noOp {
			return "values are not unique: one is written that was written before or that the " +
				"register has at first"
		}
		d.maker[op.Value] = int32(i)
	}
	return ""
}

// effects finds which operations took effect, and who replaced what.
func (d *decider) effects() *Conflict {
	var pending []int
	enter := func(i int) {
		if !d.in[i] {
			d.in[i] = true
			pending = append(pending, i)
		}
	}
	for i := range d.ops {
		if op := &d.ops[i]; op.Kind != Refused && !op.Crashed {
			enter(i)
		}
	}
	for len(pending) > 0 {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		op := &d.ops[i]
		seen := op.Value
		switch op.Kind {
		case Write:
			continue
		case Swap:
			seen = op.Old
			if other := d.taker[seen]; other != noOp {
				return &Conflict{Kind: Twice, Ops: []int{min(i, int(other)), max(i, int(other))}}
			}
			d.taker[seen] = int32(i)
		}
		switch {
		case seen == Nil:
		case d.maker[seen] == noOp:
			return &Conflict{Kind: Unwritten, Ops: []int{i}}
		default:
			enter(int(d.maker[seen]))
		}
	}
	return nil
}

// link makes chains, the first of which begins with what was there at first.
func (d *decider) link() *Conflict {
	d.follow(Nil)
	for i := range d.ops {
		if d.in[i] && d.ops[i].Kind == Write {
			d.follow(d.ops[i].Value)
		}
	}
	for i := range d.ops {
		if op := &d.ops[i]; d.in[i] && op.Kind == Swap && d.chain[op.Value] == noChain {
			return d.circle(i)
		}
	}
	return nil
}

// follow makes the chain that begins with a value.
func (d *decider) follow(v Value) {
	for place := int32(0); ; place++ {
		d.chain[v], d.place[v] = int32(d.chains), place
		next := d.taker[v]
		if next == noOp {
			break
		}
		v = d.ops[next].Value
	}
	d.chains++
}

// circle shows the swaps around that of an operation, none of which any chain has.
func (d *decider) circle(i int) *Conflict {
	seen := make(map[int]int)
	var path []int
	for {
		if at, again := seen[i]; again {
			path = path[at:]
			break
		}
		seen[i] = len(path)
		path = append(path, i)
		i = int(d.maker[d.ops[i].Old])
	}
	for a, b := 0, len(path)-1; a < b; a, b = a+1, b-1 {
		path[a], path[b] = path[b], path[a]
	}
	return &Conflict{Kind: Circle, Ops: path}
}

// rank is where an operation stands in its chain: reads of a value behind its maker.
func (d *decider) rank(i int32) int32 {
	r := 2 * d.place[d.ops[i].Value]
	if d.ops[i].Kind == Read {
		r++
	}
	return r
}

// processes goes along every process and notes which chain it puts before which.
// What it did next is enough: the rest follows.
func (d *decider) processes() *Conflict {
	last := make(map[history.Process]int32)
	for n := range d.ops {
		if !d.in[n] {
			continue
		}
		i, op := int32(n), &d.ops[n]
		before, found := last[op.Process]
		if !op.Crashed {
			last[op.Process] = i
		}
		if !found {
			continue
		}
		from, to := d.chain[d.ops[before].Value], d.chain[op.Value]
		if d.ops[before].Value != op.Value {
			d.pairs++
		}
		switch {
		case from == to:
			if d.rank(before) > d.rank(i) {
				return &Conflict{Kind: Backward, Ops: []int{int(before), n}}
			}
		case to == 0:
			return &Conflict{Kind: Early, Ops: []int{int(before), n}}
		default:
			d.edges = append(d.edges, edge{from: from, to: to, a: before, b: i})
		}
	}
	return nil
}
