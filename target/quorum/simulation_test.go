package quorum

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// watcher checks the invariants of the protocol while a run goes on. It keeps
// its own copy of what is durable at each node, made from the records alone.
type watcher struct {
	durable map[protocol.NodeID]map[string]entry
	// wiped replicas have nothing any more, but until they take part again whatever
	// counts them is held by others.
	wiped  map[protocol.NodeID]bool
	values map[string]map[Tag]string // by key: the one value of each tag
	ended  map[sim.Attempt]entry
	err    error
}

func newWatcher() *watcher {
	return &watcher{
		durable: map[protocol.NodeID]map[string]entry{},
		wiped:   map[protocol.NodeID]bool{},
		values:  map[string]map[Tag]string{},
		ended:   map[sim.Attempt]entry{},
	}
}

// factory makes machines that report how their operations end.
func (w *watcher) factory(every int) sim.Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := New(cfg)
		if err != nil {
			return nil, err
		}
		m.checkpointEvery = every
		m.ended = func(o *operation) {
			w.ended[sim.Attempt{Node: cfg.Self, Epoch: cfg.Epoch, ID: o.req.ID}] = o.best
		}
		return m, nil
	}
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// observe follows the events of a run.
func (w *watcher) observe(c *sim.Cluster, e *sim.Event) {
	switch e.Kind {
	case sim.Persist:
		w.persist(e)
	case sim.Start:
		w.recovered(c, e)
	case sim.Wipe:
		w.wiped[e.Node] = true
	case sim.Send:
		m, err := decodeWire(e.Payload)
		if err != nil {
			w.fail("%s sends %x: %w", e.Node, e.Payload, err)
			return
		}
		w.oneValue(m.key, m.entry)
	case sim.Answer:
		if e.Reply.Outcome == protocol.OK {
			w.majority(c, e)
		}
	}
}

// persist checks that a replica's durable tags never fall.
func (w *watcher) persist(e *sim.Event) {
	held := w.durable[e.Node]
	if held == nil {
		held = map[string]entry{}
		w.durable[e.Node] = held
	}
	if w.wiped[e.Node] {
		if e.Checkpoint == nil {
			w.fail("%s was wiped and makes records before it has everything", e.Node)
		}
		held = nil
		delete(w.wiped, e.Node)
	}
	if e.Checkpoint != nil {
		next := map[string]entry{}
		if err := decodeCheckpoint(e.Checkpoint, next); err != nil {
			w.fail("%s writes checkpoint %x: %w", e.Node, e.Checkpoint, err)
		}
		for key, old := range held {
			if next[key].tag.Less(old.tag) {
				w.fail("%s: checkpoint takes %s from %v to %v", e.Node, key, old.tag, next[key].tag)
			}
		}
		w.durable[e.Node], held = next, next
	}
	for _, r := range e.Records {
		key, en, err := decodeRecord(r)
		if err != nil || !held[key].tag.Less(en.tag) {
			w.fail("%s: record takes %s from %v to %v (%v)", e.Node, key, held[key].tag, en.tag, err)
		}
		w.oneValue(key, en)
		held[key] = en
	}
}

// recovered checks that a node begins with exactly what was durable.
func (w *watcher) recovered(c *sim.Cluster, e *sim.Event) {
	m := c.Node(e.Node).Machine().(*Machine)
	held := w.durable[e.Node]
	if w.wiped[e.Node] {
		held = nil
	}
	if !maps.Equal(m.store, held) {
		w.fail("%s recovers %v, durable is %v", e.Node, m.store, held)
	}
}

// oneValue checks that a tag never has two values.
func (w *watcher) oneValue(key string, en entry) {
	if en.tag == (Tag{}) {
		return
	}
	tags := w.values[key]
	if tags == nil {
		tags = map[Tag]string{}
		w.values[key] = tags
	}
	if v, seen := tags[en.tag]; seen && v != en.value {
		w.fail("%s: tag %v has values %s and %s", key, en.tag, v, en.value)
	}
	tags[en.tag] = en.value
}

// majority checks that what an operation returned with is durable at a majority
// when the reply leaves.
func (w *watcher) majority(c *sim.Cluster, e *sim.Event) {
	at := sim.Attempt{Node: e.Node, Epoch: e.Epoch, ID: e.Reply.ID}
	en, ok := w.ended[at]
	if !ok {
		w.fail("request %v is answered but has not ended", at)
		return
	}
	key := ""
	for _, op := range c.Ops() {
		if op.Last() == at {
			key = op.Request.Key
		}
	}
	holders := 0
	for _, n := range c.Nodes() {
		if !w.durable[n.ID()][key].tag.Less(en.tag) {
			holders++
		}
	}
	if holders <= len(c.Nodes())/2 {
		w.fail("request %v returns %v of %s, durable at %d of %d nodes",
			at, en.tag, key, holders, len(c.Nodes()))
	}
}

