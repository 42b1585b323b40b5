package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// AdminF is something that an operator can tell a system to do.
type AdminF string

// What an operator can ask for.
const (
	AdminTransfer AdminF = "transfer"
	AdminRemove   AdminF = "remove-member"
	AdminAdd      AdminF = "add-member"
	AdminMove     AdminF = "move"
)

// AdminOrder is one request of an operator.
type AdminOrder struct {
	F AdminF
	// Node is who is to lead, to go, to come, or to get the shard.
	Node Node
	// Shard is the one to be moved.
	Shard int
}

// String words the order: "transfer n2", "move shard 1 to n3".
func (o AdminOrder) String() string {
	if o.F == AdminMove {
		return fmt.Sprintf("move shard %d to %s", o.Shard, o.Node)
	}
	return fmt.Sprintf("%s %s", o.F, o.Node)
}

// View is what one node says of the cluster.
type View struct {
	// Primary is true when it believes that it leads.
	Primary bool
	Members []Node
	// Shards are the owners of the shards, in their order.
	Shards []Node
}

// Admin is what faults of leadership, membership and shards need of a system.
type Admin interface {
	// Order posts the order to a node, and returns nil when the node has answered
	// that it is done. After an error it may be done all the same.
	Order(ctx context.Context, at Node, o AdminOrder) error
	// Views asks all nodes. Those that do not answer are left out.
	Views(ctx context.Context) map[Node]View
}

func adminKinds() []Kind {
	every := Param{
		Name: "every", Unit: UnitDuration, Default: "1s", Doc: "mean time between two of them",
	}
	return []Kind{
		{
			Name: "transfer", Doc: "Leadership is handed over to another node, again and again.",
			Proof:  "the answer is ok, and the new leader says so",
			Params: []Param{every}, Admin: []AdminF{AdminTransfer}, build: buildOrders,
		},
		{
			Name: "move", Doc: "Shards are moved to other nodes, again and again.",
			Proof:  "the answer is ok, and a node tells the new owner",
			Params: []Param{every}, Admin: []AdminF{AdminMove}, build: buildOrders,
		},
		{
			Name:   "remove-member",
			Doc:    "Nodes are removed from the cluster and added again at the end. At most a minority.",
			Target: TargetOne, Proof: "a leader's list of members is without it",
			Admin: []AdminF{AdminRemove, AdminAdd}, build: buildRemove,
		},
	}
}

func adminFamilies() []family {
	every := func(rng *rand.Rand) Params { return Params{"every": millis(rng, 400, 2000)} }
	transfer := []flavor{
		{kind: "transfer", params: every, telling: true, sequels: death()},
		{kind: "transfer", params: every, long: true, telling: true, sequels: death()},
	}
	move := []flavor{{kind: "move", params: every}, {kind: "move", params: every, long: true}}
	member := []flavor{
		{kind: "remove-member", target: TargetOne}, {kind: "remove-member", target: TargetPrimaries},
	}
	return []family{
		{
			name: "admin", byName: 2, flavors: slices.Concat(transfer, member, move),
			doc: "an operator hands over leadership, removes and adds members, moves shards, " +
				"as far as the protocol can",
		},
		{name: "transfer", doc: "leadership is handed over again and again", flavors: transfer},
		{name: "membership", doc: "members are removed and added again", flavors: member},
		{name: "move", doc: "shards are moved again and again", flavors: move},
	}
}

const (
	adminPoll = 50 * time.Millisecond
	// adminShows is how long what was answered with ok may take to be seen.
	adminShows = 3 * time.Second
)

// adminFault is what faults of an operator share.
type adminFault struct {
	id    int64
	world *world
	admin Admin
	nodes []Node
	rng   *rand.Rand

	mu                  sync.Mutex
	answered, seen, bad int
	posted              int
	last, why           string // the last that was seen done; why one was not
}

func newAdminFault(j job) *adminFault {
	return &adminFault{
		id: j.step.ID, world: j.world, admin: j.env.Admin, nodes: j.nodes, rng: j.rng,
	}
}

// primary returns the first node that says that it leads.
func (f *adminFault) primary(views map[Node]View) (Node, bool) {
	for _, n := range f.nodes {
		if views[n].Primary {
			return n, true
		}
	}
	return "", false
}

// order posts an order to a primary and waits until done is seen.
func (f *adminFault) order(
	ctx context.Context, o AdminOrder, done func(map[Node]View) bool,
) error {
	at, ok := f.primary(f.admin.Views(ctx))
	if !ok {
		return f.failed(o, ErrNoPrimaries)
	}
	f.mu.Lock()
	f.posted++
	f.mu.Unlock()
	if err := f.admin.Order(ctx, at, o); err != nil {
		return f.failed(o, err)
	}
	f.mu.Lock()
	f.answered++
	f.mu.Unlock()
	limited, cancel := vtime.WithTimeout(ctx, adminShows)
	defer cancel()
	for !done(f.admin.Views(limited)) {
		if !vtime.Sleep(limited, adminPoll) {
			return f.failed(o, errors.New("answered with ok, and nobody shows it"))
		}
	}
	f.saw(o)
	return nil
}

