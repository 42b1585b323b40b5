package dmvcc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// The codes that only transactions have; the others are those of package kv.
const (
	codeConflict    = "conflict"
	codeNoTxn       = "no-such-txn"
	codeAborted     = "aborted"
	codeUnavailable = "unavailable"
	codeTimeout     = "timeout"
)

// txn is an open transaction of one of this node's clients.
type txn struct {
	id     uint64
	snap   Num
	writes map[string][]versions.Update
	bytes  int // of what it writes
	used   protocol.Time
}

// task is a client's request that is not answered yet.
type task struct {
	req      protocol.Request
	deadline protocol.Time
	steps    []kv.Step // of txn.run
	// snap is the snapshot, once the group has told it.
	snap     Num
	snapped  bool
	admitted bool
	// result is what the client gets if the commit succeeds.
	result kv.Result
	// num is the number, once it was given.
	num Num
	// after is the number that was in the way of a single operation, which begins
	// again when it is closed.
	after Num
}

// Submit takes over a request.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	k := &task{req: r, deadline: m.now + m.cfg.RequestTimeout}
	switch {
	case r.Object == "session" && r.F == "open":
		m.reply(r.ID, kv.Result{Value: "0"}) // there are none
	case r.Object == "txn":
		m.submitTxn(k)
	default:
		if res := versions.Check(r); res.Outcome != protocol.OK {
			m.reply(r.ID, res)
			return
		}
		if r.Txn == 0 {
			m.begin(k)
			return
		}
		if t := m.find(r); t != nil {
			m.reply(r.ID, m.perform(t, r))
		}
	}
}

func (m *Machine) submitTxn(k *task) {
	r := k.req
	switch r.F {
	case "begin":
		m.begin(k)
	case "run":
		steps, err := kv.ParseSteps(r.Value)
		switch {
		case err != nil:
			m.reply(r.ID, versions.Fail(kv.CodeBadRequest, "txn.run: %v", err))
		case len(r.Value) > versions.MaxData:
			m.reply(r.ID, versions.Fail(kv.CodeTooLarge, "more than %d bytes", versions.MaxData))
		case r.Txn != 0:
			m.reply(r.ID, versions.Fail(kv.CodeBadRequest, "txn.run in an open transaction"))
		default:
			k.steps = steps
			m.begin(k)
		}
	case "commit":
		if t := m.find(r); t != nil {
			m.tasks = append(m.tasks, k)
			m.commit(k, t)
		}
	case "abort":
		if t := m.find(r); t != nil {
			delete(m.txns, t.id)
			m.reply(r.ID, kv.Result{})
		}
	default:
		m.reply(r.ID, versions.Fail(kv.CodeNotSupported, "no operation txn.%s", r.F))
	}
}

// find returns the open transaction of a request, or replies that there is none.
func (m *Machine) find(r protocol.Request) *txn {
	t := m.txns[r.Txn]
	if t == nil {
		m.reply(r.ID, versions.Fail(codeNoTxn, "no open transaction %d", r.Txn))
		return nil
	}
	t.used = m.now
	return t
}

// begin asks the group for the watermark, which will be the snapshot. Read through
// the log, it covers everything that was acknowledged before.
func (m *Machine) begin(k *task) {
	m.tasks = append(m.tasks, k)
	m.snapshot(k)
}

func (m *Machine) snapshot(k *task) {
	if m.cfg.Bugs.Has(bug.DMVStaleMetadataRead) {
		// Planted: what this node knew a moment ago is good enough.
		k.snap, k.snapped = m.looked, true
		m.admit(k)
		return
	}
	m.ask("read", "", func(rep protocol.Reply) {
		n, err := strconv.ParseUint(rep.Value, 10, 64)
		if rep.Outcome != protocol.OK || err != nil || !slices.Contains(m.tasks, k) {
			return // the deadline ends it
		}
		k.snap, k.snapped = Num(n), true
		m.admit(k)
	})
}

// admit lets a transaction begin, if everything that it could read is here.
func (m *Machine) admit(k *task) {
	wait := m.mode == Quorum && m.lacks(k.snap)
	if m.cfg.Bugs.Has(bug.DMVQuorumPublishAnyNodeRead) {
		wait = false // planted: this node is as good as any other
	}
	if !k.snapped || k.admitted || wait {
		return
	}
	k.admitted = true
	m.nextTxn++
	t := &txn{
		id: uint64(m.cfg.Epoch)<<32 | m.nextTxn, snap: k.snap, used: m.now,
		writes: map[string][]versions.Update{},
	}
	m.txns[t.id] = t
	switch {
	case k.req.F == "begin" && k.req.Object == "txn":
		m.finish(k, kv.Result{Value: fmt.Sprint(t.id)})
	case k.steps != nil:
		for i := range k.steps {
			s := &k.steps[i]
			res, us := m.read(t, s.Key).Step(s)
			if res = m.write(t, s.Key, res, us); res.Outcome != protocol.OK {
				m.refuse(k, t, res)
				return
			}
		}
		k.result = kv.Result{Value: kv.FormatSteps(k.steps)}
		m.commit(k, t)
	default:
		if k.result = m.perform(t, k.req); k.result.Outcome != protocol.OK {
			m.refuse(k, t, k.result)
			return
		}
		m.commit(k, t)
	}
}

