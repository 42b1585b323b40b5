package maelstrom

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Topologies lists the ways in which nodes can be told to be neighbors, the default first.
func Topologies() []string { return []string{"grid", "line", "tree", "total"} }

// Topology returns the neighbors of each node: in a grid about as wide as it is high, in a
// line, in a tree where each node has two below it, or all of them.
func Topology(kind string, nodes []string) (map[string][]string, error) {
	width := int(math.Ceil(math.Sqrt(float64(len(nodes)))))
	var joined func(a, b int) bool // for a < b
	switch kind {
	case "grid":
		joined = func(a, b int) bool { return b == a+width || b == a+1 && b%width != 0 }
	case "line":
		joined = func(a, b int) bool { return b == a+1 }
	case "tree":
		joined = func(a, b int) bool { return (b-1)/2 == a }
	case "total":
		joined = func(int, int) bool { return true }
	default:
		return nil, fmt.Errorf("topology %q: unknown; there is %s", kind,
			strings.Join(Topologies(), ", "))
	}
	out := make(map[string][]string, len(nodes))
	for i, n := range nodes {
		out[n] = []string{} // null is no list
		for j, m := range nodes {
			if i != j && joined(min(i, j), max(i, j)) {
				out[n] = append(out[n], m)
			}
		}
		slices.Sort(out[n])
	}
	return out, nil
}
