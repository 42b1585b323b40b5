package session

import (
	"context"
	"fmt"
	"slices"
)

const (
	// maxClocks bounds the numbers in vector clocks, 4 bytes each.
	maxClocks = 1 << 26
	// maxWork bounds how often something seen is looked at.
	maxWork = 1 << 31
	// maxEdges bounds the edges between writes, 32 bytes each.
	maxEdges = 1 << 26
)

// decider holds what is known of a history.
type decider struct {
	h *History
	g Guarantees
	// sessions are their operations, and place is where each operation is there.
	sessions [][]int32
	place    []int32
	// writer of each value.
	writer []int32
	took   []bool
	// returned are the writes that a read returned, without those that say nothing.
	returned [][]int32
	tracks   [][]*track // by key
	// index is where a write is among those of its session to its key.
	index   []int32
	graph   graph
	clocks  clocks
	stamp   []int32 // by write: the last read, plus one, that returned it
	work    int
	ctx     context.Context
	reads   int // that were judged
	binding int
}

// Decide decides whether a history keeps the guarantees. What is not decided when ctx ends
// is left so.
func Decide(ctx context.Context, h *History, g Guarantees) Result {
	d := newDecider(h, g)
	d.ctx = ctx
	if why := d.makers(); why != "" {
		return Result{Answer: Undecided, Why: why}
	}
	if c := d.sources(); c != nil {
		return Result{Answer: Violation, Conflict: c}
	}
	d.track()
	d.order()
	if c := d.cycle(); c != nil {
		return Result{Answer: Violation, Conflict: c}
	}
	if !d.clocks.init(d) {
		return Result{Answer: Undecided, Why: "there are too many writes in too many sessions"}
	}
	if c := d.clocks.run(d); c != nil {
		return Result{Answer: Violation, Conflict: c}
	}
	if ctx.Err() != nil {
		return Result{Answer: Undecided,
			Why: fmt.Sprintf("stopped before the end: %v", context.Cause(ctx))}
	}
	if d.work > maxWork || len(d.graph.edges) > maxEdges {
		return Result{Answer: Undecided, Why: "reads returned too much to look at all of it"}
	}
	if c := d.cycle(); c != nil {
		return Result{Answer: Violation, Conflict: c}
	}
	return Result{Answer: Kept, Binding: d.binding}
}

func newDecider(h *History, g Guarantees) *decider {
	n := len(h.Ops)
	d := &decider{h: h, g: g, place: make([]int32, n), took: make([]bool, n),
		returned: make([][]int32, n), stamp: make([]int32, n), index: make([]int32, n)}
	keys := int32(0)
	greatest := Nil
	for i := range h.Ops {
		op := &h.Ops[i]
		keys = max(keys, op.Key+1)
		for int(op.Session) >= len(d.sessions) {
			d.sessions = append(d.sessions, nil)
		}
		s := &d.sessions[op.Session]
		d.place[i] = int32(len(*s))
		*s = append(*s, int32(i))
		if op.Write {
			greatest = max(greatest, op.Value)
		}
	}
	d.writer = make([]int32, greatest+1)
	for v := range d.writer {
		d.writer[v] = noOp
	}
	d.tracks = make([][]*track, keys)
	d.graph.nodes = int32(n)
	return d
}

// makers finds who wrote what. It returns which precondition does not hold.
func (d *decider) makers() string {
	for i := range d.h.Ops {
		op := &d.h.Ops[i]
		if !op.Write {
			continue
		}
		if op.Value == Nil || d.writer[op.Value] != noOp {
			return "values are not unique: one is written that was written before or that a " +
				"register has at first"
		}
		d.writer[op.Value] = int32(i)
		d.took[i] = !op.Crashed
	}
	return ""
}

// sources finds which writes each read returned, and with them which took effect.
func (d *decider) sources() *Conflict {
	for i := range d.h.Ops {
		op := &d.h.Ops[i]
		values := op.List
		switch {
		case op.Write:
			continue
		case !d.h.Collections && op.Value == Nil:
			continue
		case !d.h.Collections:
			values = []Value{op.Value}
		}
		list := make([]int32, 0, len(values))
		for _, v := range values {
			w := int32(noOp)
			if int(v) < len(d.writer) {
				w = d.writer[v]
			}
			switch {
			case w == noOp && d.h.Partial:
				continue
			case w == noOp || d.h.Ops[w].Key != op.Key:
				return &Conflict{Kind: Unwritten, Read: i, Write: noOp, Value: v}
			case d.stamp[w] == int32(i)+1:
				return &Conflict{Kind: Repeated, Read: i, Write: int(w), Value: v}
			}
			d.stamp[w] = int32(i) + 1
			d.took[w] = true
			list = append(list, w)
		}
		d.returned[i] = list
	}
	clear(d.stamp)
	return nil
}

