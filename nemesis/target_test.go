package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func someNodes(n int) []Node {
	var nodes []Node
	for i := range n {
		nodes = append(nodes, Node(fmt.Sprintf("n%d", i+1)))
	}
	return nodes
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// TestTargetSizes says how many nodes each rule hits; 0 stands for an error.
func TestTargetSizes(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 7}
	tests := []struct {
		target Target
		want   []int
	}{
		{TargetOne, []int{1, 1, 1, 1, 1, 1}},
		{TargetMinority, []int{0, 0, 1, 1, 2, 3}},
		{TargetMajority, []int{1, 2, 2, 3, 3, 4}},
		{TargetMinorityThird, []int{0, 0, 0, 1, 1, 2}},
		{TargetAll, sizes},
		{TargetNodes, []int{0, 0, 0, 0, 0, 0}},
		{"nonsense", []int{0, 0, 0, 0, 0, 0}},
	}
	for _, test := range tests {
		for i, n := range sizes {
			for seed := range uint64(10) {
				hit, err := test.target.Pick(someNodes(n), someNodes(n), seeded(seed))
				if len(hit) != test.want[i] || (err == nil) != (test.want[i] > 0) {
					t.Errorf("%s of %d: %v, %v", test.target, n, hit, err)
				}
				if !slices.IsSorted(hit) || len(slices.Compact(hit)) != len(hit) {
					t.Errorf("%s of %d: %v", test.target, n, hit)
				}
			}
		}
	}
}

// TestTargetChance checks the rules of which the size depends on chance, and that
// chance reaches everybody.
func TestTargetChance(t *testing.T) {
	nodes := someNodes(5)
	leaders := []Node{"n2", "n4", "n9"}
	for _, test := range []struct {
		target Target
		among  []Node
	}{
		{TargetOne, nodes}, {TargetSome, nodes}, {TargetMinority, nodes},
		{TargetPrimaries, []Node{"n2", "n4"}},
	} {
		var reached []Node
		for seed := range uint64(100) {
			hit, err := test.target.Pick(nodes, leaders, seeded(seed))
			if err != nil || len(hit) == 0 {
				t.Fatalf("%s: %v, %v", test.target, hit, err)
			}
			again, _ := test.target.Pick(nodes, leaders, seeded(seed))
			if !slices.Equal(hit, again) {
				t.Errorf("%s: %v, then %v", test.target, hit, again)
			}
			reached = append(reached, hit...)
		}
		slices.Sort(reached)
		if got := slices.Compact(reached); !slices.Equal(got, test.among) {
			t.Errorf("%s reaches %v, want %v", test.target, got, test.among)
		}
	}
	_, err := TargetPrimaries.Pick(nodes, []Node{"n9"}, seeded(1))
	if !errors.Is(err, ErrNoPrimaries) {
		t.Errorf("primaries of nobody: %v", err)
	}
	if _, err := TargetAll.Pick(nil, nil, seeded(1)); err == nil {
		t.Error("all of no nodes")
	}
}

