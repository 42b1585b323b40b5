package soak

import "math/rand/v2"

// deck says which cell a run is of. Cells are dealt, not drawn: each round has as many cards
// of a cell as its weight says, in an order that the master seed decides, so that no cell is
// left to luck. The first round begins with a card of each canary: a harness that finds
// nothing is known for that before the night is spent.
type deck struct {
	seed  uint64
	cells []Cell
	cards int // of a round

	round int // that is dealt in order
	order []int
}

func newDeck(seed uint64, cells []Cell) *deck {
	d := &deck{seed: seed, cells: cells, round: -1}
	for _, c := range cells {
		d.cards += c.Weight
	}
	return d
}

// cell returns the cell of a run; the first run is 1.
func (d *deck) cell(number int) *Cell {
	if round := (number - 1) / d.cards; round != d.round {
		d.round, d.order = round, d.deal(round)
	}
	return &d.cells[d.order[(number-1)%d.cards]]
}

func (d *deck) deal(round int) []int {
	var first, rest []int
	for i, c := range d.cells {
		n := c.Weight
		if c.Canary && round == 0 {
			first = append(first, i)
			n--
		}
		for range n {
			rest = append(rest, i)
		}
	}
	rng := rand.New(rand.NewPCG(d.seed, uint64(round)))
	rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return append(first, rest...)
}

// seedBits bounds seeds: short enough to be typed.
const seedBits = 40

// runSeed is the seed of a run: for one master seed no two of the first 2^40 runs have the
// same, because every step here can be undone.
func runSeed(master uint64, number int) uint64 {
	const mask = 1<<seedBits - 1
	rng := rand.New(rand.NewPCG(master, 0x736f616b))
	x := uint64(number) & mask
	for range 3 {
		x ^= rng.Uint64() & mask
		x = x * (rng.Uint64() | 1) & mask
		x ^= x >> (seedBits / 2)
	}
	return x
}