// silent reports whether a read of a register returned what is not known here.
func (d *decider) silent(i int32) bool {
	return !d.h.Collections && d.h.Ops[i].Value != Nil && len(d.returned[i]) == 0
}

// track is what one session did to one key: what it wrote and was told so, and what its
// reads returned, by where it first did.
type track struct {
	session   int32
	own, seen chain
}

// chain is writes, each at a place of a session.
type chain struct {
	items []item
	// index says where a write is, if it need not be of the session itself.
	index map[int32]int32
	// nodes[i] comes after the first i+1 items.
	nodes []int32
	// put[i] is up to where the items are known to come before item i.
	put map[int32]int32
	top int32
}

type item struct{ place, write int32 }

// find says where a write is in the chain.
func (t *track) find(d *decider, c *chain, write int32) (int32, bool) {
	if c == &t.seen {
		at, known := c.index[write]
		return at, known
	}
	op := &d.h.Ops[write]
	return d.index[write], op.Session == t.session && !op.Crashed
}

// before counts the items at places below one.
func (c *chain) before(place int32) int {
	n := len(c.items)
	if n == 0 || c.items[n-1].place < place {
		return n
	}
	at, _ := slices.BinarySearchFunc(c.items, place, func(it item, p int32) int {
		return int(it.place) - int(p)
	})
	return at
}

// add adds what a read returned.
func (c *chain) add(place int32, writes []int32) {
	if c.index == nil {
		c.index = make(map[int32]int32)
	}
	for _, w := range writes {
		if _, known := c.index[w]; !known {
			c.index[w] = int32(len(c.items))
			c.items = append(c.items, item{place, w})
		}
	}
}

// track makes the tracks.
func (d *decider) track() {
	for s, ops := range d.sessions {
		mine := make(map[int32]*track)
		of := func(key int32) *track {
			t := mine[key]
			if t == nil {
				t = &track{session: int32(s)}
				mine[key] = t
				d.tracks[key] = append(d.tracks[key], t)
			}
			return t
		}
		for place, i := range ops {
			op := &d.h.Ops[i]
			switch {
			case op.Write && !op.Crashed:
				own := &of(op.Key).own
				d.index[i] = int32(len(own.items))
				own.items = append(own.items, item{int32(place), i})
			case !op.Write:
				of(op.Key).seen.add(int32(place), d.returned[i])
			}
		}
	}
}

// order puts the writes in the order that the guarantees ask for and lists show.
func (d *decider) order() {
	for _, ops := range d.sessions {
		d.orderSession(ops)
	}
	if !d.h.Collections || !d.h.Ordered || d.g&(MonotonicWrites|WritesFollowReads) == 0 {
		return
	}
	longest := make([][]int32, len(d.tracks))
	for i := range d.h.Ops {
		list := d.returned[i]
		known := &longest[d.h.Ops[i].Key]
		if len(list) > 1 {
			d.binding++
		}
		same := 0
		for same < len(list) && same < len(*known) && list[same] == (*known)[same] {
			same++
		}
		for at := max(same, 1); at < len(list); at++ {
			d.graph.add(list[at-1], list[at], Listed, int32(i))
		}
		if same == len(*known) {
			*known = list
		}
	}
}

func (d *decider) orderSession(ops []int32) {
	last, had, fresh := int32(noOp), int32(noOp), int32(noOp)
	rising := make(map[int32]int32) // the last write to each key
	for _, i := range ops {
		op := &d.h.Ops[i]
		if !op.Write {
			if !d.g.has(WritesFollowReads) {
				continue
			}
			for _, w := range d.returned[i] {
				if fresh == noOp {
					fresh = d.graph.node()
				}
				d.graph.add(w, fresh, Returned, i)
			}
			continue
		}
		if !d.took[i] {
			continue
		}
		if fresh != noOp {
			if had != noOp {
				d.graph.add(had, fresh, 0, noOp)
			}
			had, fresh = fresh, noOp
		}
		if had != noOp {
			d.graph.add(had, i, 0, noOp)
		}
		if d.g.has(MonotonicWrites) && last != noOp {
			d.graph.add(last, i, Wrote, noOp)
		}
		if before, known := rising[op.Key]; known && d.h.Rising {
			d.graph.add(before, i, Wrote, noOp)
		}
		if !op.Crashed {
			last, rising[op.Key] = i, i
		}
	}
}

