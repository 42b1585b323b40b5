package commit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	ms = protocol.Time(1e6)
	// askAfter is how long a shard hears nothing of a transaction before it asks
	// the home, and how long between two questions.
	askAfter = 300 * ms
	// doubtAfter is how long the home of a prepared transaction may be silent
	// before the shard turns to the coordinator group.
	doubtAfter = 1000 * ms
	// dropAfter is how long a transaction without a vote outlives its home's silence.
	dropAfter = 3000 * ms
)

// shard is a participant: it keeps the data of some keys, and locks on them.
type shard struct {
	self  protocol.NodeID
	epoch protocol.Epoch
	bugs  bug.Set
	out   *outbox
	now   protocol.Time

	data map[string]cell
	// open are the transactions under way here, dead those that have ended and of
	// which messages may still arrive.
	open map[TxnID]*part
	dead map[TxnID]*end
	// fences tell, for each home, what is too old to be taken up.
	fences map[protocol.NodeID]fence
	locks  lockTable
	// dirty are the keys whose waiters are to be looked at.
	dirty []string
	// resolve asks the coordinator group for the outcome of a prepared transaction.
	resolve func(t TxnID, participants []protocol.NodeID)
}

// part is this shard's part of a transaction.
type part struct {
	id      TxnID
	age     uint64
	session uint64
	// queue holds the operations not carried out; the first waits for its lock.
	queue []queued
	// done holds the results by the operations' numbers.
	done map[uint64]kv.Result
	// view is what the transaction's own writes make of the data, writes what they are.
	view   map[string]cell
	writes []operation
	keys   []string // locked

	// vote is the request to vote, once it has come, results those of the
	// operations that came with it.
	vote     *prepare
	results  []kv.Result
	prepared bool
	restored bool // from the disk, prepared

	heard, asked protocol.Time
}

type queued struct {
	// as is the transaction that the operation was sent for.
	as     TxnID
	number uint64 // 0: came with prepare
	op     operation
	first  bool // and the transaction had no lock anywhere
}

// end is how a transaction ended. writes are kept for a planted bug only.
type end struct {
	commit bool
	writes []operation
}

// fence: of a home, only transactions of this epoch from low on are taken up.
type fence struct {
	_     struct{} `cbor:",toarray"`
	Epoch protocol.Epoch
	Low   uint64
}

func newShard(cfg protocol.Config, out *outbox) *shard {
	return &shard{
		self: cfg.Self, epoch: cfg.Epoch, bugs: cfg.Bugs, out: out,
		data: map[string]cell{}, open: map[TxnID]*part{}, dead: map[TxnID]*end{},
		fences: map[protocol.NodeID]fence{}, locks: lockTable{},
	}
}

// below reports whether the transaction is too old to be taken up.
func (f fence) below(t TxnID) bool {
	return t.Epoch < f.Epoch || t.Epoch == f.Epoch && t.N < f.Low
}

// raise learns from a message of the home what is over there. What had no vote
// will not be asked for it, and how it ended need not be known any more.
func (s *shard) raise(t TxnID, low uint64) {
	f := s.fences[t.Home]
	if f.below(TxnID{Epoch: t.Epoch, N: low}) || f == (fence{Epoch: t.Epoch, Low: low}) {
		return
	}
	f = fence{Epoch: t.Epoch, Low: low}
	s.fences[t.Home] = f
	maps.DeleteFunc(s.dead, func(d TxnID, _ *end) bool { return d.Home == t.Home && f.below(d) })
	for _, p := range s.inOrder() {
		if p.id.Home == t.Home && f.below(p.id) && !p.prepared {
			s.drop(p)
		}
	}
}

// over reports whether the transaction has ended here, or may have.
func (s *shard) over(t TxnID) bool { return s.dead[t] != nil || s.fences[t.Home].below(t) }

// inOrder lists the open transactions, the oldest first.
func (s *shard) inOrder() []*part {
	return slices.SortedFunc(maps.Values(s.open),
		func(a, b *part) int { return a.id.compare(b.id) })
}