// saw takes note that an order is seen done.
func (f *adminFault) saw(o AdminOrder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	f.last = o.String()
}

func (f *adminFault) failed(o AdminOrder, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad++
	err = fmt.Errorf("%s: %w", o, err)
	f.why = err.Error()
	return err
}

// evidence wants at least one order that was seen done, whether or not its answer came. If
// none was given, because nobody led who could take it, that is no doubt.
func (f *adminFault) evidence() Evidence {
	f.mu.Lock()
	defer f.mu.Unlock()
	var e Evidence
	e.add("answered with ok", int64(f.answered))
	e.add("seen done", int64(f.seen))
	e.add("failed", int64(f.bad))
	e.Bit = f.seen > 0
	if !e.Bit {
		e.Idle = f.posted == 0
		e.Why = "no order was done: " + shortened(f.why)
		return e
	}
	e.Why = fmt.Sprintf("seen done: %d, the last %s", f.seen, f.last)
	if f.bad > 0 {
		e.Why += fmt.Sprintf("; failed: %d (%s)", f.bad, shortened(f.why))
	}
	return e
}

// unanswered reports whether no order was ever answered with ok.
func (f *adminFault) unanswered() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered == 0
}

// ordersFault gives orders that need not be taken back, again and again.
type ordersFault struct {
	*adminFault
	every time.Duration
	next  func(map[Node]View) (AdminOrder, func(map[Node]View) bool, bool)
	loop  background
}

func buildOrders(j job) (prepared, error) {
	f := &ordersFault{adminFault: newAdminFault(j), every: j.set.duration("every")}
	among := j.hit
	if len(among) == 0 {
		among = j.nodes
	}
	f.next = func(v map[Node]View) (AdminOrder, func(map[Node]View) bool, bool) {
		return f.transfer(v, among)
	}
	what := "hand over leadership among "
	if j.step.Fault == "move" {
		f.next = func(v map[Node]View) (AdminOrder, func(map[Node]View) bool, bool) {
			return f.move(v, among)
		}
		what = "move shards among "
	}
	return prepared{
		fault: f, nodes: j.hit, undo: nil,
		what: fmt.Sprintf("%s%s, every %v", what, nodeNames(among), f.every),
	}, nil
}

// transfer picks who is to lead next.
func (f *ordersFault) transfer(views map[Node]View, among []Node) (
	AdminOrder, func(map[Node]View) bool, bool,
) {
	leader, ok := f.primary(views)
	rest := others(among, []Node{leader})
	if !ok || len(rest) == 0 {
		return AdminOrder{}, nil, false
	}
	to := rest[f.rng.IntN(len(rest))]
	return AdminOrder{F: AdminTransfer, Node: to}, func(v map[Node]View) bool {
		return v[to].Primary
	}, true
}

// move picks a shard and its next owner.
func (f *ordersFault) move(views map[Node]View, among []Node) (
	AdminOrder, func(map[Node]View) bool, bool,
) {
	leader, ok := f.primary(views)
	if shards := views[leader].Shards; ok && len(shards) > 0 {
		s := f.rng.IntN(len(shards))
		if rest := others(among, []Node{shards[s]}); len(rest) > 0 {
			to := rest[f.rng.IntN(len(rest))]
			return AdminOrder{F: AdminMove, Node: to, Shard: s}, func(v map[Node]View) bool {
				for _, view := range v {
					if s < len(view.Shards) && view.Shards[s] == to {
						return true
					}
				}
				return false
			}, true
		}
	}
	return AdminOrder{}, nil, false
}

// Inject gives orders until one is done, and goes on in the background.
func (f *ordersFault) Inject(ctx context.Context) (Evidence, error) {
	limited, cancel := vtime.WithTimeout(ctx, adminShows)
	defer cancel()
	for {
		f.once(limited)
		if f.evidence().Bit || !vtime.Sleep(limited, adminPoll) {
			break
		}
	}
	f.loop.start(ctx, f.again)
	return f.evidence(), nil
}

// once gives one order; that it may fail is in the evidence.
func (f *ordersFault) once(ctx context.Context) {
	o, done, ok := f.next(f.admin.Views(ctx))
	if !ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.why = "nobody leads, or there is nobody else"
		return
	}
	_ = f.order(ctx, o, done)
}

// again gives orders until ctx ends.
func (f *ordersFault) again(ctx context.Context) error {
	for vtime.Sleep(ctx, f.every/2+time.Duration(f.rng.Int64N(int64(f.every)+1))) {
		f.once(ctx)
	}
	return nil
}

