package paxos

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// twin is a dumb replica: it keeps every version of every key and the place of
// every command for ever, and knows nothing of windows, tables or snapshots.
type twin struct {
	versions map[string][]version
	// first places where a command took effect.
	sessions map[[2]uint64]uint64
	origins  map[identity]uint64
	low      map[protocol.NodeID]identity
	open     map[uint64]protocol.Time // when a session was used last
	now      protocol.Time
	replies  map[uint64]kv.Result
	last     kv.Result
}

type identity struct {
	node  protocol.NodeID
	epoch protocol.Epoch
	n     uint64
}

type version struct {
	slot  uint64
	items []string // a register's is the last, a counter's are summed up
}

func newTwin() *twin {
	return &twin{
		versions: map[string][]version{}, sessions: map[[2]uint64]uint64{},
		origins: map[identity]uint64{}, low: map[protocol.NodeID]identity{},
		open: map[uint64]protocol.Time{}, replies: map[uint64]kv.Result{},
	}
}

func (t *twin) apply(slot uint64, c kv.Command) {
	if c.Kind == kv.Tick {
		t.now += c.Elapsed
	}
	if c.Kind != kv.Op {
		return
	}
	t.last = t.op(slot, c)
	t.replies[slot] = t.last
}

func (t *twin) op(slot uint64, c kv.Command) kv.Result {
	if c.Session != 0 {
		return t.inSession(slot, c)
	}
	id := identity{node: c.Origin.Node, epoch: c.Origin.Epoch, n: c.Origin.N}
	low := t.low[id.node]
	if id.epoch < low.epoch || id.epoch == low.epoch && id.n < low.n {
		return kv.Result{Outcome: protocol.Unknown, Code: kv.CodeStale}
	}
	if first, done := t.origins[id]; done {
		return t.replies[first]
	}
	t.origins[id] = slot
	if low.epoch < id.epoch || low.n < c.Origin.Low {
		t.low[id.node] = identity{epoch: id.epoch, n: c.Origin.Low}
	}
	return t.effect(slot, c)
}

func (t *twin) inSession(slot uint64, c kv.Command) kv.Result {
	used, opened := t.open[c.Session]
	if !opened || t.now-used > kv.SessionTTL {
		delete(t.open, c.Session)
		return kv.Result{Outcome: protocol.Fail, Code: kv.CodeExpired}
	}
	t.open[c.Session] = t.now
	if first, done := t.sessions[[2]uint64{c.Session, c.Seq}]; done {
		for s := range t.sessions {
			if s[0] == c.Session && s[1] > c.Seq {
				return kv.Result{Outcome: protocol.Fail, Code: kv.CodeStale}
			}
		}
		return t.replies[first]
	}
	for s := range t.sessions {
		if s[0] == c.Session && s[1] > c.Seq {
			return kv.Result{Outcome: protocol.Fail, Code: kv.CodeStale}
		}
	}
	t.sessions[[2]uint64{c.Session, c.Seq}] = slot
	return t.effect(slot, c)
}

func (t *twin) effect(slot uint64, c kv.Command) kv.Result {
	if c.Object == "session" {
		t.open[slot] = t.now
		return kv.Result{Value: strconv.FormatUint(slot, 10)}
	}
	id := c.Object + "/" + c.Key
	var items []string
	if vs := t.versions[id]; len(vs) > 0 {
		items = slices.Clone(vs[len(vs)-1].items)
	}
	var r kv.Result
	switch c.F {
	case "write":
		items = []string{c.Value}
	case "cas":
		from, to, _ := strings.Cut(strings.Trim(c.Value, "[]"), ",")
		if last(items) != from {
			return kv.Result{Outcome: protocol.Fail, Code: kv.CodePrecondition}
		}
		items = []string{to}
	case "dequeue":
		if len(items) == 0 {
			return kv.Result{Outcome: protocol.Fail, Code: kv.CodeEmpty}
		}
		r.Value, items = items[0], items[1:]
	default: // add, append, enqueue
		if c.Object != "set" || !slices.Contains(items, c.Value) {
			items = append(items, c.Value)
		}
	}
	t.versions[id] = append(t.versions[id], version{slot: slot, items: items})
	return r
}

func last(items []string) string {
	if len(items) == 0 {
		return "null"
	}
	return items[len(items)-1]
}

// read is what a read sees after the slot.
func (t *twin) read(slot uint64, r protocol.Request) kv.Result {
	var items []string
	for _, v := range t.versions[r.Object+"/"+r.Key] {
		if v.slot <= slot {
			items = v.items
		}
	}
	switch r.Object {
	case "register":
		return kv.Result{Value: last(items)}
	case "counter":
		sum := 0
		for _, x := range items {
			n, _ := strconv.Atoi(x)
			sum += n
		}
		return kv.Result{Value: strconv.Itoa(sum)}
	default:
		return kv.Result{Value: "[" + strings.Join(items, ",") + "]"}
	}
}
