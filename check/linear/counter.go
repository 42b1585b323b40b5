package linear

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// CounterOp is an operation of a counter that is 0 at first: an addition of Value,
// or a read that returned it. A read of unknown outcome is passed over.
type CounterOp struct {
	Span
	Read  bool
	Value int64
}

// Counters decides counters to which always the same positive number is added.
//
// Reads tell their own order, and how many additions stand between two that follow
// each other. Real time says for each addition which of these gaps it may go into:
// all from one to another. Going through the gaps and giving to each the additions
// that have the least time left finds an assignment if there is one (Jackson, 1955);
// of two additions of which one returned before the other was called, the first
// never has more time left, so they are in the right order, too. Additions of
// unknown outcome can wait for ever.
func Counters(ops []CounterOp) Result {
	_, res := newCounterRun(ops)
	return res
}

// CountersOrder returns a legal order of the operations, nil if Counters finds
// none.
func CountersOrder(ops []CounterOp) []int {
	c, res := newCounterRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	var groups [][]int
	for g, adds := range c.gaps {
		groups = append(groups, adds)
		if g < len(c.levels) {
			groups = append(groups, c.levels[g].reads)
		}
	}
	return c.timeline().flatten(groups)
}

// countLevel are the reads that returned one value.
type countLevel struct {
	// count is the value in additions.
	count int64
	reads []int
	// latest was called last of this level and those before, and soonest returned
	// first of this level and those behind.
	latest, soonest int
}

// addition is one of those that wait for a gap: it may go into the first of them
// to the last.
type addition struct {
	op, first, last int
}

type counterRun struct {
	ops    []CounterOp
	step   int64
	levels []countLevel
	adds   []addition
	// gaps are the additions before each level, and behind the last.
	gaps [][]int
}

func newCounterRun(ops []CounterOp) (*counterRun, Result) {
	c := &counterRun{ops: ops}
	if why := c.gather(); why != "" {
		return c, notApplicable(why)
	}
	for _, step := range []func() Result{c.level, c.fill} {
		if res := step(); res.Answer != Linearizable {
			return c, res
		}
	}
	return c, Result{Answer: Linearizable}
}

func (c *counterRun) timeline() timeline { return func(i int) Span { return c.ops[i].Span } }

// gather finds what is added. The text is a precondition that does not hold.
func (c *counterRun) gather() (why string) {
	c.step = 1
	first := noOp
	for i := range c.ops {
		op := &c.ops[i]
		switch {
		case op.Return < op.Call:
			return backwards(i, op.Span)
		case op.Read:
		case op.Value <= 0:
			return fmt.Sprintf("operation %d adds %d, which is not positive", i, op.Value)
		case first == noOp:
			first, c.step = i, op.Value
		case op.Value != c.step:
			return fmt.Sprintf("operation %d adds %d and operation %d adds %d", first, c.step, i, op.Value)
		}
	}
	return ""
}

// level sorts the reads into levels and says where additions may go.
func (c *counterRun) level() Result {
	var reads []int
	for i := range c.ops {
		op := &c.ops[i]
		if !op.Read || op.crashed() {
			continue
		}
		if op.Value < 0 || op.Value%c.step != 0 {
			return conflict(Unwritten, op.Return, i)
		}
		reads = append(reads, i)
	}
	slices.SortFunc(reads, func(a, b int) int { return cmp.Compare(c.ops[a].Value, c.ops[b].Value) })
	for from, to := 0, 0; from < len(reads); from = to {
		value := c.ops[reads[from]].Value
		for to < len(reads) && c.ops[reads[to]].Value == value {
			to++
		}
		c.levels = append(c.levels, countLevel{count: value / c.step, reads: reads[from:to]})
	}
	line := newLine()
	for g := range c.levels {
		l := &c.levels[g]
		for _, i := range l.reads {
			if !line.admits(c.ops[i].Span) {
				return c.timeline().certain(Shrunk, i, line.op)
			}
		}
		for _, i := range l.reads {
			line.pass(i, c.ops[i].Span)
		}
		l.latest = line.op
	}
	soonest := noOp
	for g := range slices.Backward(c.levels) {
		for _, i := range c.levels[g].reads {
			if soonest == noOp || c.ops[i].Return < c.ops[soonest].Return {
				soonest = i
			}
		}
		c.levels[g].soonest = soonest
	}
	return Result{Answer: Linearizable}
}

// room says which gaps an addition may go into.
func (c *counterRun) room(i int) addition {
	op, n := &c.ops[i], len(c.levels)
	return addition{
		op:    i,
		first: sort.Search(n, func(g int) bool { return c.ops[c.levels[g].soonest].Return >= op.Call }),
		last:  sort.Search(n, func(g int) bool { return c.ops[c.levels[g].latest].Call > op.Return }),
	}
}

// fill gives every gap its additions.
func (c *counterRun) fill() Result {
	for i := range c.ops {
		if c.ops[i].Read {
			continue
		}
		a := c.room(i)
		if a.first > a.last { // it stands between two reads of one level
			low, high := c.levels[a.first-1].soonest, c.levels[a.last].latest
			return c.timeline().certain(Skipped, low, high)
		}
		c.adds = append(c.adds, a)
	}
	slices.SortFunc(c.adds, func(a, b addition) int { return cmp.Compare(a.first, b.first) })
	var waiting heap[addition]
	waiting.less = func(a, b *addition) bool {
		return a.last < b.last || a.last == b.last && c.ops[a.op].Call < c.ops[b.op].Call
	}
	next, before := 0, int64(0)
	placed := make([]int, 0, len(c.adds))
	c.gaps = make([][]int, len(c.levels)+1)
	for g := range c.levels {
		from := len(placed)
		for ; next < len(c.adds) && c.adds[next].first <= g; next++ {
			waiting.push(c.adds[next])
		}
		l := &c.levels[g]
		if l.count-before > int64(waiting.len()) {
			return conflict(Gap, c.ops[l.soonest].Return, l.soonest)
		}
		for ; before < l.count; before++ {
			placed = append(placed, waiting.pop().op)
		}
		c.gaps[g] = placed[from:]
		if waiting.len() > 0 && waiting.top().last <= g {
			return c.tooMany(g)
		}
	}
	for _, a := range c.adds {
		if a.first == len(c.levels) && !c.ops[a.op].crashed() {
			waiting.push(a)
		}
	}
	from := len(placed)
	for waiting.len() > 0 {
		if a := waiting.pop(); !c.ops[a.op].crashed() {
			placed = append(placed, a.op)
		}
	}
	c.gaps[len(c.levels)] = placed[from:]
	return Result{Answer: Linearizable}
}

// tooMany finds two reads with too many additions between them, that is, called
// after the one returned and returned before the other was called; or one read with
// too many before it. Some addition was left over that could not go behind level g.
func (c *counterRun) tooMany(g int) Result {
	from := make([]int64, g+1)
	for _, a := range c.adds {
		if a.last <= g {
			from[a.first]++
		}
	}
	high, count := c.levels[g].latest, int64(0)
	for k := g; k > 0; k-- {
		count += from[k]
		if low := c.levels[k-1]; count > c.levels[g].count-low.count {
			return c.timeline().certain(Skipped, low.soonest, high)
		}
	}
	return conflict(Undercount, c.ops[high].Return, high)
}