// TestGrudges is a table of what each shape cuts, with nodes in a fixed order.
func TestGrudges(t *testing.T) {
	tests := []struct {
		shape Shape
		n     int
		hit   string
		cut   string // or "error: ..."
		words string
	}{
		{ShapeIsolate, 1, "n1", "error: needs at least 2 nodes", ""},
		{ShapeIsolate, 2, "n2", "n1->n2 n2->n1", "n1 | n2"},
		{ShapeIsolate, 3, "n2", "n1->n2 n2->n1 n2->n3 n3->n2", "n2 | n1 n3"},
		{ShapeIsolate, 3, "n1 n2", "n1->n2 n1->n3 n2->n1 n2->n3 n3->n1 n3->n2", "n1 | n2 | n3"},
		{ShapeGroup, 4, "n1 n4", "n1->n2 n1->n3 n2->n1 n2->n4 n3->n1 n3->n4 n4->n2 n4->n3",
			"n1 n4 | n2 n3"},
		{ShapeGroup, 2, "n1 n2", "error: it would cut nothing", ""},
		{ShapeHalves, 1, "", "error: needs at least 2 nodes", ""},
		{ShapeDeaf, 3, "n1", "n2->n1 n3->n1", "n1 hears nobody"},
		{ShapeMute, 3, "n1", "n1->n2 n1->n3", "n1 is heard by nobody"},
		{ShapeDeaf, 2, "n1", "n2->n1", "n1 hears nobody"},
		{ShapeDeaf, 3, "n1 n2", "n1->n2 n2->n1 n3->n1 n3->n2", "n1 n2 hear nobody"},
		{ShapeRing, 2, "", "error: needs at least 3 nodes", ""},
		{ShapeBridge, 2, "", "error: needs at least 3 nodes", ""},
		{ShapeClients, 1, "n1", "clients->n1 n1->clients", "n1 cut from clients"},
		{ShapeRequests, 3, "n1 n2", "clients->n1 clients->n2",
			"requests of clients do not reach n1 n2"},
		{ShapeReplies, 3, "n3", "n3->clients", "answers do not reach the clients of n3"},
		{"nonsense", 3, "n1", "error: does not exist", ""},
	}
	for _, test := range tests {
		var hit []Node
		for _, n := range strings.Fields(test.hit) {
			hit = append(hit, Node(n))
		}
		nodes := someNodes(test.n)
		g, err := NewGrudge(test.shape, nodes, hit, seeded(1))
		if want, isError := strings.CutPrefix(test.cut, "error: "); isError {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %d: %v, %v; want %q", test.shape, test.n, g, err, want)
			}
			continue
		}
		if err != nil || g.String() != test.cut {
			t.Errorf("%s of %q of %d: %v, %v; want %s", test.shape, test.hit, test.n, g, err, test.cut)
		}
		if words := g.describe(test.shape, nodes, hit); words != test.words {
			t.Errorf("%s of %q: %q, want %q", test.shape, test.hit, words, test.words)
		}
	}
}

// views returns for each node how many it hears, itself included, and which.
func views(g Grudge, nodes []Node) map[Node][]Node {
	out := map[Node][]Node{}
	for _, to := range nodes {
		for _, from := range nodes {
			if !slices.Contains(g, Link{From: from, To: to}) {
				out[to] = append(out[to], from)
			}
		}
	}
	return out
}

// TestRandomGrudges checks what defines the shapes that depend on chance.
func TestRandomGrudges(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 7} {
		nodes := someNodes(n)
		for seed := range uint64(20) {
			checkHalves(t, nodes, seed)
			if n >= 3 {
				checkRing(t, nodes, seed)
				checkBridge(t, nodes, seed)
			}
		}
	}
}

func checkHalves(t *testing.T, nodes []Node, seed uint64) {
	g, err := NewGrudge(ShapeHalves, nodes, nil, seeded(seed))
	must(t, err)
	n, small := len(nodes), 0
	for node, heard := range views(g, nodes) {
		if len(heard) == n/2 {
			small++
		} else if len(heard) != n-n/2 {
			t.Errorf("halves of %d: %s hears %v", n, node, heard)
		}
	}
	if n%2 == 1 && small != n/2 {
		t.Errorf("halves of %d: %d nodes in the smaller", n, small)
	}
	if len(g) != 2*(n/2)*(n-n/2) {
		t.Errorf("halves of %d cut %v", n, g)
	}
}

func checkRing(t *testing.T, nodes []Node, seed uint64) {
	g, err := NewGrudge(ShapeRing, nodes, nil, seeded(seed))
	must(t, err)
	seen := map[string]bool{}
	for node, heard := range views(g, nodes) {
		if len(heard) != len(nodes)/2+1 || !slices.Contains(heard, node) {
			t.Errorf("ring of %d: %s hears %v", len(nodes), node, heard)
		}
		if seen[nodeNames(heard)] {
			t.Errorf("ring of %d: two hear %v", len(nodes), heard)
		}
		seen[nodeNames(heard)] = true
	}
}