func (s *shard) begin(t TxnID, age, session uint64) *part {
	p := &part{
		id: t, age: age, session: session, done: map[uint64]kv.Result{}, view: map[string]cell{},
		heard: s.now, asked: s.now,
	}
	s.open[t] = p
	return p
}

// onOperate takes up an operation of an open transaction.
func (s *shard) onOperate(from protocol.NodeID, o *operate) {
	s.raise(o.T, o.Low)
	p := s.open[o.T]
	if s.bugs.Has(bug.TwoPCLateOp) {
		// Planted: the operation names the session only, and joins whatever
		// transaction of it is open here.
		if q := s.inSession(o); q != nil {
			p = q
		}
	}
	if p == nil && o.ShardEpoch == 0 && !s.over(o.T) {
		p = s.begin(o.T, o.T.N, o.Session)
	}
	if p == nil || o.ShardEpoch != 0 && o.ShardEpoch != s.epoch {
		// It ended here, or it began in another life of this shard.
		s.reply(from, o.T, o.Number, refuse(codeAborted, "the transaction is not open at its shard"))
		return
	}
	p.heard = s.now
	if r, done := p.done[o.Number]; done {
		s.reply(from, o.T, o.Number, r)
		return
	}
	same := func(q queued) bool { return q.number == o.Number }
	if p.vote != nil || slices.ContainsFunc(p.queue, same) {
		return // a late copy
	}
	s.enqueue(p, queued{as: o.T, number: o.Number, op: o.Op, first: o.First})
}

func (s *shard) inSession(o *operate) *part {
	for _, p := range s.inOrder() {
		if p.id.life() == o.T.life() && p.session == o.Session && p.vote == nil {
			return p
		}
	}
	return nil
}

func (s *shard) reply(to protocol.NodeID, t TxnID, number uint64, r kv.Result) {
	if len(r.Value) > resultBytes {
		r = refuse(kv.CodeTooLarge,
			"the result has %d bytes, at most %d fit", len(r.Value), resultBytes)
	}
	s.out.send(to, kindAnswer, &answer{T: t, Number: number, Result: r})
}

// enqueue lets the operations wait for their locks, one after the other.
func (s *shard) enqueue(p *part, qs ...queued) {
	idle := len(p.queue) == 0
	p.queue = append(p.queue, qs...)
	if idle {
		s.wantNext(p)
	}
}

func (s *shard) wantNext(p *part) {
	q := p.queue[0]
	op := q.op
	s.locks.want(op.Key, wait{
		hold:  hold{txn: p.id, age: p.age, exclusive: !op.isRead()},
		empty: q.first && len(p.keys) == 0,
	})
	p.keys = append(p.keys, op.Key)
	s.dirty = append(s.dirty, op.Key)
}

// settle grants what can be granted. A new holder may be older than one who waits,
// so a key is looked at until nothing changes.
func (s *shard) settle() {
	var ignore func(w, h hold) bool
	if s.bugs.Has(bug.TwoPCReadThroughPrepared) {
		// Planted: a read does not wait for a prepared transaction, and sees what
		// was there before it.
		ignore = func(w, h hold) bool {
			p := s.open[h.txn]
			return !w.exclusive && p != nil && p.prepared
		}
	}
	for len(s.dirty) > 0 {
		t, granted, ok := s.locks.next(s.dirty[0], ignore)
		p := s.open[t]
		switch {
		case !ok:
			s.dirty = s.dirty[1:]
		case p == nil || len(p.queue) == 0:
			s.locks.release(s.dirty[0], t) // cannot be: a waiter is open
		case granted:
			s.proceed(p)
		default:
			s.die(p)
		}
	}
}

// proceed carries out the operation whose lock was granted.
func (s *shard) proceed(p *part) {
	q := p.queue[0]
	p.queue = p.queue[1:]
	c, seen := p.view[q.op.Key]
	if !seen {
		c = s.data[q.op.Key]
	}
	c, r := c.apply(q.op)
	if r.Outcome == protocol.OK && !q.op.isRead() {
		p.view[q.op.Key] = c
		p.writes = append(p.writes, q.op)
	}
	switch {
	case q.number != 0:
		p.done[q.number] = r
		s.reply(p.id.Home, q.as, q.number, r)
	case r.Outcome != protocol.OK:
		s.voteNo(p, r)
		return
	default:
		p.results = append(p.results, r)
	}
	switch {
	case len(p.queue) > 0:
		s.wantNext(p)
	case p.vote != nil:
		s.voteYes(p)
	}
}

