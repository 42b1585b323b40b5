package nemesis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// world knows which fault holds which links and processes, so that faults that
// overlap do not undo each other, and tells which nodes are healthy.
type world struct {
	nodes     []Node
	processes Processes
	// changed is called, under mu, with the healthy nodes when they change.
	changed func([]Node)
	// locks serialize what is done to one node's process.
	locks map[Node]*vtime.Mutex

	mu     sync.Mutex
	links  map[int64]map[Link]bool
	claims map[int64]map[Node]claim
	last   []Node
	// dead are nodes whose processes ended without a fault that wished it.
	dead map[Node]bool
	// seams are which fault holds which clocks, disks and memberships.
	seams map[seam]map[Node]int64
	// losing are the faults that have taken something durable away.
	losing map[int64]bool
	// slowing are the faults that make nodes slow.
	slowing map[int64]bool
	// expected are the faults that wish a node to end by itself, ended the last
	// words of those that did.
	expected map[int64]map[Node]bool
	ended    map[int64]map[Node]string
}

// seam is a part of a node that one fault at a time can trouble.
type seam string

const (
	seamClock  seam = "clock"
	seamDisk   seam = "disk"
	seamMember seam = "membership"
)

// claim is what a fault does to a process.
type claim struct {
	// pause claims wish the process stopped; others may kill and start it.
	pause bool
	// active is true while the claim's process is to be down (or stopped).
	active bool
}

func newWorld(nodes []Node, p Processes, changed func([]Node)) *world {
	w := &world{
		nodes: nodes, processes: p, changed: changed,
		locks:  map[Node]*vtime.Mutex{},
		links:  map[int64]map[Link]bool{},
		claims: map[int64]map[Node]claim{},
		dead:   map[Node]bool{},
		seams: map[seam]map[Node]int64{
			seamClock: {}, seamDisk: {}, seamMember: {}, seamHost: {},
		},
		losing: map[int64]bool{}, slowing: map[int64]bool{},
		expected: map[int64]map[Node]bool{}, ended: map[int64]map[Node]string{},
	}
	for _, n := range nodes {
		w.locks[n] = &vtime.Mutex{}
	}
	return w
}

// announce reports the healthy nodes at the start.
func (w *world) announce() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = healthy(w.nodes, w.running, w.clean)
	w.changed(w.last)
}

// update, under mu, reports the healthy nodes if they changed. While some node is slow,
// none are: it is neither there nor gone, nobody has to notice, and whoever waits for it
// is as slow.
func (w *world) update() {
	var now []Node
	if len(w.slowing) == 0 {
		now = healthy(w.nodes, w.running, w.clean)
	}
	if !slices.Equal(now, w.last) {
		w.last = now
		w.changed(now)
	}
}

// running reports, under mu, whether no fault claims the node's process, clock or
// disk; one that is restarted over and over does not run, even while it is up.
func (w *world) running(n Node) bool {
	if w.dead[n] {
		return false
	}
	for _, held := range w.seams {
		if _, troubled := held[n]; troubled {
			return false
		}
	}
	for _, c := range w.claims {
		if _, claimed := c[n]; claimed {
			return false
		}
	}
	return true
}

// setDead says that a node's process has ended by itself, or runs again.
func (w *world) setDead(n Node, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[n] = dead
	w.update()
}

// exited notes that a node has ended by itself and reports whether a fault wished
// it. A panic is never what a fault wishes.
func (w *world) exited(n Node, words string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	panicked := strings.HasPrefix(words, "panic:") || strings.HasPrefix(words, "fatal error:")
	for id, nodes := range w.expected {
		if nodes[n] && !panicked {
			if w.ended[id] == nil {
				w.ended[id] = map[Node]string{}
			}
			w.ended[id][n] = words
			return true
		}
	}
	w.dead[n] = true
	w.update()
	return false
}

// expect says that fault id wishes the nodes to end by themselves, or no longer.
func (w *world) expect(id int64, nodes []Node, wished bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expected[id] == nil {
		w.expected[id] = map[Node]bool{}
	}
	for _, n := range nodes {
		w.expected[id][n] = wished
	}
}

// lastWords returns what a node said when it ended by itself as fault id wished.
func (w *world) lastWords(id int64, n Node) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	words, ok := w.ended[id][n]
	return words, ok
}

// seize gives fault id the clocks or disks of those nodes that no other fault
// troubles or has taken hold of in another way, and returns them.
func (w *world) seize(id int64, s seam, nodes []Node) []Node {
	var free []Node
	for _, n := range nodes {
		if w.idle(id, n) {
			free = append(free, n)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	free = slices.DeleteFunc(free, func(n Node) bool {
		owner, taken := w.seams[s][n]
		return taken && owner != id
	})
	for _, n := range free {
		w.seams[s][n] = id
	}
	w.update()
	return free
}

// loseAlone lets fault id take something durable away. It says why not: another fault
// that is in force may, or so many members are away that those left can spare none.
func (w *world) loseAlone(id int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.losing {
		if other != id {
			return errNothingToDo{"another fault has taken something from a disk"}
		}
	}
	if !w.canSpare() {
		return errNothingToDo{"members are away, and those left can spare nothing"}
	}
	w.losing[id] = true
	return nil
}

// shrinkAlone says why members that are seized may not be taken away: the others could
// not spare the one from whose disk another fault has taken something.
func (w *world) shrinkAlone() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.losing) > 0 && !w.canSpare() {
		return errNothingToDo{"another fault has taken something from a disk, and too few " +
			"members would be left"}
	}
	return nil
}

