package session

// clocks are how far into each session somebody sees: its reads, that is what they
// returned, and its writes. A row has a pair of places for each session, of which those
// before are seen.
type clocks struct {
	// closed says that what is seen brings something along; otherwise there are no rows.
	closed bool
	width  int
	// rows of writes, from where at says.
	rows []int32
	at   []int32
	done []bool
	// reads and writes are, for each session, what its reads and writes so far bring
	// along.
	reads, writes [][]int32
	scratch       []int32
	pair          [2]int32
	next          []int32   // by session
	waiting       [][]int32 // sessions, by the write that they wait for; nil at first
}

// init reports whether there is room.
func (c *clocks) init(d *decider) bool {
	c.closed = d.g&(MonotonicWrites|WritesFollowReads) != 0
	n := len(d.sessions)
	c.next = make([]int32, n)
	if !c.closed {
		return true
	}
	c.width = 2 * n
	c.at = make([]int32, len(d.h.Ops))
	writes := 0
	for i := range d.h.Ops {
		if d.took[i] {
			c.at[i] = int32(writes * c.width)
			if writes++; (writes+2*n)*c.width > maxClocks {
				return false
			}
		}
	}
	c.rows = make([]int32, writes*c.width)
	c.scratch = make([]int32, c.width)
	c.done = make([]bool, len(d.h.Ops))
	c.waiting = make([][]int32, len(d.h.Ops))
	for range n {
		c.reads = append(c.reads, make([]int32, c.width))
		c.writes = append(c.writes, make([]int32, c.width))
	}
	return true
}

func (c *clocks) row(write int32) []int32 {
	at := int(c.at[write])
	return c.rows[at : at+c.width : at+c.width]
}

func join(into, from []int32) {
	for i, v := range from[:len(into)] {
		into[i] = max(into[i], v)
	}
}

// run goes along all sessions, and judges the reads.
func (c *clocks) run(d *decider) *Conflict {
	if c.closed && !d.g.has(WritesFollowReads) {
		// Writes depend on writes only: these first.
		for s, ops := range d.sessions {
			for _, i := range ops {
				if d.took[i] {
					c.write(d, int32(s), i)
				}
			}
			clear(c.writes[s])
		}
	}
	var ready []int32
	for s := range int32(len(d.sessions)) {
		ready = append(ready, s)
		for len(ready) > 0 {
			at := ready[len(ready)-1]
			ready = ready[:len(ready)-1]
			conflict, woken := c.walk(d, at)
			if conflict != nil {
				return conflict
			}
			ready = append(ready, woken...)
		}
	}
	return nil
}

// walk goes along a session until its end, or a read of what is not done yet. Without a
// cycle in the order of writes somebody can always go on.
func (c *clocks) walk(d *decider, s int32) (conflict *Conflict, woken []int32) {
	ops := d.sessions[s]
	for ; int(c.next[s]) < len(ops); c.next[s]++ {
		i := ops[c.next[s]]
		if d.h.Ops[i].Write {
			if c.closed && d.took[i] {
				c.write(d, s, i)
				woken = append(woken, c.waiting[i]...)
				c.waiting[i] = nil
			}
			continue
		}
		if c.closed {
			for _, w := range d.returned[i] {
				if !c.done[w] {
					c.waiting[w] = append(c.waiting[w], s)
					return nil, woken
				}
			}
		}
		if conflict = c.read(d, s, i); conflict != nil {
			return conflict, nil
		}
	}
	return nil, woken
}

// write computes what a write brings along.
func (c *clocks) write(d *decider, s, i int32) {
	if !c.done[i] {
		row, place := c.row(i), d.place[i]
		if d.g.has(MonotonicWrites) {
			join(row, c.writes[s])
			row[2*s+1] = max(row[2*s+1], place)
		}
		if d.g.has(WritesFollowReads) {
			join(row, c.reads[s])
			row[2*s] = max(row[2*s], place)
		}
		c.done[i] = true
	}
	if !d.h.Ops[i].Crashed {
		join(c.writes[s], c.row(i))
	}
}

// read judges one read, and adds what it returned to what its session has seen.
func (c *clocks) read(d *decider, s, i int32) *Conflict {
	place := d.place[i]
	reads, writes := int32(0), int32(0)
	if d.g.has(MonotonicReads) {
		reads = place
	}
	if d.g.has(ReadYourWrites) {
		writes = place
	}
	if !c.closed {
		c.pair = [2]int32{reads, writes}
		far := &sight{one: true, of: s, row: c.pair[:]}
		d.bind(i, far)
		return d.read(i, far)
	}
	row := c.scratch
	clear(row)
	if d.g.has(MonotonicReads) {
		copy(row, c.reads[s])
	}
	if d.g.has(ReadYourWrites) {
		join(row, c.writes[s])
	}
	row[2*s], row[2*s+1] = max(row[2*s], reads), max(row[2*s+1], writes)
	if !d.h.Collections {
		d.bind(i, &sight{row: row})
	}
	for _, w := range d.returned[i] {
		d.work += c.width
		join(row, c.row(w))
		join(c.reads[s], c.row(w))
	}
	if d.h.Collections {
		d.bind(i, &sight{row: row})
	}
	return d.read(i, &sight{row: row})
}
