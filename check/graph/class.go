package graph

// Base is the kind of a cycle by its edges through data.
type Base uint8

// The kinds of cycles. Each forbids less than the one before.
const (
	// G0 is a cycle of writes alone.
	G0 Base = iota
	// G1c is one of writes and reads, of information that flows in a circle.
	G1c
	// GSingle has exactly one rw.
	GSingle
	// GNonadjacent has several rw, of which no two follow each other.
	GNonadjacent
	// G2 has two rw that follow each other.
	G2
)

// Class is a kind of cycles with Elle's name for it.
type Class struct {
	Base Base
	// By is Process or Realtime if edges of this kind are needed, else WW.
	By Kind
}

// Classes returns all classes, the gravest first.
func Classes() []Class {
	var list []Class
	for _, by := range []Kind{WW, Process, Realtime} {
		for b := G0; b <= G2; b++ {
			list = append(list, Class{b, by})
		}
	}
	return list
}

// String returns Elle's name, such as "G-single-item-realtime".
func (c Class) String() string {
	names := [...]string{"G0", "G1c", "G-single-item", "G-nonadjacent-item", "G2-item"}
	if c.By == WW {
		return names[c.Base]
	}
	return names[c.Base] + "-" + c.By.String()
}

// Refutes returns the weakest levels that a cycle of this class rules out.
func (c Class) Refutes() []Level {
	snapshot := c.Base != G2
	switch {
	case c.By == Realtime && snapshot:
		return []Level{StrongSnapshotIsolation}
	case c.By == Realtime:
		return []Level{StrictSerializable}
	case c.By == Process && snapshot:
		return []Level{StrongSessionSnapshotIsolation}
	case c.By == Process:
		return []Level{StrongSessionSerializable}
	}
	switch c.Base {
	case G0:
		return []Level{ReadUncommitted}
	case G1c:
		return []Level{ReadCommitted}
	case GSingle:
		return []Level{Causal}
	case GNonadjacent:
		return []Level{RepeatableRead, SnapshotIsolation}
	default:
		return []Level{RepeatableRead}
	}
}

// anchor is the kind of edges that every cycle of the class has.
func (c Class) anchor() Kind {
	switch c.Base {
	case G0:
		return WW
	case G1c:
		return WR
	default:
		return RW
	}
}

// least is the number of edges of the shortest cycle that there could be.
func (c Class) least() int {
	if c.Base == GNonadjacent {
		return 4
	}
	return 2
}

// layer is how far a path has come to be a cycle of its class.
type layer uint8

const (
	needed  layer = 1 << iota // an edge of the kind that is needed was there
	lastRW                    // the last edge was rw
	another                   // there was an rw besides the first edge

	layers = 8
)

// step returns where an edge leads to, and whether it may be taken at all.
func (c Class) step(l layer, k Kind) (layer, bool) {
	switch {
	case k == Process && c.By < Process, k == Realtime && c.By != Realtime:
		return 0, false
	case k == c.By && k >= Process:
		l |= needed
	case k == WR && c.Base == G0, k == RW && c.Base < GNonadjacent:
		return 0, false
	}
	if c.Base != GNonadjacent {
		return l, true
	}
	if k != RW {
		return l &^ lastRW, true
	}
	return l | lastRW | another, l&lastRW == 0
}

// start is the layer behind the first edge.
func (c Class) start() layer {
	if c.Base == GNonadjacent {
		return lastRW
	}
	return 0
}

// whole reports whether a path that came to its beginning is a cycle of the class.
func (c Class) whole(l layer) bool {
	if c.By >= Process && l&needed == 0 {
		return false
	}
	return c.Base != GNonadjacent || l&another != 0 && l&lastRW == 0
}

// ClassOf names a cycle by its edges.
func ClassOf(cycle []Edge) Class {
	c := Class{Base: G0, By: WW}
	rw, adjacent := 0, false
	for i, e := range cycle {
		switch e.Kind {
		case WR:
			c.Base = max(c.Base, G1c)
		case RW:
			rw++
			adjacent = adjacent || len(cycle) > 1 && cycle[(i+1)%len(cycle)].Kind == RW
		case Process, Realtime:
			c.By = max(c.By, e.Kind)
		}
	}
	switch {
	case rw == 1:
		c.Base = GSingle
	case adjacent:
		c.Base = G2
	case rw > 1:
		c.Base = GNonadjacent
	}
	return c
}
