package dmvcc

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// watcher compares a run with a dumb database: all operations by number, and the
// numbers that were aborted. It keeps its own copy of what is durable at each node,
// made from the records alone.
type watcher struct {
	mode    Mode
	ops     map[Num][]op
	gone    map[Num]bool
	closed  map[Num]bool
	marks   map[protocol.NodeID]Num
	durable map[protocol.NodeID]map[Num]map[int]bool
	floors  map[protocol.NodeID]Num
	nodes   map[protocol.NodeID]*Machine
	nums    map[sim.Attempt]Num // of requests that are to be acknowledged
	steps   int
	err     error
}

func newWatcher(mode Mode) *watcher {
	return &watcher{
		mode: mode, ops: map[Num][]op{}, gone: map[Num]bool{}, closed: map[Num]bool{},
		marks:   map[protocol.NodeID]Num{},
		durable: map[protocol.NodeID]map[Num]map[int]bool{},
		floors:  map[protocol.NodeID]Num{}, nodes: map[protocol.NodeID]*Machine{},
		nums: map[sim.Attempt]Num{},
	}
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// factory makes nodes that are watched.
func (w *watcher) factory(tune func(*Machine)) sim.Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := New(w.mode)(cfg)
		if err != nil {
			return nil, err
		}
		tune(m)
		m.gave = func(n Num, ops []op) {
			if w.ops[n] != nil {
				w.fail("%s: number %d is given twice", cfg.Self, n)
			}
			w.ops[n] = ops
		}
		m.saw = func(t *txn, key, value string) { w.saw(m, t, key, value) }
		m.done = func(id protocol.RequestID, n Num) {
			w.nums[sim.Attempt{Node: cfg.Self, Epoch: cfg.Epoch, ID: id}] = n
		}
		w.nodes[cfg.Self] = m
		return m, nil
	}
}

// saw: a read is the sum of all operations of complete numbers up to the snapshot,
// at whatever node and however late.
func (w *watcher) saw(m *Machine, t *txn, key, value string) {
	w.learn(m)
	var v versions.Value
	for _, n := range slices.Sorted(maps.Keys(w.ops)) {
		if n > t.snap || w.gone[n] {
			continue
		}
		for _, o := range w.ops[n] {
			if o.Key == key {
				v = v.ApplyAll(o.Updates)
			}
		}
	}
	if want := v.ApplyAll(t.writes[key]).Read(); want != value {
		w.fail("%s reads %s at %d as %s, want %s", m.cfg.Self, key, t.snap, value, want)
	}
}

// learn takes down which numbers a replica of the metadata calls closed. A number
// has one fate, and the watermark of a node never falls.
func (w *watcher) learn(m *Machine) {
	meta := m.meta()
	for _, n := range meta.gone {
		w.gone[n] = true
		if w.closed[n] {
			w.fail("%d was complete and is aborted", n)
		}
	}
	for n := range w.ops {
		switch meta.fate(n) {
		case complete:
			w.closed[n] = true
			if w.gone[n] {
				w.fail("%d was aborted and is complete", n)
			}
		case open:
			if n <= meta.mark {
				w.fail("%s: %d is open, the watermark is %d", m.cfg.Self, n, meta.mark)
			}
		}
	}
	if meta.mark < w.marks[m.cfg.Self] {
		w.fail("%s: the watermark falls from %d to %d", m.cfg.Self, w.marks[m.cfg.Self], meta.mark)
	}
	w.marks[m.cfg.Self] = meta.mark
}

func (w *watcher) observe(c *sim.Cluster, e *sim.Event) {
	switch e.Kind {
	case sim.Start:
		w.marks[e.Node] = 0 // a replica learns its log again
	case sim.Persist:
		w.persist(e)
	case sim.Answer:
		if e.Reply.Outcome == protocol.OK {
			w.answered(c, e)
		}
	}
}

func (w *watcher) persist(e *sim.Event) {
	held := w.durable[e.Node]
	if held == nil {
		held = map[Num]map[int]bool{}
		w.durable[e.Node] = held
	}
	keep := func(o op) {
		if held[o.Num] == nil {
			held[o.Num] = map[int]bool{}
		}
		held[o.Num][o.I] = true
	}
	if e.Checkpoint != nil {
		var c checkpoint
		if err := decode(e.Checkpoint, &c); err != nil {
			w.fail("%s: checkpoint: %w", e.Node, err)
		}
		clear(held)
		w.floors[e.Node] = c.Node.Floor
		for _, o := range c.Node.Ops {
			keep(o)
		}
	}
	for _, b := range e.Records {
		if b[0] != ofNode {
			continue
		}
		if r, err := decodeRecord(b[1:]); err != nil {
			w.fail("%s: record: %w", e.Node, err)
		} else if r.Op != nil {
			keep(*r.Op)
		}
	}
}

// answered: a commit that is acknowledged is complete, at or below the watermark of
// its node, and durable at as many nodes as the mode says.
func (w *watcher) answered(c *sim.Cluster, e *sim.Event) {
	m := w.nodes[e.Node]
	w.learn(m)
	num, writes := w.nums[sim.Attempt{Node: e.Node, Epoch: e.Epoch, ID: e.Reply.ID}]
	if !writes {
		return
	}
	holders := 0
	for _, n := range c.Nodes() {
		if w.floors[n.ID()] >= num || len(w.durable[n.ID()][num]) == len(w.ops[num]) {
			holders++
		}
	}
	if meta := m.meta(); meta.fate(num) != complete || meta.mark < num || holders < m.need() {
		w.fail("%s acknowledges %d, which is %d with the watermark %d, durable at %d nodes",
			e.Node, num, meta.fate(num), meta.mark, holders)
	}
}

func (w *watcher) check(c *sim.Cluster) error {
	if w.steps++; w.steps%16 == 0 {
		for _, n := range c.Nodes() {
			if m, ok := n.Machine().(*Machine); ok {
				w.learn(m)
			}
		}
	}
	return w.err
}
