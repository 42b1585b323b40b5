package kv

import (
	"maps"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// session is the memory of one client.
type session struct {
	seq   uint64 // the last command applied; 0 before the first
	reply Result
	used  protocol.Time // replicated time of the last command
}

// origin is the memory of one node's commands without session.
type origin struct {
	epoch protocol.Epoch
	low   uint64
	// replies holds what was applied from low upwards.
	replies map[uint64]Result
}

// repeated returns the reply to a command that must not be applied: because a
// copy of it has been, or because nobody can tell any more whether one has.
func (s *Store) repeated(c Command) (Result, bool) {
	if s.bugs.Has(bug.NoDedup) {
		// Planted: both tables are written but never asked, so that a repeat is
		// applied again.
		return Result{}, false
	}
	if s.bugs.Has(bug.LockLateRelease) && c.Object == "lock" && c.F == "release" {
		// Planted: a release is taken for harmless, however often it comes.
		return Result{}, false
	}
	if c.Session != 0 {
		return s.repeatedInSession(c)
	}
	o := s.origins[c.Origin.Node]
	switch {
	case o == nil || c.Origin.Epoch > o.epoch:
		return Result{}, false
	case c.Origin.Epoch < o.epoch || c.Origin.N < o.low:
		// Its node has answered it, given it up, or restarted since: whatever
		// became of the first copy, this one is late and has no effect.
		return Result{
			Outcome: protocol.Unknown, Code: CodeStale, Error: "a late copy was refused",
		}, true
	}
	r, done := o.replies[c.Origin.N]
	return r, done
}

func (s *Store) repeatedInSession(c Command) (Result, bool) {
	t := s.sessions[c.Session]
	if t == nil {
		return fail(CodeExpired, "session %d has expired", c.Session), true
	}
	t.used = s.now
	switch {
	case c.Seq == t.seq && t.seq != 0:
		return t.reply, true
	case c.Seq <= t.seq:
		return fail(CodeStale, "session %d is at %d, past %d", c.Session, t.seq, c.Seq), true
	default:
		return Result{}, false
	}
}

// remember writes down that the command was applied.
func (s *Store) remember(c Command, r Result) {
	if c.Session != 0 {
		if t := s.sessions[c.Session]; t != nil {
			t.seq, t.reply, t.used = c.Seq, r, s.now
		}
		return
	}
	o := s.origins[c.Origin.Node]
	if o == nil || c.Origin.Epoch > o.epoch {
		o = &origin{epoch: c.Origin.Epoch, replies: map[uint64]Result{}}
		s.origins[c.Origin.Node] = o
	}
	o.replies[c.Origin.N] = r
	if c.Origin.Low > o.low {
		o.low = c.Origin.Low
		maps.DeleteFunc(o.replies, func(n uint64, _ Result) bool { return n < o.low })
	}
}

// settle puts the reply to a command that was Pending in its place.
func (s *Store) settle(t Settlement) {
	if t.Session != 0 {
		if x := s.sessions[t.Session]; x != nil && x.seq == t.Seq {
			x.reply = t.Result
		}
		return
	}
	if o := s.origins[t.Origin.Node]; o != nil && o.epoch == t.Origin.Epoch {
		if _, kept := o.replies[t.Origin.N]; kept {
			o.replies[t.Origin.N] = t.Result
		}
	}
}

// pass lets replicated time go by and expires sessions.
func (s *Store) pass(elapsed protocol.Time) {
	if elapsed > 0 {
		s.now += elapsed
	}
	maps.DeleteFunc(s.sessions, func(_ uint64, t *session) bool {
		return s.now-t.used > SessionTTL
	})
}