func (m *Machine) refuse(k *task, t *txn, res kv.Result) {
	delete(m.txns, t.id)
	m.finish(k, res)
}

// read returns what the transaction sees at the key.
func (m *Machine) read(t *txn, key string) versions.Value {
	v, _ := m.shard.store.At(key, t.snap)
	v = v.ApplyAll(t.writes[key])
	if m.saw != nil {
		m.saw(t, key, v.Read())
	}
	return v
}

// perform carries out one operation inside a transaction.
func (m *Machine) perform(t *txn, r protocol.Request) kv.Result {
	res, us := m.read(t, r.Key).Perform(r)
	return m.write(t, r.Key, res, us)
}

// write keeps updates for the commit; they have to fit one datagram together.
func (m *Machine) write(t *txn, key string, res kv.Result, us []versions.Update) kv.Result {
	if len(us) == 0 {
		return res
	}
	bytes := t.bytes
	for _, u := range us {
		bytes += len(key) + len(u.Arg) + 32
	}
	if bytes > versions.MaxData {
		return versions.Fail(kv.CodeTooLarge, "the transaction writes more than %d bytes",
			versions.MaxData)
	}
	t.bytes = bytes
	t.writes[key] = append(t.writes[key], us...)
	return res
}

// commit ends a transaction: at once if it has only read, else with a number.
func (m *Machine) commit(k *task, t *txn) {
	delete(m.txns, t.id)
	if len(t.writes) == 0 {
		m.finish(k, k.result)
		return
	}
	a := allocation{
		By: m.cfg.Self, Epoch: m.cfg.Epoch, Snap: t.snap,
		Keys: slices.Sorted(maps.Keys(t.writes)),
	}
	if m.cfg.Bugs.Has(bug.DMVNumberFromClock) {
		a.Num = Num(m.wall / 1000) // planted: microseconds since 1970
	}
	m.ask("alloc", marshal(a), func(rep protocol.Reply) {
		if !slices.Contains(m.tasks, k) {
			// The client has been told that there is no effect. The number, if there
			// is one, has no operation anywhere, and will be aborted.
			return
		}
		n, err := strconv.ParseUint(rep.Value, 10, 64)
		switch {
		case rep.Code == codeConflict && k.req.Object != "txn" && err == nil:
			// Nobody has seen what a single operation has read: it can be done again,
			// on a snapshot that has what was in the way.
			k.after, k.snapped, k.admitted = Num(n), false, false
		case rep.Outcome == protocol.Fail:
			m.finish(k, kv.Result{Outcome: rep.Outcome, Code: rep.Code, Error: rep.Error})
		case rep.Outcome == protocol.OK && err == nil:
			k.num = Num(n)
			m.coordinate(k, t)
		}
	})
}

// settle answers what can be answered: begins whose snapshot is here now, and
// commits whose number the watermark has reached.
func (m *Machine) settle() {
	meta := m.meta()
	for _, k := range slices.Clone(m.tasks) {
		known := meta.mark
		if m.cfg.Bugs.Has(bug.DMVStaleMetadataRead) {
			known = m.looked
		}
		if k.after != 0 && k.after <= known {
			k.after = 0
			m.snapshot(k)
		}
		if k.num == 0 {
			m.admit(k)
			continue
		}
		reached := k.num <= meta.mark
		if m.cfg.Bugs.Has(bug.DMVAckBeforeWatermark) {
			reached = true // planted: its own number is recorded, that will do
		}
		switch fate := meta.fate(k.num); {
		case fate == aborted:
			m.finish(k, versions.Fail(codeAborted, "number %d was aborted", k.num))
		case fate == complete && reached:
			if m.done != nil {
				m.done(k.req.ID, k.num)
			}
			m.finish(k, k.result)
		}
	}
}

// tickTasks gives up what is overdue.
func (m *Machine) tickTasks() {
	m.settle()
	for _, k := range slices.Clone(m.tasks) {
		if m.now < k.deadline {
			continue
		}
		res := versions.Fail(codeUnavailable, "the group did not answer in time")
		if k.num != 0 {
			// Its operations are under way, and somebody may complete it.
			res = kv.Result{Outcome: protocol.Unknown, Code: codeTimeout, Error: "not closed in time"}
			switch {
			case m.cfg.Bugs.Has(bug.TimeoutAsFail):
				res.Outcome, res.Code = protocol.Fail, "not-committed"
			case m.cfg.Bugs.Has(bug.ErrorAsOK):
				res = k.result
			}
		} else if k.req.F == "commit" {
			res.Code = codeAborted
		}
		m.finish(k, res)
	}
}

func (m *Machine) finish(k *task, res kv.Result) {
	m.tasks = slices.DeleteFunc(m.tasks, func(x *task) bool { return x == k })
	m.reply(k.req.ID, res)
}

func (m *Machine) reply(id protocol.RequestID, res kv.Result) {
	m.out.Replies = append(m.out.Replies, protocol.Reply{
		ID: id, Outcome: res.Outcome, Value: res.Value, Code: res.Code, Error: res.Error,
	})
}