// Observe ends the orders. That none was carried out, because each was refused or got no
// answer amid other faults, is no doubt: all stayed as it was.
func (f *ordersFault) Observe(context.Context) (Evidence, error) {
	err := f.loop.stop()
	e := f.evidence()
	e.Idle = e.Idle || !e.Bit && f.unanswered()
	return e, err
}

// Heal ends the orders. What was done stays: it is not wrong.
func (f *ordersFault) Heal(context.Context) (Evidence, error) {
	err := f.loop.stop()
	return Evidence{Bit: true, Why: "no orders any more; what was done may stay"}, err
}

// removeFault takes members away for a while.
type removeFault struct {
	*adminFault
	hit     []Node
	removed []Node // or perhaps removed
}

func buildRemove(j job) (prepared, error) {
	most := TargetMinority.size(len(j.nodes))
	if most == 0 {
		return prepared{}, fmt.Errorf("a minority of %d nodes is no node at all", len(j.nodes))
	}
	f := &removeFault{adminFault: newAdminFault(j), hit: j.hit[:min(len(j.hit), most)]}
	var undo []string
	for _, n := range f.hit {
		undo = append(undo, string(AdminAdd)+" "+string(n))
	}
	return prepared{fault: f, nodes: f.hit, what: "remove " + nodeNames(f.hit), undo: undo}, nil
}

// member reports whether a leader's list has the node, and whether there is one.
func (f *adminFault) member(views map[Node]View, n Node) (has, known bool) {
	leader, ok := f.primary(views)
	return slices.Contains(views[leader].Members, n), ok && len(views[leader].Members) > 0
}

// Inject removes one node after the other.
func (f *removeFault) Inject(ctx context.Context) (Evidence, error) {
	taken := f.world.seize(f.id, seamMember, f.hit)
	if len(taken) == 0 {
		return Evidence{Why: "no node was free"}, errNothingToDo{
			"every node is in the hands of another fault",
		}
	}
	if err := f.world.shrinkAlone(); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	for _, n := range taken {
		f.removed = append(f.removed, n)
		f.until(ctx, AdminOrder{F: AdminRemove, Node: n}, false)
	}
	return f.evidence(), nil
}

// until gives an order again until a leader's list shows it, for a while.
func (f *removeFault) until(ctx context.Context, o AdminOrder, want bool) bool {
	done := func(v map[Node]View) bool {
		has, known := f.member(v, o.Node)
		return known && has == want
	}
	limited, cancel := vtime.WithTimeout(ctx, 2*adminShows)
	defer cancel()
	for {
		if f.order(limited, o, done) == nil {
			return true
		}
		if done(f.admin.Views(limited)) { // its answer was lost, or is late
			f.saw(o)
			return true
		}
		if !vtime.Sleep(limited, adminPoll) {
			return false
		}
	}
}

// Observe repeats what Inject saw. That nothing was done is no doubt either if everybody
// who tells still counts the nodes among the members.
func (f *removeFault) Observe(ctx context.Context) (Evidence, error) {
	e := f.evidence()
	if !e.Bit && !e.Idle && f.unanswered() {
		told := 0
		for _, view := range f.admin.Views(ctx) {
			if len(view.Members) == 0 {
				continue
			}
			if len(others(f.removed, view.Members)) > 0 {
				return e, nil
			}
			told++
		}
		if e.Idle = told > 0; e.Idle {
			e.Why += "; all are still members"
		}
	}
	return e, nil
}

// Heal adds the nodes again and wants to see them in everybody's list. It does not do that
// the leader has them: as long as another node counts without them, the two cannot do what
// a majority can, if the leader is cut off.
func (f *removeFault) Heal(ctx context.Context) (Evidence, error) {
	var missing []string
	for _, n := range f.removed {
		if !f.until(ctx, AdminOrder{F: AdminAdd, Node: n}, true) {
			missing = append(missing, string(n))
		}
	}
	if len(missing) > 0 {
		err := fmt.Errorf("not a member again: %s: %s", strings.Join(missing, " "), f.why)
		return Evidence{Why: err.Error()}, err
	}
	if len(f.removed) == 0 {
		return Evidence{Bit: true, Why: "nobody was removed"}, nil
	}
	for {
		behind := f.behind(f.admin.Views(ctx))
		if len(behind) == 0 {
			return Evidence{Bit: true, Why: "members again: " + nodeNames(f.removed)}, nil
		}
		if !vtime.Sleep(ctx, adminPoll) {
			err := fmt.Errorf("members again: %s; but not by what these say: %s",
				nodeNames(f.removed), nodeNames(behind))
			return Evidence{Why: err.Error()}, err
		}
	}
}

// behind returns the nodes that do not show all removed ones as members again, or say
// nothing. Those that never tell of members are none of them.
func (f *removeFault) behind(views map[Node]View) []Node {
	var out []Node
	for _, n := range f.nodes {
		view, answers := views[n]
		if len(view.Members) == 0 && answers {
			continue
		}
		if len(others(f.removed, view.Members)) > 0 {
			out = append(out, n)
		}
	}
	return out
}
