package mvcc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

const (
	// collectEvery is how often versions are collected.
	collectEvery = protocol.Time(time.Second)
	// idleAfter is how long a transaction may do nothing before it is aborted.
	idleAfter = protocol.Time(10 * time.Second)
	// keptFor belongs to the planted bug mvcc-gc-live-snapshot.
	keptFor = protocol.Time(5 * time.Second)
	// slowEvery is how long a key takes under the planted bugs that take time.
	slowEvery = protocol.Time(50 * time.Millisecond)
	// turnsMax is how many ticks a transaction in one request takes at most.
	turnsMax = 16
	// checkpointEvery is how many records the log may hold.
	checkpointEvery = 4096
)

// New returns the constructor of a node for one mode: the first member is the
// database, the others are relays. log keeps versions as a base and a log.
func New(rule Rule, log bool) func(protocol.Config) (protocol.Machine, error) {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		if err := validate(cfg); err != nil {
			return nil, fmt.Errorf("mvcc: %w", err)
		}
		if cfg.Self != cfg.Members[0] {
			return newRelay(cfg, name(rule, log)), nil
		}
		return newServer(cfg, rule, log)
	}
}

func name(rule Rule, log bool) string {
	s := [...]string{SI: "mvcc-si", Serializable: "mvcc-serializable", Merge: "mvcc-merge"}[rule]
	if log {
		s += "-log"
	}
	return s
}

func validate(cfg protocol.Config) error {
	var errs []error
	if !slices.Contains(cfg.Members, cfg.Self) {
		errs = append(errs, fmt.Errorf("self %q is not among the members %v", cfg.Self, cfg.Members))
	}
	sorted := slices.Sorted(slices.Values(cfg.Members))
	if len(slices.Compact(sorted)) != len(cfg.Members) {
		errs = append(errs, fmt.Errorf("members %v are not distinct", cfg.Members))
	}
	if cfg.RequestTimeout <= 0 {
		errs = append(errs, errors.New("request timeout must be greater than zero"))
	}
	return errors.Join(errs...)
}

// clock is a node's own time, which never runs backwards: a step back of the
// driver's clock stops it for a moment.
type clock struct {
	now, told protocol.Time
	started   bool
}

func (c *clock) advance(told protocol.Time) {
	if !c.started {
		c.started, c.now = true, told
	} else if told > c.told {
		c.now += told - c.told
	}
	c.told = told
}

// server is the node that holds the database.
type server struct {
	cfg   protocol.Config
	name  string
	db    *database
	clock clock
	out   protocol.Ready
	next  uint64 // number of the last transaction begun in this epoch
	// running are the transactions in one request that are under way.
	running []*run
	// slow are commits that wait for something that a planted bug has put off.
	slow   []*slowCommit
	relays map[protocol.NodeID]*client

	logged          int
	checkpointEvery int
	collected       protocol.Time
	// The pace of collection, for tests to change.
	collectEvery, idleAfter, keptFor protocol.Time
	marks                            []mark // mvcc-gc-live-snapshot
}

// run is a transaction that came in one request. It does a part of its steps at
// each tick, so that transactions overlap as they would if steps took time.
type run struct {
	t        *txn
	steps    []kv.Step
	at, each int
	deadline protocol.Time
	reply    func(kv.Result)
}

// slowCommit is a commit under the planted bugs mvcc-commit-order-inversion, which
// lets it appear key by key, and mvcc-crash-half-commit, which logs it key by key.
type slowCommit struct {
	installing *installation
	records    [][]byte
	next       protocol.Time // when the next key is due
	deadline   protocol.Time
	done       func()
}

// mark says what had been committed at a time.
type mark struct {
	at   protocol.Time
	last Num
}

func newServer(cfg protocol.Config, rule Rule, log bool) (*server, error) {
	s := &server{
		cfg: cfg, name: name(rule, log), db: newDatabase(rule, log, cfg.Bugs),
		relays: map[protocol.NodeID]*client{}, logged: len(cfg.Records),
		checkpointEvery: checkpointEvery,
		collectEvery:    collectEvery, idleAfter: idleAfter, keptFor: keptFor,
	}
	if err := s.db.recover(cfg.Checkpoint, cfg.Records); err != nil {
		return nil, fmt.Errorf("mvcc: %w", err)
	}
	return s, nil
}