func (w *watcher) check(*sim.Cluster) error { return w.err }

// linearizable is the white-box check: the tags order the operations of a key,
// and real time agrees.
func (w *watcher) linearizable(c *sim.Cluster) error {
	written := map[Tag]*sim.Op{}
	var done []*sim.Op
	for _, op := range c.Ops() {
		write := op.Request.F == "write"
		tag := w.ended[op.Last()].tag
		if write && op.Outcome == protocol.Fail {
			for t, v := range w.values[op.Request.Key] {
				if v == op.Request.Value {
					return fmt.Errorf("failed write has tag %v: %v", t, op)
				}
			}
		}
		if !op.Done || op.Outcome != protocol.OK {
			continue
		}
		want := "null"
		if tag != (Tag{}) {
			want = w.values[op.Request.Key][tag]
		}
		switch {
		case write && (want != op.Request.Value || written[tag] != nil):
			return fmt.Errorf("tag %v stands for %s, but: %v, %v", tag, want, op, written[tag])
		case write:
			written[tag] = op
		case want != op.Value:
			return fmt.Errorf("tag %v stands for %s, but: %v", tag, want, op)
		}
		done = append(done, op)
	}
	for _, a := range done {
		for _, b := range done {
			if a.Return >= b.Invoke || a.Request.Key != b.Request.Key {
				continue
			}
			ta, tb := w.ended[a.Last()].tag, w.ended[b.Last()].tag
			if tb.Less(ta) || b.Request.F == "write" && ta == tb {
				return fmt.Errorf("real time against tags: %v (tag %v), then %v (tag %v)", a, ta, b, tb)
			}
		}
	}
	return nil
}

// checked are the options of a run with every check that there is.
func checked(seed uint64) sim.Options {
	w := newWatcher()
	every := checkpointEvery
	if seed%2 == 0 {
		every = 1 + int(seed%19)
	}
	return sim.Options{
		Seed: seed, New: w.factory(every), Describe: Describe,
		Observe: w.observe, Check: w.check,
		AtEnd: []func(*sim.Cluster) error{w.linearizable, atomicOps},
	}
}

// TestSimulation runs the correct protocol under everything the simulation can
// do to it.
func TestSimulation(t *testing.T) {
	const shards = 4
	n := simtest.Seeds(t, 300)
	var total tally
	t.Run("seeds", func(t *testing.T) {
		for s := range uint64(shards) {
			t.Run(fmt.Sprintf("shard-%d", s), func(t *testing.T) {
				t.Parallel()
				for seed := s; seed < n; seed += shards {
					tr, err := sim.Run(checked(seed))
					if err != nil {
						t.Fatal(err)
					}
					total.add(tr)
				}
			})
		}
	})
	t.Log(&total)
	if err := total.enough(int(n)); err != nil {
		t.Error(err)
	}
}

// TestWipedDisk lets one disk at a time lose everything, beside all other faults.
func TestWipedDisk(t *testing.T) {
	t.Parallel()
	wipes := 0
	for seed := range simtest.Seeds(t, 200) {
		opts := checked(seed)
		opts.More = []sim.FaultKind{sim.WipeDisk}
		tr, err := sim.Run(opts)
		if err != nil {
			t.Fatal(err)
		}
		wipes += tr.Injected[sim.WipeDisk]
	}
	if wipes == 0 {
		t.Error("no disk was ever wiped")
	}
	t.Logf("%d attempts to wipe a disk", wipes)
}

// tally sums up what the runs have been through, to see that they were not idle.
type tally struct {
	mu       sync.Mutex
	runs     int
	ops      int
	outcomes [3]int
	faults   map[sim.FaultKind]int
	steps    int
}

func (s *tally) add(tr *sim.Trace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.steps += tr.Steps
	for _, op := range tr.Ops {
		s.ops++
		s.outcomes[op.Outcome]++
	}
	if s.faults == nil {
		s.faults = map[sim.FaultKind]int{}
	}
	for k, n := range tr.Injected {
		s.faults[k] += n
	}
}

func (s *tally) String() string {
	return fmt.Sprintf("%d runs, %d operations: %d ok, %d fail, %d unknown; %d steps; faults %v",
		s.runs, s.ops, s.outcomes[protocol.OK], s.outcomes[protocol.Fail],
		s.outcomes[protocol.Unknown], s.steps, s.faults)
}

