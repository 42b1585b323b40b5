package rw

import (
	"context"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// literal is a choice: twice its number, plus one for the second alternative.
type literal int32

func (l literal) not() literal  { return l ^ 1 }
func (l literal) choice() int32 { return int32(l >> 1) }

// noLiteral marks the arcs that are there whatever is chosen.
const noLiteral literal = -1

// outcome of a search.
type outcome uint8

const (
	gaveUp outcome = iota
	found
	impossible
)

// solver decides whether every choice can be made so that no cycle comes up: a search with
// clause learning (Marques-Silva and Sakallah, "GRASP", 1996) in which every conflict is a
// cycle, or comes from what earlier ones taught.
type solver struct {
	g *acyclic
	// arcs of a literal are arcs[arcAt[l]:arcAt[l+1]], pairs of nodes.
	arcs  [][2]int32
	arcAt []int32
	// single are the rw, if no cycle may have just one: they stand beside the graph.
	single []rw
	// value of a literal: 1 if chosen, -1 if its alternative is, else 0.
	value []int8
	// level at which a choice was made, and the clause that made it, -1 for none.
	level  []int32
	reason []int32
	trail  []literal
	limits []int // of the trail, by level
	// done is how far the trail has been looked at, and marks how many arcs the graph
	// had before each of these.
	done    int
	marks   []int
	clauses [][]literal
	watch   [][]int32 // clauses by the literal whose falsity concerns them
	// activity of choices, those that led to conflicts lately the highest, and the
	// alternative that each had last.
	activity []float64
	bump     float64
	saved    []literal
	queue    activityHeap
	seen     []bool
}

func newSolver(s *pruned) *solver {
	n := len(s.open)
	z := &solver{
		g: newAcyclic(s.order), value: make([]int8, 2*n), level: make([]int32, n),
		reason: make([]int32, n), watch: make([][]int32, 2*n), activity: make([]float64, n),
		bump: 1, saved: make([]literal, n), seen: make([]bool, n), arcAt: []int32{0},
	}
	for i := range s.net.from {
		z.g.add(s.net.from[i], s.net.to[i], noLiteral) // keeps the order: no cycle
	}
	for _, a := range s.arcs {
		if s.net.demand.single && a.kind == graph.RW {
			z.single = append(z.single, rw{a.from, a.to, noLiteral})
		}
	}
	for i, o := range s.open {
		z.alternative(s.net, o.a, o.b)
		z.alternative(s.net, o.b, o.a)
		z.saved[i] = literal(2 * i)
		u, v := s.net.writer[o.a], s.net.writer[o.b]
		if s.net.split {
			u, v = 2*u+1, 2*v+1
		}
		if z.g.place[u] > z.g.place[v] {
			z.saved[i]++
		}
	}
	z.queue.init(z.activity)
	return z
}

// alternative adds the arcs of one order of two versions.
func (z *solver) alternative(g *net, older, newer version) {
	for _, a := range g.succession(nil, older, newer, OtherwiseCycle) {
		u, v := g.ends(a.kind, a.from, a.to)
		if g.demand.single && a.kind == graph.RW {
			z.single = append(z.single, rw{u, v, literal(len(z.arcAt) - 1)})
			continue
		}
		z.arcs = append(z.arcs, [2]int32{u, v})
	}
	z.arcAt = append(z.arcAt, int32(len(z.arcs)))
}

// rw is a dependency that comes with a literal.
type rw struct {
	from, to int32
	lit      literal
}

// budget bounds a search: in arcs looked at, and conflicts.
type budget struct{ steps, conflicts int }

// run searches until it knows, or the budget or the context ends.
func (z *solver) run(ctx context.Context, b budget) outcome {
	conflicts, restart := 0, 0
	for {
		clause := z.propagate()
		if clause != nil {
			if len(z.limits) == 0 {
				return impossible
			}
			conflicts++
			restart++
			z.learn(clause)
			if conflicts > b.conflicts || z.g.steps > b.steps || ctx.Err() != nil {
				return gaveUp
			}
			continue
		}
		if restart >= 100 {
			restart = 0
			z.back(0)
		}
		c, ok := z.pick()
		if !ok {
			clause = z.singles()
			if clause == nil {
				return found
			}
			if !z.turn(clause) {
				return impossible
			}
			conflicts++
			continue
		}
		z.limits = append(z.limits, len(z.trail))
		z.choose(z.saved[c], -1)
	}
}

// pick returns the next choice to make.
func (z *solver) pick() (int32, bool) {
	for len(z.queue.list) > 0 {
		if c := z.queue.pop(); z.value[2*c] == 0 {
			return c, true
		}
	}
	return 0, false
}

// singles looks for a cycle with one rw when all is chosen, and returns the clause that
// forbids it.
func (z *solver) singles() []literal {
	for _, r := range z.single {
		if r.lit != noLiteral && z.value[r.lit] <= 0 || z.g.place[r.to] > z.g.place[r.from] {
			continue
		}
		if path, ok := z.g.forward(r.from, r.to); !ok {
			return z.against(append(path, r.lit))
		}
	}
	return nil
}

// turn learns from a clause that need not have to do with the last choice. It reports false
// if the clause cannot be helped.
func (z *solver) turn(clause []literal) bool {
	top := int32(0)
	for _, l := range clause {
		top = max(top, z.level[l.choice()])
	}
	if top == 0 {
		return false
	}
	z.back(top)
	z.learn(clause)
	return true
}

func (z *solver) choose(l literal, reason int32) {
	z.value[l], z.value[l.not()] = 1, -1
	c := l.choice()
	z.level[c], z.reason[c], z.saved[c] = int32(len(z.limits)), reason, l
	z.trail = append(z.trail, l)
}

// propagate draws the consequences of what was chosen. It returns a clause that is
// violated, nil if none is.
func (z *solver) propagate() []literal {
	for z.done < len(z.trail) {
		l := z.trail[z.done]
		z.done++
		z.marks = append(z.marks, len(z.g.added))
		for _, a := range z.arcs[z.arcAt[l]:z.arcAt[l+1]] {
			if cycle, ok := z.g.add(a[0], a[1], l); !ok {
				return z.against(append(cycle, l))
			}
		}
		if clause := z.clausesOf(l); clause != nil {
			return clause
		}
	}
	return nil
}

// against returns the clause that forbids some literals together.
func (z *solver) against(list []literal) []literal {
	list = slices.DeleteFunc(list, func(l literal) bool { return l == noLiteral })
	slices.Sort(list)
	list = slices.Compact(list)
	for i := range list {
		list[i] = list[i].not()
	}
	return list
}

// clausesOf looks at the clauses that a literal makes shorter.
func (z *solver) clausesOf(l literal) []literal {
	falsified := l.not()
	list := z.watch[falsified]
	kept := list[:0]
	for i, id := range list {
		c := z.clauses[id]
		if c[0] == falsified {
			c[0], c[1] = c[1], c[0]
		}
		if z.value[c[0]] > 0 || !z.rewatch(id, c) {
			kept = append(kept, id)
			if z.value[c[0]] > 0 {
				continue
			}
			if z.value[c[0]] < 0 {
				kept = append(kept, list[i+1:]...)
				z.watch[falsified] = kept
				return c
			}
			z.choose(c[0], id)
		}
	}
	z.watch[falsified] = kept
	return nil
}

// rewatch finds another literal of a clause that is not false, in place of its second.
func (z *solver) rewatch(id int32, c []literal) bool {
	for i := 2; i < len(c); i++ {
		if z.value[c[i]] >= 0 {
			c[1], c[i] = c[i], c[1]
			z.watch[c[1]] = append(z.watch[c[1]], id)
			return true
		}
	}
	return false
}

// learn derives from a violated clause one that would have had the search turn earlier,
// goes back that far and follows it.
func (z *solver) learn(clause []literal) {
	learnt := []literal{0}
	now, open := int32(len(z.limits)), 0
	at := len(z.trail) - 1
	var l literal = noLiteral
	for {
		for _, q := range clause {
			c := q.choice()
			if q == l || z.seen[c] || z.level[c] == 0 {
				continue
			}
			z.seen[c] = true
			z.excite(c)
			if z.level[c] == now {
				open++
			} else {
				learnt = append(learnt, q)
			}
		}
		for !z.seen[z.trail[at].choice()] {
			at--
		}
		l = z.trail[at]
		z.seen[l.choice()] = false
		at--
		if open--; open == 0 {
			break
		}
		clause = z.clauses[z.reason[l.choice()]]
	}
	learnt[0] = l.not()
	to := int32(0)
	for i := 1; i < len(learnt); i++ {
		c := learnt[i].choice()
		z.seen[c] = false
		if z.level[c] > to {
			to = z.level[c]
			learnt[1], learnt[i] = learnt[i], learnt[1]
		}
	}
	z.back(to)
	id := int32(-1)
	if len(learnt) > 1 {
		id = int32(len(z.clauses))
		z.clauses = append(z.clauses, learnt)
		z.watch[learnt[0]] = append(z.watch[learnt[0]], id)
		z.watch[learnt[1]] = append(z.watch[learnt[1]], id)
	}
	z.choose(learnt[0], id)
	z.bump /= 0.95
}

func (z *solver) excite(c int32) {
	z.activity[c] += z.bump
	if z.activity[c] > 1e100 {
		for i := range z.activity {
			z.activity[i] *= 1e-100
		}
		z.bump *= 1e-100
	}
	z.queue.raise(c)
}

// back takes back all that was chosen above a level.
func (z *solver) back(level int32) {
	if int(level) >= len(z.limits) {
		return
	}
	keep := z.limits[level]
	for _, l := range z.trail[keep:] {
		z.value[l], z.value[l.not()] = 0, 0
		z.queue.push(l.choice())
	}
	if z.done > keep {
		z.g.undo(z.marks[keep])
		z.marks = z.marks[:keep]
		z.done = keep
	}
	z.trail, z.limits = z.trail[:keep], z.limits[:level]
}

// activityHeap has the most active choice first.
type activityHeap struct {
	activity []float64
	list     []int32
	place    []int32 // in list, -1 if not there
}

func (h *activityHeap) init(activity []float64) {
	h.activity = activity
	h.list, h.place = make([]int32, len(activity)), make([]int32, len(activity))
	for i := range h.list {
		h.list[i], h.place[i] = int32(i), int32(i)
	}
}

func (h *activityHeap) push(c int32) {
	if h.place[c] >= 0 {
		return
	}
	h.place[c] = int32(len(h.list))
	h.list = append(h.list, c)
	h.up(h.place[c])
}

func (h *activityHeap) raise(c int32) {
	if h.place[c] >= 0 {
		h.up(h.place[c])
	}
}

func (h *activityHeap) swap(i, j int32) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.place[h.list[i]], h.place[h.list[j]] = i, j
}

func (h *activityHeap) up(i int32) {
	for i > 0 && h.activity[h.list[(i-1)/2]] < h.activity[h.list[i]] {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *activityHeap) pop() int32 {
	top := h.list[0]
	last := int32(len(h.list) - 1)
	h.swap(0, last)
	h.list, h.place[top] = h.list[:last], -1
	for i := int32(0); ; {
		down := 2*i + 1
		if down >= last {
			return top
		}
		if down+1 < last && h.activity[h.list[down+1]] > h.activity[h.list[down]] {
			down++
		}
		if h.activity[h.list[i]] >= h.activity[h.list[down]] {
			return top
		}
		h.swap(i, down)
		i = down
	}
}