// die ends a transaction that would have to wait for an older one.
func (s *shard) die(p *part) {
	r := refuse(codeAborted, "an older transaction holds the lock on %q", p.queue[0].op.Key)
	if p.vote != nil {
		s.voteNo(p, r)
		return
	}
	q := p.queue[0]
	s.finish(p.id, false)
	s.reply(p.id.Home, q.as, q.number, r)
}

// onPrepare votes, or begins to work for it.
func (s *shard) onPrepare(_ protocol.NodeID, v *prepare) {
	s.raise(v.T, v.Low)
	p := s.open[v.T]
	if p != nil {
		p.heard = s.now
	}
	switch {
	case p == nil && len(v.Ops) > 0 && v.ShardEpoch == 0 && !s.refused(v.T):
		p = s.begin(v.T, v.Age, 0)
		p.vote = v
		var qs []queued
		for _, op := range v.Ops {
			qs = append(qs, queued{as: v.T, op: op, first: len(v.Participants) == 1})
		}
		s.enqueue(p, qs...)
	case p == nil:
		s.voteNo(&part{id: v.T}, refuse(codeAborted, "the transaction is not open at its shard"))
	case p.prepared:
		s.sendYes(p)
	case p.vote != nil || len(p.queue) > 0:
		// A copy, while the first one is worked for.
	case v.ShardEpoch != s.epoch:
		s.voteNo(p, refuse(codeAborted, "the shard has restarted"))
	default:
		p.vote = v
		s.voteYes(p)
	}
}

// refused reports whether a prepare for a transaction that is not known here comes
// too late: after its abort, which left a tombstone, or later still.
func (s *shard) refused(t TxnID) bool {
	if s.bugs.Has(bug.TwoPCOrphanPrepare) {
		return s.dead[t] != nil // planted: and an abort leaves nothing here
	}
	return s.over(t)
}

// voteYes prepares. Everything that a commit needs is durable before the vote leaves.
func (s *shard) voteYes(p *part) {
	if size := resultSize(p.results); size > resultBytes {
		s.voteNo(p, refuse(kv.CodeTooLarge,
			"the results have %d bytes, at most %d fit", size, resultBytes))
		return
	}
	if p.vote.Once {
		s.sendYes(p)
		s.drop(p) // a single read is over with its result
		return
	}
	p.prepared, p.heard, p.asked = true, s.now, s.now
	if !s.bugs.Has(bug.TwoPCVoteBeforeLog) {
		s.persist(shardRecord{Prepared: s.image(p)})
	}
	s.sendYes(p)
	if s.bugs.Has(bug.TwoPCUnlockAtPrepare) {
		s.unlock(p) // planted: the vote ends the transaction for the locks
	}
}

func resultSize(rs []kv.Result) int {
	n := 0
	for _, r := range rs {
		n += len(r.Value) + 20
	}
	return n
}

func (s *shard) sendYes(p *part) {
	s.out.send(p.id.Home, kindVote, &vote{T: p.id, Yes: true, Results: p.results})
}

// voteNo aborts. The tombstone is durable before the vote leaves, so that a late
// copy of the question gets the same answer.
func (s *shard) voteNo(p *part, why kv.Result) {
	if !s.over(p.id) {
		s.finish(p.id, false)
	}
	s.out.send(p.id.Home, kindVote, &vote{T: p.id, Why: why})
}

// onDecision carries out the outcome and acknowledges it, once or again.
func (s *shard) onDecision(from protocol.NodeID, d *decision) {
	p, e := s.open[d.T], s.dead[d.T]
	switch {
	case p != nil:
		s.finish(d.T, d.Commit)
	case e != nil && d.Commit && s.bugs.Has(bug.TwoPCCommitNotIdempotent):
		// Planted: the writes are applied once more.
		s.persist(shardRecord{Ended: &endedRecord{T: d.T, Commit: true}})
		s.applyAll(e.writes)
	case e == nil && !d.Commit && !s.over(d.T) && !s.bugs.Has(bug.TwoPCOrphanPrepare):
		s.finish(d.T, false) // a tombstone: its prepare may still be on the way
	}
	s.out.send(from, kindAck, &ack{T: d.T})
}