// Submit handles a request of one of the node's own clients.
func (s *server) Submit(now protocol.Time, r protocol.Request) {
	s.clock.advance(now)
	s.handle(r, func(res kv.Result) {
		s.out.Replies = append(s.out.Replies, protocol.Reply{
			ID: r.ID, Outcome: res.Outcome, Value: res.Value, Code: res.Code, Error: res.Error,
		})
	})
}

// handle carries out a request, and calls reply once, at the latest at the first
// tick after the request timeout.
func (s *server) handle(r protocol.Request, reply func(kv.Result)) {
	switch {
	case r.Object == "session" && r.F == "open":
		reply(kv.Result{Value: "0"}) // there are none
	case r.Object == "txn":
		s.handleTxn(r, reply)
	default:
		if res := versions.Check(r); res.Outcome != protocol.OK {
			reply(res)
			return
		}
		if r.Txn == 0 {
			t := s.begin()
			res := s.db.perform(t, r)
			s.commit(t, res, reply)
			return
		}
		if t := s.find(r.Txn, reply); t != nil {
			reply(s.db.perform(t, r))
		}
	}
}

func (s *server) handleTxn(r protocol.Request, reply func(kv.Result)) {
	switch r.F {
	case "begin":
		reply(kv.Result{Value: fmt.Sprint(s.begin().id)})
	case "commit":
		if t := s.find(r.Txn, reply); t != nil {
			s.commit(t, kv.Result{}, reply)
		}
	case "abort":
		if t := s.find(r.Txn, reply); t != nil {
			s.db.abort(t)
			reply(kv.Result{})
		}
	case "run":
		steps, err := kv.ParseSteps(r.Value)
		switch {
		case err != nil:
			reply(versions.Fail(kv.CodeBadRequest, "txn.run: %v", err))
		case len(r.Value) > maxData:
			reply(versions.Fail(kv.CodeTooLarge, "more than %d bytes", maxData))
		case r.Txn != 0:
			reply(versions.Fail(kv.CodeBadRequest, "txn.run in an open transaction"))
		default:
			s.running = append(s.running, &run{
				t: s.begin(), steps: steps, each: (len(steps) + turnsMax - 1) / turnsMax,
				deadline: s.clock.now + s.cfg.RequestTimeout, reply: reply,
			})
		}
	default:
		reply(versions.Fail(kv.CodeNotSupported, "no operation txn.%s", r.F))
	}
}

// begin opens a transaction. Its id is unlike those of other lives of the node.
func (s *server) begin() *txn {
	s.next++
	t := s.db.begin(uint64(s.cfg.Epoch)<<32 | s.next)
	t.used = s.clock.now
	return t
}

// find returns the open transaction, or replies that there is none: it has ended,
// was given up, or has gone with the life of the node that it began in.
func (s *server) find(id uint64, reply func(kv.Result)) *txn {
	t := s.db.active[id]
	if t == nil {
		reply(versions.Fail(codeNoTxn, "no open transaction %d", id))
		return nil
	}
	t.used = s.clock.now
	return t
}

// commit ends a transaction and answers with the result of its last operation.
func (s *server) commit(t *txn, res kv.Result, reply func(kv.Result)) {
	if res.Outcome != protocol.OK {
		s.db.abort(t)
		reply(res)
		return
	}
	num, writes, err := s.db.commit(t)
	if err != nil {
		reply(versions.Fail(codeConflict, "%v", err))
		return
	}
	if num == 0 {
		reply(res)
		return
	}
	// The reply leaves in the same Ready as the record, and so after its sync; the
	// same is true of whatever anybody reads of this commit.
	records := encodeCommit(s.cfg.Bugs, num, writes)
	s.out.Records = append(s.out.Records, records[0])
	slow := &slowCommit{
		records: records[1:], next: s.clock.now + slowEvery,
		deadline: s.clock.now + s.cfg.RequestTimeout,
		done:     func() { reply(res) },
	}
	for _, in := range s.db.installing {
		if in.num == num {
			slow.installing = in
		}
	}
	if slow.installing == nil && len(slow.records) == 0 {
		slow.done()
		return
	}
	s.slow = append(s.slow, slow)
}

