// Package kv is the replicated state machine behind the log protocols: registers,
// sets, counters, queues and lists, with client sessions that make a command
// exactly-once.
//
// Every replica applies the same commands in the same order, so everything here
// is a function of the commands alone: no clock, no randomness, no map order
// that could be seen. Time is a command as well: the leader proposes from time
// to time how much of it went by, and sessions expire by that.
//
// # Exactly once
//
// A network that duplicates and delays makes copies of commands, and a node that
// repeats an unanswered command makes more of them. Two tables keep a copy from
// being applied again. Both are replicated state: they are written by Apply,
// stand in snapshots, and are the same on all replicas.
//
//   - Sessions (Ongaro, "Consensus: bridging theory and practice", 2014, section
//     6.3). A session is opened by a command and named by the log slot of that
//     command. Its client numbers its commands and has one in flight. The table
//     holds the last number applied and its reply.
//   - Origins, for commands without a session. The node that took the command
//     from the client numbers it (boot epoch, N) and says in every command which
//     of its numbers is the lowest that it has not answered yet (Low). The table
//     holds the replies from Low upwards; what lies below Low has been answered
//     or given up, and a copy of it that arrives late is refused. The table is
//     therefore as small as what a node has in flight. This is the completion
//     record of RIFL (Lee et al., "Implementing linearizability at large scale
//     and low latency", SOSP 2015), with the node in the client's place.
package kv

import (
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// SessionTTL is how much replicated time a session lives without a command. It
// is long enough for a client to be paused by a fault and go on.
const SessionTTL = protocol.Time(30e9)

// Store is one replica's state. It is not safe for concurrent use.
type Store struct {
	bugs    bug.Set
	applied uint64
	// now is the replicated time: the sum of all Tick commands applied.
	now      protocol.Time
	objects  map[string]object
	sessions map[uint64]*session
	origins  map[protocol.NodeID]*origin
	// extensions by the kind of object that they are.
	extensions map[string]Extension
	settled    []Settlement
	config     string
}

// Extension is a kind of object that another package keeps in the store: locks,
// or the bookkeeping of transactions. It is replicated state like the rest: a
// function of the commands applied to it, without clock, randomness or map order.
type Extension interface {
	// Check tells whether the request can be carried out at all, see Store.Check.
	Check(r protocol.Request) (Result, bool)
	// Apply carries out the command in its slot; one that fails changes nothing.
	// now is the replicated time, the sum of all Tick commands.
	Apply(slot uint64, now protocol.Time, c Command) Result
	// Read answers a request with F "read".
	Read(r protocol.Request) Result
	// Encode returns the whole state, equal bytes for equal states, and Decode
	// replaces the state by such bytes.
	Encode() []byte
	Decode(b []byte) error
}

// Pending is the outcome of a command whose reply comes later, when another command
// settles it. Only extensions that are Settlers use it, and no client sees it.
const Pending = protocol.Outcome(3)

// Settler is an extension that answers commands later than it applies them.
type Settler interface {
	// Settled returns the replies to earlier commands that the command applied
	// last has settled, and forgets them.
	Settled() []Settlement
}

// Settlement is the reply to a command that was Pending.
type Settlement struct {
	Origin       Origin
	Session, Seq uint64
	Result       Result
}

// Extensions makes the extensions of a store, each for its kind of object.
type Extensions map[string]func() Extension

// New returns the empty store, before slot 1.
func New(bugs bug.Set, ext Extensions) *Store {
	s := &Store{
		bugs:       bugs,
		objects:    map[string]object{},
		sessions:   map[uint64]*session{},
		origins:    map[protocol.NodeID]*origin{},
		extensions: map[string]Extension{},
	}
	for kind, make := range ext {
		s.extensions[kind] = make()
	}
	return s
}

// Applied is the greatest slot applied.
func (s *Store) Applied() uint64 { return s.applied }

// Config is the value of the last Config command, "" if there was none.
func (s *Store) Config() string { return s.config }

// Sessions is the number of live sessions.
func (s *Store) Sessions() int { return len(s.sessions) }

// Apply applies the command chosen for the slot and returns its reply. The
// caller applies slots in order, each once.
func (s *Store) Apply(slot uint64, c Command) Result {
	s.applied = max(s.applied, slot)
	defer s.collect()
	switch c.Kind {
	case Op:
		if r, done := s.repeated(c); done {
			return r
		}
		r := s.perform(slot, c)
		s.remember(c, r)
		return r
	case Tick:
		s.pass(c.Elapsed)
		return Result{}
	case Config:
		s.config = c.Value
		return Result{}
	case Duty:
		if e := s.extensions[c.Object]; e != nil {
			e.Apply(slot, s.now, c)
		}
		return Result{}
	default:
		return Result{}
	}
}

// collect takes note of the replies to earlier commands that this one has settled. A
// repeat of such a command is from now on answered the same.
func (s *Store) collect() {
	for _, kind := range sortedKeys(s.extensions) {
		if e, settles := s.extensions[kind].(Settler); settles {
			for _, t := range e.Settled() {
				s.settle(t)
				s.settled = append(s.settled, t)
			}
		}
	}
}

// Settled returns the replies to commands that were Pending, and forgets them.
func (s *Store) Settled() []Settlement {
	all := s.settled
	s.settled = nil
	return all
}

// Read answers a request with F "read". The caller has made sure that the store
// is recent enough.
func (s *Store) Read(r protocol.Request) Result {
	if e := s.extensions[r.Object]; e != nil {
		return e.Read(r)
	}
	o, there := s.objects[r.Key]
	if there && o.kind != r.Object {
		return wrongType(r.Key, o.kind, r.Object)
	}
	if !there {
		o = object{kind: r.Object}
	}
	return o.read()
}

// Extension returns the extension for a kind of object, nil if there is none.
func (s *Store) Extension(kind string) Extension { return s.extensions[kind] }

// perform applies a command that is not a repeat. A command that fails changes
// nothing.
func (s *Store) perform(slot uint64, c Command) Result {
	if c.Object == sessionObject {
		s.sessions[slot] = &session{used: s.now}
		return Result{Value: formatUint(slot)}
	}
	if e := s.extensions[c.Object]; e != nil {
		return e.Apply(slot, s.now, c)
	}
	if c.Object == txnObject {
		return s.transact(c.Value)
	}
	o, there := s.objects[c.Key]
	if there && o.kind != c.Object {
		return wrongType(c.Key, o.kind, c.Object)
	}
	if !there {
		o = object{kind: c.Object}
	}
	changed, r := o.apply(c.F, c.Value)
	if r.Outcome == protocol.OK {
		s.objects[c.Key] = changed
	}
	return r
}
