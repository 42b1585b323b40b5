package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Target is a rule that says who is hit.
type Target string

// The target rules.
const (
	// TargetOne is one node by chance.
	TargetOne Target = "one"
	// TargetMinority is as many nodes as a quorum system can lose: (n-1)/2.
	TargetMinority Target = "minority"
	// TargetMajority is one node more than half: n/2+1.
	TargetMajority Target = "majority"
	// TargetMinorityThird is as many nodes as a system that tolerates lies can
	// lose: the most that are fewer than n/3.
	TargetMinorityThird Target = "minority-third"
	// TargetAll is every node.
	TargetAll Target = "all"
	// TargetSome is a random subset of at least one node.
	TargetSome Target = "some"
	// TargetPrimaries is a random subset, at least one, of the nodes that say
	// that they lead when the step begins.
	TargetPrimaries Target = "primaries"
	// TargetNodes is the step's own list.
	TargetNodes Target = "nodes"
)

// Targets returns all target rules.
func Targets() []Target {
	return []Target{
		TargetOne, TargetMinority, TargetMajority, TargetMinorityThird, TargetAll,
		TargetSome, TargetPrimaries, TargetNodes,
	}
}

// ErrNoPrimaries says that a target of primaries found none.
var ErrNoPrimaries = errors.New("no primaries are known")

// size returns how many of n nodes the rule hits, or 0 if that depends on
// chance, on who leads, or on a list.
func (t Target) size(n int) int {
	switch t {
	case TargetOne:
		return 1
	case TargetMinority:
		return (n - 1) / 2
	case TargetMajority:
		return n/2 + 1
	case TargetMinorityThird:
		return (n - 1) / 3
	case TargetAll:
		return n
	default:
		return 0
	}
}

// Pick chooses who is hit: a pure function of the rule, the nodes, who leads, and
// rng. The result is in the order of nodes and never empty: a rule that would
// hit nobody, such as a minority of two nodes, is an error.
func (t Target) Pick(nodes, primaries []Node, rng *rand.Rand) ([]Node, error) {
	if len(nodes) == 0 {
		return nil, fmt.Errorf("target %s: there are no nodes", t)
	}
	switch t {
	case TargetOne, TargetMinority, TargetMajority, TargetMinorityThird, TargetAll:
		k := t.size(len(nodes))
		if k == 0 {
			return nil, fmt.Errorf("target %s of %d nodes is no node at all", t, len(nodes))
		}
		return sample(nodes, k, rng), nil
	case TargetSome:
		return sample(nodes, 1+rng.IntN(len(nodes)), rng), nil
	case TargetPrimaries:
		known := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool {
			return !slices.Contains(primaries, n)
		})
		if len(known) == 0 {
			return nil, fmt.Errorf("target %s: %w", t, ErrNoPrimaries)
		}
		return sample(known, 1+rng.IntN(len(known)), rng), nil
	case TargetNodes:
		return nil, fmt.Errorf("target %s needs a list of nodes", t)
	default:
		return nil, fmt.Errorf("target %q does not exist", t)
	}
}

// sample returns k of the nodes by chance, in the order of nodes.
func sample(nodes []Node, k int, rng *rand.Rand) []Node {
	chosen := rng.Perm(len(nodes))[:k]
	slices.Sort(chosen)
	out := make([]Node, k)
	for i, c := range chosen {
		out[i] = nodes[c]
	}
	return out
}

// shuffled returns the nodes in random order.
func shuffled(nodes []Node, rng *rand.Rand) []Node {
	out := slices.Clone(nodes)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// others returns the nodes that are not in some.
func others(nodes, some []Node) []Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool {
		return slices.Contains(some, n)
	})
}