// Tick goes on with what takes time, and gives up what has been idle.
func (s *server) Tick(now protocol.Time) {
	s.clock.advance(now)
	for _, r := range slices.Clone(s.running) {
		s.turn(r)
	}
	for _, c := range slices.Clone(s.slow) {
		s.proceed(c)
	}
	s.abortIdle()
	if s.clock.now-s.collected >= s.collectEvery {
		s.collected = s.clock.now
		s.collect()
	}
}

// turn does the next steps of a transaction in one request, all that are left if
// its time is over.
func (s *server) turn(r *run) {
	n := r.each
	if s.clock.now >= r.deadline {
		n = len(r.steps)
	}
	for ; n > 0 && r.at < len(r.steps); n-- {
		if res := s.db.stepOf(r.t, &r.steps[r.at]); res.Outcome != protocol.OK {
			s.endRun(r, res)
			return
		}
		r.at++
	}
	r.t.used = s.clock.now
	if r.at == len(r.steps) {
		s.endRun(r, kv.Result{Value: kv.FormatSteps(r.steps)})
	}
}

func (s *server) endRun(r *run, res kv.Result) {
	s.running = slices.DeleteFunc(s.running, func(x *run) bool { return x == r })
	s.commit(r.t, res, r.reply)
}

// proceed goes on with a commit that a planted bug has put off.
func (s *server) proceed(c *slowCommit) {
	for s.clock.now >= c.next || s.clock.now >= c.deadline {
		c.next += slowEvery
		if c.installing != nil && s.db.step(c.installing) {
			c.installing = nil
		}
		if len(c.records) > 0 {
			s.out.Records = append(s.out.Records, c.records[0])
			c.records = c.records[1:]
		}
		if c.installing == nil && len(c.records) == 0 {
			c.done()
			s.slow = slices.DeleteFunc(s.slow, func(x *slowCommit) bool { return x == c })
			return
		}
	}
}

func (s *server) abortIdle() {
	for _, t := range s.db.active {
		if s.clock.now-t.used >= s.idleAfter {
			s.db.abort(t)
		}
	}
}

// collect drops the versions that no open transaction can see.
func (s *server) collect() {
	oldest := s.db.oldest()
	switch {
	case s.cfg.Bugs.Has(bug.MVCCCompactionLeaks):
		oldest = s.db.last // planted: whoever is still reading
	case s.cfg.Bugs.Has(bug.MVCCGCLiveSnapshot):
		// Planted: by age.
		s.marks = append(s.marks, mark{s.clock.now, s.db.last})
		oldest = 0
		for len(s.marks) > 0 && s.clock.now-s.marks[0].at >= s.keptFor {
			oldest = s.marks[0].last
			s.marks = s.marks[1:]
		}
	}
	s.db.store.Collect(oldest)
}

// Ready returns what is to be done. When there are many records, a checkpoint
// takes their place.
func (s *server) Ready() protocol.Ready {
	r := s.out
	s.out = protocol.Ready{}
	s.logged += len(r.Records)
	// Commits that are half in the log have no place in a checkpoint.
	if s.logged >= s.checkpointEvery && len(s.slow) == 0 {
		r.Checkpoint, r.Records = s.db.encodeCheckpoint(), nil
		s.logged = 0
	}
	return r
}

// Details are the protocol's own part of the status.
type Details struct {
	// Committed is the number of the last commit.
	Committed Num `json:"committed"`
	// Active counts the open transactions; Oldest is their oldest snapshot.
	Active int `json:"active"`
	Oldest Num `json:"oldest"`
	Keys   int `json:"keys"`
}

// Status describes the node.
func (s *server) Status() protocol.Status {
	return protocol.Status{
		Node: s.cfg.Self, Protocol: s.name, Role: "primary", Primary: true, Leader: s.cfg.Self,
		Epoch: s.cfg.Epoch, Members: slices.Clone(s.cfg.Members),
		Details: Details{
			Committed: s.db.last, Active: len(s.db.active), Oldest: s.db.oldest(),
			Keys: s.db.store.Len(),
		},
	}
}
