package mesh

import (
	"math/rand/v2"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// network is who hears whom: the messages of i reach those in its set.
type network []uint64

// talk has everybody ping everybody for long enough that all know what they can know.
func (n network) talk(members []*Mesh, now protocol.Time) protocol.Time {
	for range 4 {
		now += pingEvery
		for i, m := range members {
			p, due := m.Tick(now, func() uint64 { return uint64(now) })
			for j := range members {
				if due && i != j && n[i]&(1<<j) != 0 {
					members[j].Note(now, i, &p)
				}
			}
		}
	}
	return now
}

func group(n int) []*Mesh {
	members := make([]*Mesh, n)
	for i := range members {
		members[i] = New(i, n)
	}
	return members
}

func anybody(int) bool { return true }

// TestBetter: who has to lead in networks of three members.
func TestBetter(t *testing.T) {
	for _, c := range []struct {
		name string
		net  network
		// better is what each member thinks of the others, itself if nobody is better.
		better [3]int
	}{
		{"everybody hears everybody", network{0b110, 0b101, 0b011}, [3]int{0, 1, 2}},
		{"a chain: the one in the middle", network{0b010, 0b101, 0b010}, [3]int{1, 1, 1}},
		{"0 is not heard by 2", network{0b010, 0b101, 0b011}, [3]int{1, 1, 1}},
		{"0 is deaf", network{0b110, 0b100, 0b010}, [3]int{0, 1, 2}},
		{"nobody hears anybody", network{0, 0, 0}, [3]int{0, 1, 2}},
	} {
		members := group(3)
		now := c.net.talk(members, 0)
		for i, m := range members {
			got, ok := m.Better(now, anybody)
			if !ok {
				got = i
			}
			if got != c.better[i] {
				t.Errorf("%s: %d says that %d is best, want %d", c.name, i, got, c.better[i])
			}
		}
	}
}

// TestBetterMayLead: who may not lead is not better, and who was not heard for long is not.
func TestBetterMayLead(t *testing.T) {
	members := group(3)
	now := network{0b010, 0b101, 0b010}.talk(members, 0)
	if at, ok := members[0].Better(now, func(i int) bool { return i != 1 }); ok {
		t.Errorf("%d is better, but may not lead", at)
	}
	if at, ok := members[0].Better(now+linkFor, anybody); ok {
		t.Errorf("%d is better, but was not heard for long", at)
	}
}

// TestLateCopies: an old ping that comes late, or comes twice, tells nothing.
func TestLateCopies(t *testing.T) {
	m := New(0, 2)
	m.Note(0, 1, &Ping{N: 2, Heard: 0b11})
	m.Note(1, 1, &Ping{N: 1})
	m.Note(linkFor, 1, &Ping{N: 2, Heard: 0b11})
	if got := m.linked(linkFor - 1); got != 0b11 {
		t.Errorf("linked to %b, want 11: the older ping came later", got)
	}
	if got := m.heard(linkFor); got != 0b01 {
		t.Errorf("heard %b, want 1: it was a copy", got)
	}
}

// TestHandingOverEnds: in a network that does not change, whoever leads first, it ends with
// somebody to whom nobody is better.
func TestHandingOverEnds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	moves := 0
	for range 3000 {
		n := 2 + rng.IntN(6)
		net := make(network, n)
		for i := range net {
			net[i] = rng.Uint64() & rng.Uint64()
			if rng.IntN(2) == 0 {
				net[i] |= rng.Uint64()
			}
		}
		members := group(n)
		now := net.talk(members, 0)
		leader, led := rng.IntN(n), map[int]bool{}
		for {
			if led[leader] {
				t.Fatalf("%d leads again in %b", leader, net)
			}
			led[leader] = true
			next, ok := members[leader].Better(now, anybody)
			if !ok {
				break
			}
			leader = next
			moves++
		}
	}
	if moves < 500 {
		t.Errorf("only %d moves", moves)
	}
}
