package dmvcc

import (
	"encoding/json"
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
	id   uint64
	snap Num
	// marks are what is known of the nodes.
	marks  map[protocol.NodeID]mark
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
	snap    Num
	snapped bool
	// txn is the transaction, keys are what has to be read for the task, and base what
	// was found. Asked and since are when it was asked for, last and first; reading ends
	// with the last key.
	txn          *txn
	keys         []string
	base         map[string]versions.Value
	asked, since protocol.Time
	reading      bool
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
	case r.Object == "admin" && r.F == "move" && m.mode == Quorum:
		m.move(k)
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
			m.tasks = append(m.tasks, k)
			m.read(k, t, r.Key)
		}
	}
}

// move gives a shard to another node, through the log.
func (m *Machine) move(k *task) {
	var mv moving
	err := json.Unmarshal([]byte(k.req.Value), &mv)
	if err != nil || mv.Shard < 0 || mv.Shard >= shardCount ||
		!slices.Contains(m.cfg.Members, mv.To) {
		m.reply(k.req.ID, versions.Fail(kv.CodeBadRequest,
			"admin.move wants a shard from 0 to %d and a member to give it to", shardCount-1))
		return
	}
	m.tasks = append(m.tasks, k)
	m.ask("move", marshal(mv), func(rep protocol.Reply) {
		if slices.Contains(m.tasks, k) {
			m.finish(k, kv.Result{
				Outcome: rep.Outcome, Value: rep.Value, Code: rep.Code, Error: rep.Error,
			})
		}
	})
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

// admit lets a transaction begin.
func (m *Machine) admit(k *task) {
	m.nextTxn++
	t := &txn{
		id: uint64(m.cfg.Epoch)<<32 | m.nextTxn, snap: k.snap, used: m.now,
		marks: map[protocol.NodeID]mark{}, writes: map[string][]versions.Update{},
	}
	m.txns[t.id] = t
	if k.req.F == "begin" && k.req.Object == "txn" {
		m.finish(k, kv.Result{Value: fmt.Sprint(t.id)})
		return
	}
	keys := []string{k.req.Key}
	if k.steps != nil {
		keys = nil
		for _, s := range k.steps {
			keys = append(keys, s.Key)
		}
	}
	m.read(k, t, keys...)
}

// read begins to read what a task needs.
func (m *Machine) read(k *task, t *txn, keys ...string) {
	k.txn, k.keys, k.reading = t, keys, true
	k.base, k.asked, k.since = map[string]versions.Value{}, 0, 0
	m.proceed(k)
}

// proceed carries a task out once everything is read that it needs.
func (m *Machine) proceed(k *task) {
	t := k.txn
	if m.txns[t.id] != t {
		m.finish(k, versions.Fail(codeNoTxn, "no open transaction %d", t.id))
		return
	}
	if !m.gather(k) {
		return
	}
	k.reading = false
	switch {
	case k.req.Txn != 0:
		m.finish(k, m.perform(k))
	case k.steps != nil:
		for i := range k.steps {
			s := &k.steps[i]
			res, us := m.value(k, s.Key).Step(s)
			if res = m.write(t, s.Key, res, us); res.Outcome != protocol.OK {
				m.refuse(k, t, res)
				return
			}
		}
		k.result = kv.Result{Value: kv.FormatSteps(k.steps)}
		m.commit(k, t)
	default:
		if k.result = m.perform(k); k.result.Outcome != protocol.OK {
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

// value returns what a task's transaction sees at a key that has been read.
func (m *Machine) value(k *task, key string) versions.Value {
	v := k.base[key].ApplyAll(k.txn.writes[key])
	if m.saw != nil {
		m.saw(k.txn, key, v.Read())
	}
	return v
}

// perform carries out a single operation inside its transaction.
func (m *Machine) perform(k *task) kv.Result {
	res, us := m.value(k, k.req.Key).Perform(k.req)
	return m.write(k.txn, k.req.Key, res, us)
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
			k.after, k.snapped = Num(n), false
		case rep.Outcome == protocol.Fail:
			m.finish(k, kv.Result{Outcome: rep.Outcome, Code: rep.Code, Error: rep.Error})
		case rep.Outcome == protocol.OK && err == nil:
			k.num = Num(n)
			m.coordinate(k, t)
		}
	})
}

// settle goes on with what can go on: reads of what is here now, and commits whose
// number the watermark has reached.
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
		if k.reading {
			m.proceed(k)
		}
		if k.num == 0 {
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
		switch {
		case k.req.Object == "admin":
			res = kv.Result{Outcome: protocol.Unknown, Code: codeTimeout, Error: "not done in time"}
		case k.reading && k.req.Txn == 0:
			delete(m.txns, k.txn.id)
		case k.reading:
			res = versions.Fail(codeUnavailable, "key %q was not read in time", k.req.Key)
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