// sight is how far into each session somebody sees: if only into one, row is that pair.
type sight struct {
	one bool
	of  int32
	row []int32
}

// into returns how far somebody sees the reads and the writes of a session.
func (s *sight) into(session int32) (reads, writes int32) {
	switch {
	case !s.one:
		return s.row[2*session], s.row[2*session+1]
	case s.of == session:
		return s.row[0], s.row[1]
	}
	return 0, 0
}

// read judges a read that sees this far.
func (d *decider) read(i int32, far *sight) *Conflict {
	if d.silent(i) || d.enough() {
		return nil
	}
	list := d.returned[i]
	for _, w := range list {
		d.stamp[w] = i + 1
	}
	for _, t := range d.tracks[d.h.Ops[i].Key] {
		reads, writes := far.into(t.session)
		// What the write that it returned brings along comes before that anyway.
		hadReads, hadWrites := int32(0), int32(0)
		if !d.h.Collections && d.clocks.closed && len(list) > 0 {
			row := d.clocks.row(list[0])
			hadReads, hadWrites = row[2*t.session], row[2*t.session+1]
		}
		d.work += 2
		for _, part := range [...]struct {
			c        *chain
			had, far int32
		}{{&t.own, hadWrites, writes}, {&t.seen, hadReads, reads}} {
			if part.had >= part.far {
				continue
			}
			if c := d.must(i, t, part.c, part.c.before(part.far)); c != nil {
				return c
			}
		}
	}
	return nil
}

// enough reports whether nothing will come of looking at more.
func (d *decider) enough() bool {
	const now = 256 // and then
	if d.reads++; d.reads%now == 0 && d.ctx.Err() != nil {
		d.work = maxWork + 1
	}
	return d.work > maxWork || len(d.graph.edges) > maxEdges
}

// bind counts a read that has to see something of its key because it sees this far.
func (d *decider) bind(i int32, far *sight) {
	for _, t := range d.tracks[d.h.Ops[i].Key] {
		if reads, writes := far.into(t.session); t.own.begins(writes) || t.seen.begins(reads) {
			d.binding++
			return
		}
	}
}

// begins reports whether there is something before a place.
func (c *chain) begins(far int32) bool { return len(c.items) > 0 && c.items[0].place < far }

// must has a read see the first n items of a chain.
func (d *decider) must(i int32, t *track, c *chain, n int) *Conflict {
	switch {
	case n == 0:
		return nil
	case d.h.Collections:
		d.work += n
		for _, it := range c.items[:n] {
			if d.stamp[it.write] != i+1 {
				return d.missing(i, it.write)
			}
		}
		return nil
	case len(d.returned[i]) == 0:
		return d.missing(i, c.items[0].write)
	}
	source := d.returned[i][0]
	at, inside := t.find(d, c, source)
	if !inside {
		at = int32(n)
	}
	d.overwritten(i, c, int32(n), at, source)
	return nil
}

func (d *decider) missing(read, write int32) *Conflict {
	return &Conflict{Kind: Missing, Read: int(read), Write: int(write),
		Steps: d.derive(read, write)}
}

// overwritten puts the first n items of a chain before what a read returned, which is
// item at if there are so many.
func (d *decider) overwritten(i int32, c *chain, n, at, source int32) {
	if at >= n {
		d.graph.add(c.node(d, n-1), source, Overwritten, i)
		return
	}
	if top, known := c.put[c.top]; known && at < c.top && c.top < n && top > at {
		// The two are each before the other: that is enough.
		d.graph.add(c.items[c.top].write, source, Overwritten, i)
		return
	}
	if at > 0 {
		d.graph.add(c.node(d, at-1), source, Overwritten, i)
	}
	if c.put == nil {
		c.put = make(map[int32]int32)
	}
	for other := max(at+1, c.put[at]); other < n; other++ {
		d.graph.add(c.items[other].write, source, Overwritten, i)
	}
	c.put[at] = max(c.put[at], n)
	c.top = at
}

// node returns the node that comes after the items up to and with the last.
func (c *chain) node(d *decider, last int32) int32 {
	for at := int32(len(c.nodes)); at <= last; at++ {
		n := d.graph.node()
		d.graph.add(c.items[at].write, n, 0, noOp)
		if at > 0 {
			d.graph.add(c.nodes[at-1], n, 0, noOp)
		}
		c.nodes = append(c.nodes, n)
	}
	return c.nodes[last]
}