// finish ends a transaction: durable first, as everything of a Ready.
func (s *shard) finish(t TxnID, commit bool) {
	p := s.open[t]
	if p != nil && p.prepared && commit && s.bugs.Has(bug.TwoPCVoteBeforeLog) {
		s.persist(shardRecord{Prepared: s.image(p)}) // planted: only now
	}
	s.persist(shardRecord{Ended: &endedRecord{T: t, Commit: commit}})
	s.end(t, commit)
}

// end is what finish and its replay have in common.
func (s *shard) end(t TxnID, commit bool) {
	e := &end{commit: commit}
	if p := s.open[t]; p != nil {
		if commit {
			s.applyAll(p.writes)
			if s.bugs.Has(bug.TwoPCCommitNotIdempotent) {
				e.writes = p.writes
			}
		}
		s.drop(p)
	}
	if !s.fences[t.Home].below(t) {
		s.dead[t] = e
	}
}

// applyAll makes the writes count. They were tried under their locks, so they succeed.
func (s *shard) applyAll(writes []operation) {
	for _, op := range writes {
		s.data[op.Key], _ = s.data[op.Key].apply(op)
	}
}

// drop takes the transaction off the shard, without a trace.
func (s *shard) drop(p *part) {
	s.unlock(p)
	delete(s.open, p.id)
}

func (s *shard) unlock(p *part) {
	for _, key := range p.keys {
		s.locks.release(key, p.id)
		s.dirty = append(s.dirty, key)
	}
	p.keys = nil
}

// onStanding hears from the home that it has no outcome.
func (s *shard) onStanding(st *standing) {
	p := s.open[st.T]
	switch {
	case p == nil:
	case st.Known:
		p.heard = s.now
	case !p.prepared:
		s.finish(p.id, false) // the home has given it up, and we have promised nothing
	default:
		s.doubt(p)
	}
}

// doubt turns to the coordinator group. A shard that has voted yes never decides
// by itself, however long it takes.
func (s *shard) doubt(p *part) { s.resolve(p.id, p.vote.Participants) }

// resolved hears from the group.
func (s *shard) resolved(t TxnID, says string) {
	p := s.open[t]
	switch {
	case p == nil || !p.prepared:
	case says == saysOver && s.bugs.Has(bug.TwoPCForgetAfterFirstAck):
		s.finish(t, false) // planted: what the group has forgotten was aborted
	case says != saysOver:
		s.finish(t, says == saysCommit)
	}
}

// tick asks for transactions that have not been heard of.
func (s *shard) tick() {
	for _, p := range s.inOrder() {
		silent := s.now - p.heard
		if p.prepared && s.bugs.Has(bug.TwoPCNeverResolves) {
			continue // planted: somebody will tell, some day
		}
		switch {
		case p.prepared && silent >= 2*askAfter && s.bugs.Has(bug.TwoPCTimeoutAbort):
			s.finish(p.id, false) // planted: decides alone
		case p.prepared && silent >= doubtAfter:
			s.doubt(p)
		case !p.prepared && silent >= dropAfter:
			s.finish(p.id, false)
		case silent >= askAfter && s.now-p.asked >= askAfter:
			p.asked = s.now
			s.out.send(p.id.Home, kindInquiry, &inquiry{T: p.id})
		}
	}
}

// keysOf lists the locks of a transaction, sorted, each once.
func (s *shard) keysOf(p *part) []lockImage {
	var ls []lockImage
	for _, key := range p.keys {
		if exclusive, ok := s.locks.held(key, p.id); ok {
			ls = append(ls, lockImage{Key: key, Exclusive: exclusive})
		}
	}
	slices.SortFunc(ls, func(a, b lockImage) int { return cmp.Compare(a.Key, b.Key) })
	return slices.CompactFunc(ls, func(a, b lockImage) bool { return a.Key == b.Key })
}