// canSpare reports, under mu, whether the members that are left can lose one, and it
// can get back from the others what it knew.
func (w *world) canSpare() bool {
	away := len(w.seams[seamMember])
	return away == 0 || TargetMinority.size(len(w.nodes)-away) > 0
}

// idle reports whether the node's process lives and no fault but id has it.
func (w *world) idle(id int64, n Node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead[n] {
		return false
	}
	for other, c := range w.claims {
		if _, ok := c[n]; ok && other != id {
			return false
		}
	}
	return true
}

// clean reports, under mu, whether no fault has a rule on the link.
func (w *world) clean(l Link) bool {
	for _, links := range w.links {
		if links[l] {
			return false
		}
	}
	return true
}

// disturb says that fault id is about to put rules on the links.
func (w *world) disturb(id int64, links []Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.links[id] == nil {
		w.links[id] = map[Link]bool{}
	}
	for _, l := range links {
		w.links[id][l] = true
	}
	w.update()
}

// release says that fault id is healed.
func (w *world) release(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, id)
	delete(w.claims, id)
	delete(w.expected, id)
	delete(w.ended, id)
	delete(w.losing, id)
	delete(w.slowing, id)
	for _, held := range w.seams {
		maps.DeleteFunc(held, func(_ Node, owner int64) bool { return owner == id })
	}
	w.update()
}

// testable returns those links that no fault but id disturbs: only on them a
// probe proves something about id.
func (w *world) testable(id int64, links []Link) []Link {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(links), func(l Link) bool {
		for other, held := range w.links {
			if other != id && held[l] {
				return true
			}
		}
		return false
	})
}

// claimed reports whether a fault other than id has an active claim of that sort
// on the node.
func (w *world) claimed(id int64, n Node, pause bool) bool {
	for other, c := range w.claims {
		if got, ok := c[n]; ok && other != id && got.pause == pause && got.active {
			return true
		}
	}
	return false
}

// setClaim records what fault id does to the node's process.
func (w *world) setClaim(id int64, n Node, c claim) {
	if w.claims[id] == nil {
		w.claims[id] = map[Node]claim{}
	}
	w.claims[id][n] = c
	w.update()
}

// claimAll records, in one change of the world, that fault id is about to take
// hold of the nodes' processes.
func (w *world) claimAll(id int64, nodes []Node, pause bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims[id] == nil {
		w.claims[id] = map[Node]claim{}
	}
	for _, n := range nodes {
		w.claims[id][n] = claim{pause: pause}
	}
	w.update()
}

// slowDown says that fault id makes nodes slow.
func (w *world) slowDown(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowing[id] = true
	w.update()
}

// holdDown says that fault id wishes the nodes down, by whatever ends them.
func (w *world) holdDown(id int64, nodes []Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range nodes {
		w.setClaim(id, n, claim{active: true})
	}
}

// free returns those nodes whose processes no other fault kills or starts.
func (w *world) free(id int64, nodes []Node) []Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool {
		for other, c := range w.claims {
			if got, ok := c[n]; ok && other != id && !got.pause {
				return true
			}
		}
		return false
	})
}

// active reports whether fault id still wishes the node's process down (stopped).
func (w *world) active(id int64, n Node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claims[id][n].active
}

// takeDown kills the node's process for fault id and returns the state before.
// Fresh is false when another fault had taken it down already. A pause of the
// node by another fault ends with the process.
func (w *world) takeDown(ctx context.Context, id int64, n Node) (
	before ProcessState, fresh bool, err error,
) {
	defer w.locks[n].Lock(ctx)()
	w.mu.Lock()
	fresh = !w.claimed(id, n, false)
	w.setClaim(id, n, claim{active: true})
	for other, c := range w.claims {
		if got, ok := c[n]; ok && got.pause {
			w.setClaim(other, n, claim{pause: true})
		}
	}
	w.mu.Unlock()
	if before, err = w.processes.State(ctx, n); err != nil {
		return before, fresh, fmt.Errorf("state of %s: %w", n, err)
	}
	if before.PID == 0 {
		return before, false, nil
	}
	if err := w.processes.Kill(ctx, n); err != nil {
		return before, fresh, fmt.Errorf("kill %s: %w", n, err)
	}
	return before, fresh, nil
}

