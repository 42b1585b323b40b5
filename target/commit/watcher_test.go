package commit

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// watcher sees what the disks hold and what the machines believe, and keeps the
// invariants of the protocol against that after every step.
type watcher struct {
	protocol string
	nodes    map[protocol.NodeID]*Machine
	codec    codec
	// chosen are the decisions of the group.
	chosen map[TxnID]bool
	// prepared and ended are what stood on a disk, once.
	prepared map[protocol.NodeID]map[TxnID]bool
	ended    map[TxnID]map[protocol.NodeID]bool
	commits  int
	err      error
}

func newWatcher(name string) *watcher {
	c, err := newCodec()
	return &watcher{
		protocol: name,
		nodes:    map[protocol.NodeID]*Machine{}, codec: c, err: err,
		chosen: map[TxnID]bool{}, prepared: map[protocol.NodeID]map[TxnID]bool{},
		ended: map[TxnID]map[protocol.NodeID]bool{},
	}
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// factory makes watched machines that compact early, so that short runs meet
// checkpoints.
func (w *watcher) factory(every, kept uint64) sim.Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := newMachine(cfg, w.protocol, w.heard)
		if err != nil {
			return nil, err
		}
		if m.group != nil {
			m.group.group.Compact(every, kept)
		}
		m.every = int(every)
		w.nodes[cfg.Self] = m
		if w.prepared[cfg.Self] == nil {
			w.prepared[cfg.Self] = map[TxnID]bool{}
		}
		return m, nil
	}
}

// heard: one outcome for a transaction, in the group or by the sites, and a commit
// only when every participant has it prepared on its disk.
func (w *watcher) heard(t TxnID, v verdict) {
	if old, there := w.chosen[t]; there {
		if old != v.commit {
			w.fail("%v: the group chose %t and %t", t, old, v.commit)
		}
		return
	}
	w.chosen[t] = v.commit
	if !v.commit {
		return
	}
	w.commits++
	for id, commit := range w.ended[t] {
		if !commit {
			w.fail("%v: commit chosen, but %s has aborted", t, id)
		}
	}
	for _, id := range v.participants {
		if !w.prepared[id][t] {
			w.fail("%v: commit chosen, but %s is not prepared", t, id)
		}
	}
}

// observe takes note of what becomes durable.
func (w *watcher) observe(_ *sim.Cluster, e *sim.Event) {
	if e.Kind != sim.Persist {
		return
	}
	if e.Checkpoint != nil {
		var ck checkpoint
		var im shardImage
		if err := w.codec.mode.Unmarshal(e.Checkpoint, &ck); err != nil {
			w.fail("checkpoint of %s: %v", e.Node, err)
			return
		}
		if err := w.codec.mode.Unmarshal(ck.Shard, &im); err != nil {
			w.fail("checkpoint of %s: %v", e.Node, err)
			return
		}
		for i := range im.Prepared {
			w.prepared[e.Node][im.Prepared[i].T] = true
		}
		for _, d := range im.Dead {
			w.end(e.Node, d)
		}
	}
	for _, b := range e.Records {
		var r shardRecord
		if b[0] != partShards { // the group's, or a site's
			continue
		}
		if err := w.codec.mode.Unmarshal(b[1:], &r); err != nil {
			w.fail("record of %s: %v", e.Node, err)
			return
		}
		if r.Prepared != nil {
			w.prepared[e.Node][r.Prepared.T] = true
		}
		if r.Ended != nil {
			w.end(e.Node, *r.Ended)
		}
	}
}

// end: no shard commits what the group has not chosen to commit, and no two ends
// of one transaction differ.
func (w *watcher) end(node protocol.NodeID, d endedRecord) {
	if commit, there := w.chosen[d.T]; d.Commit && !commit || there && commit != d.Commit {
		w.fail("%s ends %v with commit=%t, the group chose %t (%t)",
			node, d.T, d.Commit, commit, there)
	}
	if w.ended[d.T] == nil {
		w.ended[d.T] = map[protocol.NodeID]bool{}
	}
	w.ended[d.T][node] = d.Commit
	for other, commit := range w.ended[d.T] {
		if commit != d.Commit {
			w.fail("%v: commit is %t at %s, %t at %s", d.T, d.Commit, node, commit, other)
		}
	}
}

// check is asked after every step: who has prepared holds its locks, restarted or not.
func (w *watcher) check(c *sim.Cluster) error {
	for _, n := range c.Nodes() {
		if !n.Up() {
			continue
		}
		m := w.nodes[n.ID()]
		for _, p := range m.shard.open {
			if !p.prepared {
				continue
			}
			for _, op := range p.writes {
				if exclusive, _ := m.shard.locks.held(op.Key, p.id); !exclusive {
					w.fail("%s: %v is prepared and has no lock on %q", n.ID(), p.id, op.Key)
				}
			}
		}
		for key, l := range m.shard.locks {
			for _, h := range l.holders {
				if h.exclusive && len(l.holders) > 1 {
					w.fail("%s: %q is locked by %v", n.ID(), key, l.holders)
				}
			}
		}
	}
	return w.err
}
