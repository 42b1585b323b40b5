package weak

import (
	"math"
	"slices"
)

// width is how many sessions a pass looks at. Vector clocks take 4 bytes for each of
// them and each transaction, however many sessions there are: each pass stands alone.
const width = 64

// causal applies the rule of causal consistency, given an order of "reads from" and the
// sessions: if t2, before t3 by any path, wrote key, and t3 read key from t1, then t2 is
// earlier than t1. Of each session only the last such t2 matters, and none that is before
// t1 by a path already.
func (x *Index) causal(order []node, e *edges) error {
	k := x.byKey()
	writing := x.writing()
	for len(writing) > 0 {
		n := min(width, len(writing))
		c := clocks{x: x, k: k, width: n, columns: make([]int32, x.h.sessions), e: e}
		for i := range c.columns {
			c.columns[i] = -1
		}
		for i, s := range writing[:n] {
			c.columns[s] = int32(i)
		}
		c.fill(order)
		if err := c.apply(); err != nil {
			return err
		}
		writing = writing[n:]
	}
	return nil
}

// writing returns the sessions that wrote anything.
func (x *Index) writing() []int32 {
	var list []int32
	for s := range x.h.sessions {
		if x.writeAt[x.starts[s]] < x.writeAt[x.starts[s+1]] {
			list = append(list, s)
		}
	}
	return list
}

// keyIndex is who reads and writes each key.
type keyIndex struct {
	// The reads of a key, by reader; its writers, ascending.
	readers  []keyRead
	readerAt []int32
	writers  []node
	writerAt []int32
}

type keyRead struct{ by, from node }

func (x *Index) byKey() *keyIndex {
	keys := int(x.h.keys)
	k := &keyIndex{
		readers: make([]keyRead, len(x.reads)), readerAt: make([]int32, keys+1),
		writers: make([]node, len(x.writes)), writerAt: make([]int32, keys+1),
	}
	for i := range x.reads {
		k.readerAt[x.reads[i].key+1]++
	}
	for _, key := range x.writes {
		k.writerAt[key+1]++
	}
	for i := range keys {
		k.readerAt[i+1] += k.readerAt[i]
		k.writerAt[i+1] += k.writerAt[i]
	}
	nextRead, nextWrite := slices.Clone(k.readerAt), slices.Clone(k.writerAt)
	for i := range node(len(x.txn)) {
		for _, r := range x.reads[x.readAt[i]:x.readAt[i+1]] {
			k.readers[nextRead[r.key]] = keyRead{by: i, from: r.from}
			nextRead[r.key]++
		}
		for _, key := range x.writes[x.writeAt[i]:x.writeAt[i+1]] {
			k.writers[nextWrite[key]] = i
			nextWrite[key]++
		}
	}
	return k
}

// clocks are the vector clocks of one pass.
type clocks struct {
	x     *Index
	k     *keyIndex
	e     *edges
	width int
	// columns is the place of a session in a row, -1 if it is not of this pass.
	columns []int32
	// rows has, for each node and column, the first node of the session that is not
	// before the node; the node itself counts as before itself.
	rows []node
	zero []node
}

func (c *clocks) row(i node) []node {
	if i == initial {
		return c.zero
	}
	at := int(i) * c.width
	return c.rows[at : at+c.width : at+c.width]
}

// fill computes the rows.
func (c *clocks) fill(order []node) {
	x := c.x
	c.rows = make([]node, len(x.txn)*c.width)
	c.zero = make([]node, c.width)
	for s, col := range c.columns {
		if col >= 0 {
			c.zero[col] = x.starts[s]
		}
	}
	for _, i := range order {
		row, s := c.row(i), x.session[i]
		copy(row, c.row(x.before(i)))
		for _, r := range x.reads[x.readAt[i]:x.readAt[i+1]] {
			if r.from == initial {
				continue
			}
			if col := c.columns[x.session[r.from]]; col >= 0 && row[col] > r.from {
				continue
			}
			from := c.row(r.from)[:len(row)]
			for at, v := range from {
				row[at] = max(row[at], v)
			}
		}
		if col := c.columns[s]; col >= 0 {
			row[col] = i + 1
		}
	}
}

// writers are the writes of one key by one session, numbers from begin to end, and how
// far the readers of one other session have got in it: newest is the last that they had
// before them, -1 for none, and next the one after it, at the number at.
type writers struct {
	col, newest, next node
	at, begin, end    int32
}

// never is a node after all others.
const never node = math.MaxInt32

// advance moves on to what is before seen.
func (g *writers) advance(list []node, seen node) {
	for g.next < seen {
		g.newest, g.next = g.next, never
		if g.at++; g.at < g.end {
			g.next = list[g.at]
		}
	}
}

// apply adds the edges, key by key.
func (c *clocks) apply() error {
	x, k := c.x, c.k
	var groups []writers
	for key := range x.h.keys {
		reads := k.readers[k.readerAt[key]:k.readerAt[key+1]]
		if len(reads) == 0 {
			continue
		}
		groups = c.groups(groups[:0], k.writerAt[key], k.writerAt[key+1])
		session := int32(-1)
		for _, r := range reads {
			if s := x.session[r.by]; s != session {
				session = s
				for i := range groups {
					g := &groups[i]
					g.newest, g.next, g.at = -1, k.writers[g.begin], g.begin
				}
			}
			c.read(key, r, groups)
		}
		if len(c.e.list)+len(c.e.unborn) > maxExtra {
			return &TooManyError{Edges: maxExtra}
		}
	}
	return nil
}

// groups divides the writers of a key, those from begin to end, by session.
func (c *clocks) groups(groups []writers, begin, end int32) []writers {
	x, list := c.x, c.k.writers
	for at := begin; at < end; {
		s := x.session[list[at]]
		from := at
		for at < end && list[at] < x.starts[s+1] {
			at++
		}
		if col := c.columns[s]; col >= 0 {
			groups = append(groups, writers{col: col, begin: from, end: at})
		}
	}
	return groups
}

// read adds the edges of one read. The readers of a session come in order, and what is
// before one is before the next.
func (c *clocks) read(key int32, r keyRead, groups []writers) {
	list := c.k.writers
	row, source := c.row(r.by), c.row(r.from)
	source = source[:len(row)]
	own := c.columns[c.x.session[r.by]]
	if own >= 0 {
		row[own] = r.by // it does not see itself
	}
	for i := range groups {
		g := &groups[i]
		if seen := row[g.col]; g.next < seen {
			g.advance(list, seen)
		}
		if g.newest >= source[g.col] {
			c.e.add(extra{from: g.newest, to: r.from, via: r.by, key: key})
		}
	}
	if own >= 0 {
		row[own] = r.by + 1
	}
}
