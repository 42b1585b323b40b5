package nemesis

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Shape is the form of a partition: which links are cut, given who is hit. A
// shape of nodes leaves the links of the clients alone, so that clients stay with
// an isolated node and see what it tells them.
type Shape string

// The shapes. The first three divide the nodes into groups that do not hear each
// other; those of one way cut one direction only.
const (
	// ShapeHalves splits all nodes in two, the smaller half first.
	ShapeHalves Shape = "halves"
	// ShapeGroup splits the hit nodes, together, from the rest.
	ShapeGroup Shape = "group"
	// ShapeIsolate cuts each hit node from every other node.
	ShapeIsolate Shape = "isolate"
	// ShapeRing lets every node hear a majority, and no two the same one.
	ShapeRing Shape = "ring"
	// ShapeBridge splits all nodes in two but for one that hears both sides.
	ShapeBridge Shape = "bridge"
	// ShapeDeaf is one way: the hit nodes hear nobody, but are heard.
	ShapeDeaf Shape = "deaf"
	// ShapeMute is one way: the hit nodes are heard by nobody, but hear.
	ShapeMute Shape = "mute"
	// ShapeClients cuts the clients from the hit nodes, both ways;
	// ShapeRequests only what the clients send, ShapeReplies only the answers.
	ShapeClients  Shape = "clients"
	ShapeRequests Shape = "requests"
	ShapeReplies  Shape = "replies"
)

// Grudge is the links that a partition cuts, sorted, each once.
type Grudge []Link

// NewGrudge returns the grudge of the given shape. Nodes are all nodes; hit are
// those at which it aims (ignored by halves, ring and bridge, which concern
// all). It is a pure function; a shape that would cut nothing is an error.
func NewGrudge(shape Shape, nodes, hit []Node, rng *rand.Rand) (Grudge, error) {
	if err := shape.fits(len(nodes)); err != nil {
		return nil, err
	}
	var links []Link
	switch shape {
	case ShapeHalves:
		mixed := shuffled(nodes, rng)
		links = betweenGroups(mixed[:len(mixed)/2], mixed[len(mixed)/2:])
	case ShapeGroup:
		links = betweenGroups(hit, others(nodes, hit))
	case ShapeIsolate:
		links = append(toEach(nodes, hit), fromEach(nodes, hit)...)
	case ShapeRing:
		links = ring(shuffled(nodes, rng))
	case ShapeBridge:
		mixed := shuffled(nodes, rng)
		half := (len(mixed) - 1) / 2
		links = betweenGroups(mixed[:half], mixed[half+1:])
	case ShapeDeaf:
		links = toEach(nodes, hit)
	case ShapeMute:
		links = fromEach(nodes, hit)
	case ShapeClients:
		links = append(toEach([]Node{Clients}, hit), fromEach([]Node{Clients}, hit)...)
	case ShapeRequests:
		links = toEach([]Node{Clients}, hit)
	case ShapeReplies:
		links = fromEach([]Node{Clients}, hit)
	}
	if len(links) == 0 {
		return nil, fmt.Errorf("partition %s of %v: it would cut nothing", shape, hit)
	}
	slices.SortFunc(links, compareLinks)
	return slices.Compact(links), nil
}

// fits says whether the shape can cut anything among n nodes.
func (s Shape) fits(n int) error {
	least := 2
	switch s {
	case ShapeRing, ShapeBridge:
		least = 3
	case ShapeClients, ShapeRequests, ShapeReplies:
		least = 1
	case ShapeHalves, ShapeGroup, ShapeIsolate, ShapeDeaf, ShapeMute:
	default:
		return fmt.Errorf("shape %q does not exist", s)
	}
	if n < least {
		return fmt.Errorf("shape %s needs at least %d nodes, not %d", s, least, n)
	}
	return nil
}

// aimed reports whether the shape depends on who is hit.
func (s Shape) aimed() bool {
	return s != ShapeHalves && s != ShapeRing && s != ShapeBridge
}

func compareLinks(a, b Link) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// betweenGroups cuts a from b, both ways.
func betweenGroups(a, b []Node) []Link {
	var links []Link
	for _, x := range a {
		for _, y := range b {
			links = append(links, Link{From: x, To: y}, Link{From: y, To: x})
		}
	}
	return links
}