func (s *tally) enough(runs int) error {
	switch {
	case s.runs != runs || s.ops < 200*runs:
		return fmt.Errorf("too few operations: %v", s)
	case s.outcomes[protocol.OK] < s.ops/2:
		return fmt.Errorf("too few operations succeed: %v", s)
	case s.outcomes[protocol.Fail] < runs || s.outcomes[protocol.Unknown] < runs:
		return fmt.Errorf("faults rarely reach the clients: %v", s)
	}
	for _, k := range sim.AllFaults() {
		if s.faults[k] < runs/10 {
			return fmt.Errorf("fault %s rarely happens: %v", k, s)
		}
	}
	return nil
}

// TestSimulationFindsPlantedBugs proves the power of the simulation: a few dozen
// seeds find each planted bug several times, once with a check that sees only
// what the clients see, and once with the invariants and tags, which see more.
// The numbers wanted are about half of those seen when the test was written, so
// that it fails when a change of the simulation costs much of its power.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	outside := func(seed uint64) sim.Options {
		return sim.Options{
			Seed: seed, New: factory, Describe: Describe,
			AtEnd: []func(*sim.Cluster) error{atomicOps},
		}
	}
	inside := func(seed uint64) sim.Options {
		opts := checked(seed)
		opts.AtEnd = opts.AtEnd[:1]
		return opts
	}
	const runs = 40
	wipes := func(o *sim.Options) {
		o.Nodes, o.Ops, o.More = 3, 300, []sim.FaultKind{sim.WipeDisk}
		o.Faults = &sim.Faults{
			Think: 30 * time.Millisecond, Loss: 0.2, Kinds: []sim.FaultKind{sim.Isolate},
			Every: 250 * time.Millisecond, Last: 500 * time.Millisecond,
		}
	}
	crowd := func(o *sim.Options) { o.Clients, o.Generate = 12, sim.Registers(1) }
	for at, b := range []struct {
		id              bug.ID
		outside, inside int // seeds that must find it
		change          func(*sim.Options)
	}{
		{id: bug.ABDSkipsQuery, outside: 18, inside: 20},
		{id: bug.ABDWallClock, outside: 9, inside: 9,
			change: func(o *sim.Options) { o.More = []sim.FaultKind{sim.WallJump} }},
		{id: bug.ABDCollision, outside: 4, inside: 20, change: crowd},
		{id: bug.ABDEvenQuorum, outside: 4, inside: 8, change: func(o *sim.Options) { o.Nodes = 4 }},
		{id: bug.ABDDupAck, outside: 1, inside: 6},
		{id: bug.ABDTagReuse, outside: 0, inside: 20},
		{id: bug.ABDNoWriteBack, outside: 2, inside: 18},
		{id: bug.ABDSloppyQuorum, outside: 8, inside: 12},
		{id: bug.ABDWipedVotes, outside: 1, inside: 15, change: wipes},
		{id: bug.TimeoutAsFail, outside: 4, inside: 5},
		{id: bug.ErrorAsOK, outside: 4, inside: 8},
		{id: bug.NoFsync, outside: 10, inside: 19},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			longtest.Sample(t, at, 5)
			t.Parallel()
			count := func(options func(uint64) sim.Options) (found int) {
				for seed := range uint64(runs) {
					opts := options(seed)
					if b.change != nil {
						// Otherwise these are the runs of TestSimulation.
						b.change(&opts)
						if _, err := sim.Run(opts); err != nil {
							t.Fatalf("without the bug: %v", err)
						}
						opts = options(seed)
						b.change(&opts)
					}
					opts.Bugs = bug.Set{b.id: true}
					if _, err := sim.Run(opts); err != nil {
						found++
					}
				}
				return found
			}
			out, in := count(outside), count(inside)
			t.Logf("of %d seeds, %d find it from outside, %d from inside", runs, out, in)
			if out < b.outside || in < b.inside {
				t.Errorf("want at least %d and %d", b.outside, b.inside)
			}
		})
	}
}

func factory(cfg protocol.Config) (protocol.Machine, error) { return New(cfg) }

// TestSimulationRepeats runs seeds twice: the trace is the same, event by event.
func TestSimulationRepeats(t *testing.T) {
	t.Parallel()
	hashes := map[uint64]uint64{}
	for seed := range uint64(25) {
		a, err := sim.Run(checked(seed))
		if err != nil {
			t.Fatal(err)
		}
		b, err := sim.Run(checked(seed))
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash != b.Hash || a.Events != b.Events || a.Time != b.Time {
			t.Errorf("seed %d: %x with %d events, then %x with %d", seed, a.Hash, a.Events, b.Hash, b.Events)
		}
		if other, seen := hashes[a.Hash]; seen {
			t.Errorf("seeds %d and %d have the same hash", seed, other)
		}
		hashes[a.Hash] = seed
	}
}
