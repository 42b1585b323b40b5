package commit

import (
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// resendAfter is how long the home waits for a shard's answer.
	resendAfter = 100 * ms
	// idleTimeouts is how many request timeouts an open transaction waits for its
	// client. Its locks are in the way of others meanwhile.
	idleTimeouts = 4
)

// home is where clients begin transactions. It is their coordinator, up to the
// decision, which it leaves to the group.
type home struct {
	self    protocol.NodeID
	epoch   protocol.Epoch
	members []protocol.NodeID
	bugs    bug.Set
	out     *outbox
	timeout protocol.Time
	now     protocol.Time

	// clock is the greatest transaction number seen, of anybody.
	clock   uint64
	numbers uint64 // of operations
	// txns are those of this life that are not over.
	txns map[uint64]*txn

	// propose hands the wanted outcome to whoever decides, which calls decided.
	propose func(t *txn)
	// patient homes tell shards to wait while a decision is being made. Where the
	// sites can make it without the home, they shall not wait for it.
	patient bool
	// drive tells the participants the outcome, until all have acknowledged.
	drive func(t TxnID, commit bool, participants []protocol.NodeID)
}

type txnState uint8

const (
	running  txnState = iota // takes operations
	voting                   // prepare was sent
	deciding                 // the wanted outcome was proposed
	ended                    // the outcome is known
)

// txn is a transaction at its home.
type txn struct {
	id      TxnID
	session uint64
	state   txnState
	// parts holds, for each shard asked, the life of it that the transaction
	// began in, 0 until it has answered.
	parts map[protocol.NodeID]protocol.Epoch
	req   *pending // the client's request under way
	used  protocol.Time

	// A transaction in one request: its operations, and for each its shard.
	ops   []operation
	steps []kv.Step // what was asked, unless it was a single operation
	once  bool
	// age is the number of the first attempt; one that was aborted for the sake
	// of an older transaction is followed by another, at startAt.
	age      uint64
	attempts uint
	startAt  protocol.Time

	voteBy protocol.Time
	sent   protocol.Time
	votes  map[protocol.NodeID][]kv.Result
	// commit is the outcome wanted, and in the end the outcome.
	commit bool
	// early: the participants were told before the decision (a planted bug).
	early bool
}

// pending is a request that has no reply yet.
type pending struct {
	id       protocol.RequestID
	deadline protocol.Time
	number   uint64
	op       operation
	first    bool // of its transaction
	sent     protocol.Time
}