func checkBridge(t *testing.T, nodes []Node, seed uint64) {
	g, err := NewGrudge(ShapeBridge, nodes, nil, seeded(seed))
	must(t, err)
	bridges := 0
	for _, heard := range views(g, nodes) {
		if len(heard) == len(nodes) {
			bridges++
		}
	}
	if bridges != 1 {
		t.Errorf("bridge of %d: %v", len(nodes), g)
	}
	words := g.describe(ShapeBridge, nodes, nil)
	if !strings.Contains(words, " | ") || !strings.Contains(words, ", both heard by n") {
		t.Errorf("bridge of %d: %q", len(nodes), words)
	}
}

// TestHealthy is a table of what the world calls healthy.
func TestHealthy(t *testing.T) {
	tests := []struct {
		n     int
		down  string
		dirty string // links
		want  string
	}{
		{1, "", "", "n1"},
		{1, "n1", "", ""},
		{2, "n1", "", ""},
		{3, "", "", "n1 n2 n3"},
		{3, "n2", "", "n1 n3"},
		{3, "n2 n3", "", ""},
		{3, "", "n1>n2", "n1 n3"},
		{3, "", "n1>n2 n3>n1", "n2 n3"},
		{3, "", "clients>n1", "n2 n3"},
		{3, "", "n1>clients n2>clients", ""},
		{4, "n1", "", "n2 n3 n4"},
		{4, "n1", "n2>n3", ""},
		{5, "", "n1>n2 n1>n3 n1>n4 n1>n5", "n2 n3 n4 n5"},
		{5, "n5", "n1>n2 n3>n4", ""},
		{5, "", "n1>n2 n3>n4", "n1 n3 n5"},
		{7, "n7", "n1>n2 n3>n4", "n1 n3 n5 n6"},
		{7, "n7", "n1>n2 n3>n4 n5>n6", ""},
		{11, "n11", "n1>n2 n3>n4", "n2 n4 n5 n6 n7 n8 n9 n10"},
		{11, "n11", "n1>n2 n3>n4 n5>n6 n7>n8 n9>n10", ""},
	}
	for _, test := range tests {
		nodes := someNodes(test.n)
		down := strings.Fields(test.down)
		dirty := strings.Fields(test.dirty)
		got := healthy(nodes,
			func(n Node) bool { return !slices.Contains(down, string(n)) },
			func(l Link) bool {
				return !slices.Contains(dirty, string(l.From)+">"+string(l.To))
			})
		if nodeNames(got) != test.want {
			t.Errorf("%d nodes, down %q, dirty %q: %v, want %q",
				test.n, test.down, test.dirty, got, test.want)
		}
	}
}

// TestGreedyHealthy compares the way for many nodes with the search for few: it
// must never find what is no clique, and seldom a smaller one.
func TestGreedyHealthy(t *testing.T) {
	smaller := 0
	for seed := range uint64(500) {
		rng := seeded(seed)
		nodes := someNodes(3 + rng.IntN(6))
		dirty := map[Link]bool{}
		for _, l := range peerLinks(nodes) {
			dirty[l] = rng.IntN(8) == 0
		}
		both := func(a, b Node) bool {
			return !dirty[Link{From: a, To: b}] && !dirty[Link{From: b, To: a}]
		}
		best, greedy := largestClique(nodes, both), greedyClique(nodes, both)
		if worst(best, both) >= 0 || worst(greedy, both) >= 0 || len(greedy) > len(best) {
			t.Errorf("seed %d: %v and %v", seed, best, greedy)
		}
		if len(greedy) < len(best) {
			smaller++
		}
	}
	if smaller > 50 {
		t.Errorf("%d of 500 are smaller than they could be", smaller)
	}
}