// toEach cuts what hit would hear from the others among nodes.
func toEach(nodes, hit []Node) []Link {
	var links []Link
	for _, h := range hit {
		for _, n := range nodes {
			if n != h {
				links = append(links, Link{From: n, To: h})
			}
		}
	}
	return links
}

// fromEach cuts what the others among nodes would hear from hit.
func fromEach(nodes, hit []Node) []Link {
	links := toEach(nodes, hit)
	for i, l := range links {
		links[i] = Link{From: l.To, To: l.From}
	}
	return links
}

// ring arranges the nodes in a circle; each hears the contiguous majority whose
// middle it is, as in Jepsen's majorities-ring. With an odd majority the links
// are cut both ways; with an even one (3 or 7 nodes) some in one direction.
func ring(circle []Node) []Link {
	n := len(circle)
	majority := n/2 + 1
	var links []Link
	for i := range n {
		owner := circle[(i+majority/2)%n]
		for k := majority; k < n; k++ {
			links = append(links, Link{From: circle[(i+k)%n], To: owner})
		}
	}
	return links
}

// String lists the links: "n1->n2 n3->n2".
func (g Grudge) String() string {
	parts := make([]string, len(g))
	for i, l := range g {
		parts[i] = string(l.From) + "->" + string(l.To)
	}
	return strings.Join(parts, " ")
}

// describe words the grudge of a shape.
func (g Grudge) describe(shape Shape, nodes, hit []Node) string {
	names := nodeNames(hit)
	switch shape {
	case ShapeDeaf:
		return names + verb(hit, " hears nobody", " hear nobody")
	case ShapeMute:
		return names + verb(hit, " is heard by nobody", " are heard by nobody")
	case ShapeClients:
		return names + " cut from clients"
	case ShapeRequests:
		return "requests of clients do not reach " + names
	case ShapeReplies:
		return "answers do not reach the clients of " + names
	case ShapeBridge:
		return g.groups(others(nodes, g.untouched(nodes))) +
			", both heard by " + nodeNames(g.untouched(nodes))
	case ShapeRing:
		return "ring of majorities: " + g.String()
	default:
		return g.groups(nodes)
	}
}

// verb picks the form that fits the number of nodes.
func verb(nodes []Node, one, many string) string {
	if len(nodes) == 1 {
		return one
	}
	return many
}

// untouched returns the nodes at which no cut link ends.
func (g Grudge) untouched(nodes []Node) []Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool {
		return slices.ContainsFunc(g, func(l Link) bool { return l.From == n || l.To == n })
	})
}

// groups writes the sets of nodes that still hear the same nodes, largest last.
func (g Grudge) groups(nodes []Node) string {
	cut := make(map[Link]bool, len(g))
	for _, l := range g {
		cut[l] = true
	}
	var sets [][]Node
	for _, n := range nodes {
		i := slices.IndexFunc(sets, func(set []Node) bool {
			return sameView(cut, nodes, set[0], n)
		})
		if i < 0 {
			sets = append(sets, nil)
			i = len(sets) - 1
		}
		sets[i] = append(sets[i], n)
	}
	slices.SortStableFunc(sets, func(a, b []Node) int { return cmp.Compare(len(a), len(b)) })
	texts := make([]string, len(sets))
	for i, set := range sets {
		texts[i] = nodeNames(set)
	}
	return strings.Join(texts, " | ")
}

// sameView reports whether a and b hear each other and lack the same nodes.
func sameView(cut map[Link]bool, nodes []Node, a, b Node) bool {
	if cut[Link{From: a, To: b}] || cut[Link{From: b, To: a}] {
		return false
	}
	for _, n := range nodes {
		if n == a || n == b {
			continue
		}
		if cut[Link{From: n, To: a}] != cut[Link{From: n, To: b}] ||
			cut[Link{From: a, To: n}] != cut[Link{From: b, To: n}] {
			return false
		}
	}
	return true
}

// nodeNames writes nodes with spaces between them.
func nodeNames(nodes []Node) string {
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		texts[i] = string(n)
	}
	return strings.Join(texts, " ")
}