// bringUp ends fault id's wish that the node be down, starts its process unless
// another fault still wishes so, and waits until it runs. The zero state says
// that it was left down.
func (w *world) bringUp(ctx context.Context, id int64, n Node) (ProcessState, error) {
	defer w.locks[n].Lock(ctx)()
	w.mu.Lock()
	w.setClaim(id, n, claim{})
	left := w.claimed(id, n, false)
	w.mu.Unlock()
	if left {
		return ProcessState{}, nil
	}
	if err := w.processes.Start(ctx, n); err != nil {
		return ProcessState{}, fmt.Errorf("start %s: %w", n, err)
	}
	up := func(s ProcessState) bool { return s.PID != 0 && !s.Stopped }
	state, err := w.await(ctx, n, up)
	if err != nil && state.PID == 0 {
		// A process that was about to end by itself counted as running a moment ago.
		if err := w.processes.Start(ctx, n); err != nil {
			return ProcessState{}, fmt.Errorf("start %s: %w", n, err)
		}
		state, err = w.await(ctx, n, up)
	}
	if err == nil {
		w.setDead(n, false)
	}
	return state, err
}

// errDown says that a node cannot be paused because another fault kills it.
var errDown = errors.New("its process is already in the hands of another fault")

// pause stops the node's process for fault id and waits until it is stopped.
func (w *world) pause(ctx context.Context, id int64, n Node) (ProcessState, error) {
	defer w.locks[n].Lock(ctx)()
	if len(w.free(id, []Node{n})) == 0 {
		return ProcessState{}, fmt.Errorf("pause %s: %w", n, errDown)
	}
	w.mu.Lock()
	w.setClaim(id, n, claim{pause: true, active: true})
	w.mu.Unlock()
	if err := w.processes.Pause(ctx, n); err != nil {
		return ProcessState{}, fmt.Errorf("pause %s: %w", n, err)
	}
	return w.await(ctx, n, func(s ProcessState) bool { return s.Stopped })
}

// resume ends fault id's pause of the node, unless another fault pauses it, too,
// or has taken it down, and waits until it runs.
func (w *world) resume(ctx context.Context, id int64, n Node) (ProcessState, error) {
	defer w.locks[n].Lock(ctx)()
	w.mu.Lock()
	w.setClaim(id, n, claim{pause: true})
	left := w.claimed(id, n, false) || w.claimed(id, n, true)
	w.mu.Unlock()
	if left {
		return ProcessState{}, nil
	}
	if err := w.processes.Resume(ctx, n); err != nil {
		return ProcessState{}, fmt.Errorf("resume %s: %w", n, err)
	}
	return w.await(ctx, n, func(s ProcessState) bool { return s.PID != 0 && !s.Stopped })
}

// await polls the node's state until ok, for at most a few seconds.
func (w *world) await(ctx context.Context, n Node, ok func(ProcessState) bool) (
	ProcessState, error,
) {
	ctx, cancel := vtime.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		s, err := w.processes.State(ctx, n)
		if err == nil && ok(s) {
			return s, nil
		}
		if !vtime.Sleep(ctx, 20*time.Millisecond) {
			return s, errors.Join(err, fmt.Errorf("%s has pid %d, stopped %t, for too long",
				n, s.PID, s.Stopped))
		}
	}
}

// healthy returns the largest set of nodes, at least a majority of all, that run,
// reach each other both ways over clean links, and are reached by the clients
// over clean links; of several the one that comes first in the order of nodes;
// nil if there is none. Up to nine nodes all subsets are tried; with more, nodes
// with the most unclean links are taken away until the rest is a set as wanted,
// which may miss the largest one but never claims too much.
func healthy(nodes []Node, running func(Node) bool, clean func(Link) bool) []Node {
	both := func(a, b Node) bool {
		return clean(Link{From: a, To: b}) && clean(Link{From: b, To: a})
	}
	fit := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool {
		return !running(n) || !both(Clients, n)
	})
	var best []Node
	if len(nodes) <= 9 {
		best = largestClique(fit, both)
	} else {
		best = greedyClique(fit, both)
	}
	if len(best) < len(nodes)/2+1 {
		return nil
	}
	return best
}

// largestClique tries every subset.
func largestClique(nodes []Node, both func(a, b Node) bool) []Node {
	var best []Node
	for mask := range 1 << len(nodes) {
		var set []Node
		for i, n := range nodes {
			if mask&(1<<i) != 0 {
				set = append(set, n)
			}
		}
		if len(set) > len(best) && worst(set, both) < 0 {
			best = set
		}
	}
	return best
}

// greedyClique takes away the worst node until all others are connected.
func greedyClique(nodes []Node, both func(a, b Node) bool) []Node {
	set := slices.Clone(nodes)
	for i := worst(set, both); i >= 0; i = worst(set, both) {
		set = slices.Delete(set, i, i+1)
	}
	return set
}

// worst returns the index of the node with the most unclean links inside set, or
// -1 if all are clean.
func worst(set []Node, both func(a, b Node) bool) int {
	at, most := -1, 0
	for i, a := range set {
		bad := 0
		for j, b := range set {
			if i != j && !both(a, b) {
				bad++
			}
		}
		if bad > most {
			at, most = i, bad
		}
	}
	return at
}
