package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wal"
)

// logged is the disk of a node whose records go through a real log.
type logged struct {
	mem     *wal.Mem
	disk    *wal.Disk
	log     *wal.Log
	trouble wal.Trouble
	// hurt is set while something durable is lost and not repaired.
	hurt bool
}

const logDir = "wal"

// openLog recovers what a node's log holds. A node that cannot start now tries
// again later.
func (c *Cluster) openLog(n *Node) (wal.Recovered, bool) {
	l := &n.logged
	if l.mem == nil {
		l.mem = wal.NewMem()
	}
	l.disk = wal.NewDisk(l.mem, nil)
	l.disk.Set(l.trouble)
	opts := wal.Options{Salvage: c.opts.Salvages, Born: uint64(n.epoch)}
	log, rec, err := wal.Open(l.disk, logDir, opts.Planted(c.opts.Bugs))
	if err != nil {
		c.fault(n, "does not start: "+err.Error())
		l.mem = l.mem.Crash(wal.Some(c.rng))
		if !errors.Is(err, wal.ErrCorrupt) {
			c.after(c.faults.Last, func() { c.restart(n) })
		}
		return rec, false
	}
	l.log, l.hurt = log, rec.Damaged
	n.disk = disk{checkpoint: rec.Checkpoint, records: rec.Records}
	return rec, true
}

// write makes a Ready durable, in the order of target/server.
func (c *Cluster) write(n *Node, r *protocol.Ready) error {
	log := n.logged.log
	if r.Checkpoint != nil {
		if err := log.Checkpoint(r.Checkpoint); err != nil {
			return err
		}
	}
	if len(r.Records) > 0 {
		if err := log.Append(r.Records...); err != nil {
			return err
		}
		if !c.opts.Bugs.Has(bug.NoFsync) {
			if err := log.Sync(); err != nil {
				return err
			}
		}
	}
	if r.Repaired {
		if err := log.Repaired(); err != nil {
			return err
		}
		n.logged.hurt = false
	}
	return nil
}

// powerCut leaves of the log what a crash leaves, perhaps in the middle of what
// was being written.
func (c *Cluster) powerCut(n *Node) {
	l := &n.logged
	if r := n.syncing; r != nil && !n.synced {
		left := c.rng.IntN(16)
		l.mem.FailWith(func(wal.Op, string) error {
			if left--; left < 0 {
				return errors.New("power cut")
			}
			return nil
		})
		hurt := l.hurt
		if c.write(n, r) != nil { // whatever becomes of it
			l.hurt = hurt
		}
	}
	l.mem = l.mem.Crash(wal.Some(c.rng))
	l.log = nil
	// What there is now, without counting a start.
	opts := wal.Options{Salvage: c.opts.Salvages}
	_, rec, err := wal.Open(l.mem.Crash(wal.All()), logDir, opts.Planted(c.opts.Bugs))
	if err == nil {
		n.disk = disk{checkpoint: rec.Checkpoint, records: rec.Records}
	}
}

// flipBit changes one bit in the log of a node that is down, though not in its last
// frame. It reports whether there was something to change.
func (c *Cluster) flipBit(n *Node) bool {
	var logs []string
	names, err := n.logged.mem.List(logDir)
	if err != nil {
		return false
	}
	for _, name := range names {
		if strings.HasPrefix(name, "log-") {
			logs = append(logs, logDir+"/"+name)
		}
	}
	if len(logs) == 0 {
		return false
	}
	name := logs[len(logs)-1]
	content, err := n.logged.mem.ReadFile(name)
	if err != nil {
		return false
	}
	frames := wal.Frames(content)
	if len(frames) < 2 {
		return false
	}
	from, to := frames[0], frames[len(frames)-1]
	at := from + c.rng.Int64N(to-from)
	bit := byte(1) << c.rng.IntN(8)
	n.logged.mem.Corrupt(name, func(b []byte) []byte { b[at] ^= bit; return b })
	n.logged.hurt = true
	c.fault(n, fmt.Sprintf("bit flipped in %s at %d of %d", name, at, len(content)))
	return true
}

// injectDisk begins a fault of a disk.
func (c *Cluster) injectDisk(kind FaultKind, n *Node) {
	if !c.opts.Log {
		c.fail(fmt.Errorf("fault %s needs Options.Log", kind))
		return
	}
	last := c.between(c.faults.Last/4, c.faults.Last*7/4)
	set := func(t wal.Trouble, what string) {
		n.logged.trouble = t
		n.logged.disk.Set(t)
		if what != "" {
			c.fault(n, what)
		}
	}
	switch kind {
	case SyncError:
		set(wal.Trouble{SyncErrors: 1}, "the next sync fails")
		n.logged.trouble = wal.Trouble{}
	case FullDisk:
		set(wal.Trouble{Full: true}, "disk full")
		c.after(last, func() {
			if !c.healed {
				set(wal.Trouble{}, "disk has room again")
			}
		})
	case BitFlip:
		if slices.ContainsFunc(c.nodes, (*Node).lacks) {
			return // one bad disk at a time
		}
		c.crash(n)
		c.flipBit(n)
		c.restartAfter(n, last)
	}
}