func (t *txn) participants() []protocol.NodeID {
	var ids []protocol.NodeID
	for id := range t.parts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (h *home) reply(id protocol.RequestID, r kv.Result) {
	if r.Outcome == protocol.OK && r.Value == "" {
		r.Value = "null"
	}
	h.out.replies = append(h.out.replies, protocol.Reply{
		ID: id, Outcome: r.Outcome, Value: r.Value, Code: r.Code, Error: r.Error,
	})
}

// finish answers the request under way, if there is one.
func (h *home) finish(t *txn, r kv.Result) {
	if t.req != nil {
		h.reply(t.req.id, r)
		t.req = nil
	}
}

// low is the lowest number of this life that is not over. What is below has an
// outcome that every participant has acknowledged, or was never voted on.
func (h *home) low() uint64 {
	low := h.clock + 1
	for n := range h.txns {
		low = min(low, n)
	}
	return low
}

// begin opens a transaction. Its session is the lowest that no other open one has.
func (h *home) begin() *txn {
	h.clock++
	t := &txn{
		id:    TxnID{Home: h.self, Epoch: h.epoch, N: h.clock},
		parts: map[protocol.NodeID]protocol.Epoch{}, used: h.now, age: h.clock,
	}
	taken := map[uint64]bool{}
	for _, o := range h.txns {
		taken[o.session] = taken[o.session] || o.state < ended
	}
	for t.session = 1; taken[t.session]; t.session++ {
	}
	h.txns[t.id.N] = t
	return t
}

// find returns the transaction of this life that a message is about, nil if none.
func (h *home) find(id TxnID) *txn {
	if id.Home != h.self || id.Epoch != h.epoch {
		return nil
	}
	return h.txns[id.N]
}

// inOrder lists the transactions, the oldest first.
func (h *home) inOrder() []*txn {
	ts := make([]*txn, 0, len(h.txns))
	for _, t := range h.txns {
		ts = append(ts, t)
	}
	slices.SortFunc(ts, func(a, b *txn) int { return a.id.compare(b.id) })
	return ts
}

// submit takes over a client's request.
func (h *home) submit(r protocol.Request) {
	switch name := r.Object + "." + r.F; {
	case name == "session.open":
		h.reply(r.ID, kv.Result{Value: "0"}) // there are none
	case name == "txn.begin" && r.Txn == 0:
		h.reply(r.ID, kv.Result{Value: formatUint(handle(h.begin().id))})
	case name == "txn.run" && r.Txn == 0:
		h.run(r)
	case r.Txn != 0:
		h.inTxn(r)
	default:
		op, refusal := operationOf(r)
		if refusal.Outcome != protocol.OK {
			h.reply(r.ID, refusal)
			return
		}
		t := h.begin()
		t.ops, t.once = []operation{op}, op.isRead()
		h.vote(t, r.ID)
	}
}

// run begins a transaction that is one request: its operations go out with the
// request to vote, to all shards at once.
func (h *home) run(r protocol.Request) {
	steps, err := kv.ParseSteps(r.Value)
	if err != nil {
		h.reply(r.ID, refuse(kv.CodeBadRequest, "txn.run: %v", err))
		return
	}
	t := h.begin()
	t.steps, t.ops = steps, operationsOf(steps)
	h.vote(t, r.ID)
}

// inTxn takes a request of an open transaction.
func (h *home) inTxn(r protocol.Request) {
	t := h.txns[r.Txn&(1<<handleBits-1)]
	switch {
	case t == nil || handle(t.id) != r.Txn || t.state == ended:
		h.reply(r.ID, refuse(codeNoSuchTxn, "no transaction %d is open here", r.Txn))
	case t.state != running || t.req != nil || t.ops != nil:
		h.reply(r.ID, refuse(kv.CodeBadRequest, "transaction %d is busy", r.Txn))
	case r.Object != "txn":
		h.operate(t, r)
	case r.F == "abort":
		h.giveUp(t)
		h.reply(r.ID, kv.Result{})
	case r.F == "commit" && len(t.parts) == 0:
		h.giveUp(t) // nothing was done
		h.reply(r.ID, kv.Result{})
	case r.F == "commit":
		h.vote(t, r.ID)
	default:
		h.reply(r.ID, refuse(kv.CodeNotSupported, "no operation txn.%s in a transaction", r.F))
	}
}

// operate sends an operation to its shard.
func (h *home) operate(t *txn, r protocol.Request) {
	op, refusal := operationOf(r)
	if refusal.Outcome != protocol.OK {
		h.reply(r.ID, refusal)
		return
	}
	h.numbers++
	t.used = h.now
	t.req = &pending{id: r.ID, deadline: h.now + h.timeout, number: h.numbers, op: op}
	h.sendOperation(t)
}

func (h *home) sendOperation(t *txn) {
	to := shardOf(h.members, t.req.op.Key)
	if len(t.parts) == 0 {
		t.req.first = true
	}
	t.parts[to] += 0 // from now on it takes part
	t.req.sent = h.now
	h.out.send(to, kindOperate, &operate{
		T: t.id, Session: t.session, Low: h.low(), ShardEpoch: t.parts[to],
		Number: t.req.number, Op: t.req.op, First: t.req.first,
	})
}

// onAnswer takes the result of an operation. A shard that answers in another life
// than before has forgotten a part of the transaction.
func (h *home) onAnswer(from protocol.NodeID, epoch protocol.Epoch, a *answer) {
	t := h.find(a.T)
	if t == nil || t.state != running || t.req == nil || t.ops != nil ||
		t.req.number != a.Number {
		return
	}
	if e := t.parts[from]; a.Result.Code == codeAborted || e != 0 && e != epoch {
		h.finish(t, refuse(codeAborted, "shard %s: %s", from, orElse(a.Result.Error, "it restarted")))
		h.giveUp(t)
		return
	}
	t.parts[from] = epoch
	t.used = h.now
	h.finish(t, a.Result)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// giveUp ends a transaction that nobody was asked to vote on. The shards need not
// hear of it: they ask, and whom the home does not know was never committed.
func (h *home) giveUp(t *txn) {
	for _, id := range t.participants() {
		h.out.send(id, kindDecision, &decision{T: t.id})
	}
	delete(h.txns, t.id.N)
}

// vote asks the shards to vote.
func (h *home) vote(t *txn, id protocol.RequestID) {
	for _, op := range t.ops {
		t.parts[shardOf(h.members, op.Key)] = 0
	}
	t.req = &pending{id: id, deadline: h.now + h.timeout}
	h.startVote(t)
}

// startVote leaves a quarter of the time for the decision.
func (h *home) startVote(t *txn) {
	t.state, t.votes = voting, map[protocol.NodeID][]kv.Result{}
	t.voteBy = t.req.deadline - h.timeout/4
	h.sendPrepares(t)
}

// again makes a new attempt at a transaction that is one request, as old as the
// first one. Its operations have had no effect.
func (h *home) again(t *txn) {
	u := h.begin()
	u.req, t.req = t.req, nil
	u.ops, u.steps, u.once, u.age = t.ops, t.steps, t.once, t.age
	for id := range t.parts {
		u.parts[id] = 0
	}
	u.attempts = t.attempts + 1
	u.startAt = h.now + 5*ms<<min(u.attempts, 5) + protocol.Time(u.id.N%8)*ms
}

func (h *home) sendPrepares(t *txn) {
	t.sent = h.now
	all := t.participants()
	for _, id := range all {
		if _, voted := t.votes[id]; voted {
			continue
		}
		v := &prepare{
			T: t.id, Age: t.age, Low: h.low(), ShardEpoch: t.parts[id],
			Participants: all, Once: t.once,
		}
		for _, op := range t.ops {
			if shardOf(h.members, op.Key) == id {
				v.Ops = append(v.Ops, op)
			}
		}
		h.out.send(id, kindPrepare, v)
	}
}

// onVote counts. Only the votes of all, each of them yes, let the home want a commit.
func (h *home) onVote(from protocol.NodeID, v *vote) {
	t := h.find(v.T)
	if t == nil || t.state != voting {
		return
	}
	if _, takesPart := t.parts[from]; !takesPart {
		return
	}
	if !v.Yes {
		h.want(t, false, v.Why)
		return
	}
	if v.Results == nil {
		v.Results = []kv.Result{}
	}
	t.votes[from] = v.Results
	switch {
	case len(t.votes) < len(t.parts):
	case t.once:
		h.finish(t, h.result(t))
		delete(h.txns, t.id.N)
	default:
		h.want(t, true, kv.Result{})
	}
}

// want proposes the outcome. An abort is certain as soon as the home wants it, for
// nobody else ever proposes to commit; so neither the client nor the shards need to
// wait for the group.
func (h *home) want(t *txn, commit bool, why kv.Result) {
	if !commit {
		if why.Code == codeAborted && t.ops != nil && h.now < t.req.deadline-h.timeout/2 {
			h.again(t)
		}
		h.finish(t, why)
	}
	if t.once && !commit {
		h.giveUp(t)
		return
	}
	t.state, t.commit = deciding, commit
	if !commit {
		h.drive(t.id, false, t.participants())
	}
	if commit && h.bugs.Has(bug.TwoPCDecideBeforeLog) {
		// Planted: the participants hear first. When they have answered, the
		// home thinks of its log.
		t.early = true
		h.drive(t.id, true, t.participants())
		return
	}
	h.propose(t)
}

// decided learns the outcome, which may be another than was wanted. It may come from
// a backup while votes are still coming in; they do not count any more then.
func (h *home) decided(id TxnID, says string) {
	t := h.find(id)
	if t == nil || t.state != deciding && t.state != voting {
		return
	}
	switch {
	case says == saysOver:
		// Somebody else saw to it, and it is forgotten by now.
		h.finish(t, inDoubt())
		delete(h.txns, id.N)
		return
	case h.bugs.Has(bug.TwoPCTwoCoordinators):
		// Planted: whatever a successor has decided, this coordinator's own
		// decision is what it tells.
	default:
		t.commit = says == saysCommit
	}
	t.state = ended
	if t.commit {
		h.finish(t, h.result(t))
	} else {
		h.finish(t, refuse(codeAborted, "the transaction was aborted while it was in doubt"))
	}
	h.drive(t.id, t.commit, t.participants())
}

func inDoubt() kv.Result {
	return kv.Result{
		Outcome: protocol.Unknown, Code: codeTimeout, Error: "the outcome is not known in time",
	}
}

// result puts the results of the shards together.
func (h *home) result(t *txn) kv.Result {
	if t.ops == nil {
		return kv.Result{}
	}
	next := map[protocol.NodeID]int{}
	var last kv.Result
	for i, op := range t.ops {
		id := shardOf(h.members, op.Key)
		if next[id] >= len(t.votes[id]) {
			return inDoubt() // cannot be: a shard that says yes has carried out all
		}
		last = t.votes[id][next[id]]
		next[id]++
		if t.steps != nil && op.isRead() {
			t.steps[i].Value = last.Value
		}
	}
	if t.steps != nil {
		return kv.Result{Value: kv.FormatSteps(t.steps)}
	}
	return last
}

// onInquiry tells a shard what it can: the outcome, to wait, or that the home does
// not know the transaction.
func (h *home) onInquiry(from protocol.NodeID, q *inquiry) {
	t := h.find(q.T)
	switch {
	case t != nil && t.state == voting && h.bugs.Has(bug.TwoPCPresumeAbort):
		// Planted: no decision yet, so it must have been aborted. Nothing is
		// written, and the votes go on coming in.
		h.out.send(from, kindDecision, &decision{T: q.T})
	case t != nil && t.state == ended:
		h.out.send(from, kindDecision, &decision{T: q.T, Commit: t.commit})
	case t != nil && t.state == deciding && !h.patient:
	default:
		h.out.send(from, kindStanding, &standing{T: q.T, Known: t != nil})
	}
}

// over forgets a transaction that all participants have acknowledged.
func (h *home) over(id TxnID) {
	if t := h.find(id); t != nil && t.state == ended {
		delete(h.txns, id.N)
	}
}

// tick repeats and times out.
func (h *home) tick() {
	for _, t := range h.inOrder() {
		switch {
		case t.state == running && t.req != nil && h.now >= t.req.deadline:
			h.finish(t, refuse(codeAborted, "a shard did not answer in time"))
			h.giveUp(t)
		case t.state == running && t.ops != nil:
			if h.now >= t.startAt {
				h.startVote(t)
			}
		case t.state == running && t.req != nil && h.now-t.req.sent >= resendAfter:
			h.sendOperation(t)
		case t.state == running && t.req == nil && h.now-t.used >= idleTimeouts*h.timeout:
			h.giveUp(t)
		case t.state == voting && h.now >= t.voteBy:
			h.want(t, false, h.noVote(t))
		case t.state == voting && h.now-t.sent >= resendAfter:
			h.sendPrepares(t)
		}
		if t.req != nil && h.now >= t.req.deadline {
			h.finish(t, h.timedOut())
		}
	}
}

// noVote is the reply when a shard has not voted in time. It may be down, or wait
// for a lock.
func (h *home) noVote(t *txn) kv.Result {
	code := codeAborted
	if t.ops != nil {
		code = codeUnavailable
	}
	return refuse(code, "a shard did not vote in time")
}

// timedOut is the reply to a commit that was proposed and is not decided in time.
func (h *home) timedOut() kv.Result {
	switch {
	case h.bugs.Has(bug.ErrorAsOK):
		return kv.Result{} // planted: the error is dropped on the way
	case h.bugs.Has(bug.TimeoutAsFail):
		// Planted: it may be committed all the same.
		return refuse("not-committed", "not committed in time")
	default:
		return inDoubt()
	}
}
