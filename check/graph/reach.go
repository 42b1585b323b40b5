package graph

import "slices"

// reachMost bounds the steps of reaches.
const reachMost = 400_000_000

// reaches looks for an rw edge whose end leads back to its beginning by ww and wr alone: a
// cycle with exactly one rw. ww and wr must not have a cycle. Sixty-four edges at a time
// take one pass in the order of a sort. It gives up, and says so, if that were too much.
func (g *Graph) reaches() (found *Edge, decided bool) {
	order := g.serial(rules{kinds: kindsOf(WW, WR)})
	place := make([]int32, g.n)
	for i, t := range order {
		place[t] = int32(i)
	}
	var list []Edge
	for t := range Txn(g.n) {
		g.EachFrom(t, func(e Edge) {
			if e.Kind == RW && place[e.To] < place[e.From] {
				list = append(list, e)
			}
		})
	}
	const word = 64
	if (len(list)/word+1)*(len(g.to)+g.n) > reachMost {
		return nil, false
	}
	bits := make([]uint64, g.n)
	for batch := range slices.Chunk(list, word) {
		clear(bits)
		for i, e := range batch {
			bits[e.To] |= 1 << i
		}
		for _, t := range order {
			if bits[t] == 0 {
				continue
			}
			for _, e := range g.to[g.off[t]:g.off[t+1]] {
				if k := Kind(e >> kindShift); k <= WR {
					bits[e&nodeMask] |= bits[t]
				}
			}
		}
		for i, e := range batch {
			if bits[e.From]>>i&1 != 0 {
				return &e, true
			}
		}
	}
	return nil, true
}
