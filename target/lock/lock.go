// Package lock is locks that end by themselves, with fencing tokens, and what the
// tokens guard: two kinds of objects in the replicated log of package paxos.
//
// A client acquires a lock for a time (TTL) and may renew it. It relies on it from
// the grant's arrival until TTL·(1-ρ)/(1+ρ) after it sent the request that was
// granted or renewed (package lease). The lock is free again when it is released, or
// when the leader finds that no renewal was applied for TTL on its own clock. The
// leader begins to count when it sees the grant or the renewal applied, which is
// after the client began, and anew when it has just been elected; so what a client may
// rely on never ends later than what the leader waits for.
//
// Clients can be slow, and clocks worse than declared. So each grant has a token, the
// slot of the acquire in the log, and tokens increase from grant to grant. What the
// lock guards (the kind "fenced") keeps the greatest token that it has seen and
// refuses lower ones. That holds with any clocks.
//
// An acquire of a lock that is held waits its turn, first come, first served, and is
// answered when it is granted. A waiter's time runs as well: one whose TTL has passed
// is answered "expired" and gets nothing, because its client relies on nothing any more.
//
// Everything is decided by applying commands, in the order of the log, without a
// clock: also the end of a TTL is a command, which the leader proposes when a majority
// has confirmed that it leads, and which names what it has seen. If a renewal was
// applied since, it does nothing.
//
// Sources: Gray and Cheriton, "Leases", SOSP 1989; Burrows, "The Chubby lock service
// for loosely-coupled distributed systems", OSDI 2006, section 2.4 (sequencers);
// Kleppmann, "How to do distributed locking", 2016.
//
// The safety sits in Locks.expire (a renewal since then counts), Locks.release and
// Locks.renew (they name the token), Fenced.write (the comparison), and
// Warden.Due (when the time has run out).
package lock

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// The kinds of objects.
const (
	kind       = "lock"
	fencedKind = "fenced"
)

// The codes of failures, documented with the wire format.
const (
	codeNotHeld = "not-held"
	codeExpired = "expired"
	codeFull    = "queue-full"
	codeStale   = "stale-token"
)

// maxTTL bounds the time of a lock, in milliseconds; maxQueue its waiters.
const (
	maxTTL   = 60_000
	maxQueue = 100
)

// New returns a member of the protocol lock.
func New(cfg protocol.Config) (*paxos.Machine, error) {
	return paxos.NewMode(cfg, Mode(cfg.Bugs))
}

// Mode is paxos with locks and what they guard.
func Mode(bugs bug.Set) paxos.Mode {
	return paxos.Mode{
		Protocol: "lock",
		Extensions: kv.Extensions{
			kind:       func() kv.Extension { return NewLocks(bugs) },
			fencedKind: func() kv.Extension { return NewFenced(bugs) },
		},
		Steward: func() paxos.Steward { return NewWarden(bugs) },
	}
}

// claim is one client's tenure of a lock, or its place in the queue.
type claim struct {
	_ struct{} `cbor:",toarray"`
	// Token names the claim: the slot of its acquire.
	Token uint64
	TTL   int64 // milliseconds
	// Renewed is the slot of the acquire or of the last renewal.
	Renewed uint64
	// Origin, Session and Seq are the acquire's.
	Origin       kv.Origin
	Session, Seq uint64
	// Dead is set when the time of a waiter has run out, and then it is in the
	// queue no more, unless a bug is planted.
	Dead bool
}

// client is who made the claim, as far as a command tells.
func client(origin kv.Origin, session uint64) string {
	if session != 0 {
		return strconv.FormatUint(session, 10)
	}
	return string(origin.Node)
}

// state is one lock: the first claim holds it, the others wait.
type state struct {
	_      struct{} `cbor:",toarray"`
	Key    string
	Claims []claim
}

// Locks is the kind of object "lock". It implements kv.Extension and kv.Settler.
type Locks struct {
	bugs    bug.Set
	locks   map[string]*state
	settled []kv.Settlement
}

// NewLocks returns no locks.
func NewLocks(bugs bug.Set) *Locks { return &Locks{bugs: bugs, locks: map[string]*state{}} }

func fail(code, format string, args ...any) kv.Result {
	return kv.Result{Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...)}
}

// Check tells whether the request can be carried out at all.
func (l *Locks) Check(r protocol.Request) (kv.Result, bool) {
	n, err := strconv.ParseUint(r.Value, 10, 64)
	switch r.F {
	case "read":
		return kv.Result{}, true
	case "acquire":
		if err == nil && (n < 1 || n > maxTTL) {
			err = fmt.Errorf("%d ms: want 1 to %d", n, maxTTL)
		}
	case "renew", "release":
	default:
		return fail(kv.CodeNotSupported, "no operation lock.%s", r.F), false
	}
	if err != nil {
		return fail(kv.CodeBadRequest, "lock.%s: %v", r.F, err), false
	}
	return kv.Result{}, true
}

// Apply carries out a command.
func (l *Locks) Apply(slot uint64, _ protocol.Time, c kv.Command) kv.Result {
	s := l.locks[c.Key]
	if s == nil {
		s = &state{Key: c.Key}
	}
	var r kv.Result
	switch c.F {
	case "acquire":
		r = l.acquire(s, slot, c)
	case "renew":
		r = l.renew(s, slot, c.Value)
	case "release":
		r = l.release(s, c)
	case "expire":
		l.expire(s, c.Value)
	default:
		return fail(kv.CodeNotSupported, "no operation lock.%s", c.F)
	}
	if len(s.Claims) > 0 {
		l.locks[c.Key] = s
	} else {
		delete(l.locks, c.Key)
	}
	return r
}

// acquire grants the lock, or lets the command wait.
func (l *Locks) acquire(s *state, slot uint64, c kv.Command) kv.Result {
	token, value := slot, c.Value
	if l.bugs.Has(bug.LockTokenReset) {
		// Planted: the leader has put a counter of its own beside the TTL.
		token, value = splitStamp(c.Value)
	}
	ttl, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fail(kv.CodeBadRequest, "lock.acquire: %v", err)
	}
	if len(s.Claims) > maxQueue {
		return fail(codeFull, "%d wait already", maxQueue)
	}
	if len(s.Claims) > 0 && s.Claims[0].Dead {
		l.remove(s, 0) // only with a planted bug: the dead do not keep it
	}
	s.Claims = append(s.Claims, claim{
		Token: token, TTL: ttl, Renewed: slot,
		Origin: c.Origin, Session: c.Session, Seq: c.Seq,
	})
	if len(s.Claims) > 1 {
		return kv.Result{Outcome: kv.Pending}
	}
	return granted(&s.Claims[0])
}

func granted(c *claim) kv.Result {
	return kv.Result{Value: fmt.Sprintf(`{"token":%d,"ttl_ms":%d}`, c.Token, c.TTL)}
}

// remove takes a claim away; if it was the holder's, the next one gets the lock.
func (l *Locks) remove(s *state, i int) {
	s.Claims = append(s.Claims[:i:i], s.Claims[i+1:]...)
	if i == 0 && len(s.Claims) > 0 {
		l.settle(&s.Claims[0], granted(&s.Claims[0]))
	}
}

func (l *Locks) settle(c *claim, r kv.Result) {
	l.settled = append(l.settled, kv.Settlement{
		Origin: c.Origin, Session: c.Session, Seq: c.Seq, Result: r,
	})
}

// Settled returns the replies to acquires that have waited.
func (l *Locks) Settled() []kv.Settlement {
	all := l.settled
	l.settled = nil
	return all
}

// renew lets the holder's time begin anew. It names the token.
func (l *Locks) renew(s *state, slot uint64, value string) kv.Result {
	if len(s.Claims) == 0 || formatUint(s.Claims[0].Token) != value {
		return fail(codeNotHeld, "the token %s does not hold the lock", value)
	}
	s.Claims[0].Renewed = slot
	return granted(&s.Claims[0])
}

// release ends the tenure that the token names, and no other.
func (l *Locks) release(s *state, c kv.Command) kv.Result {
	if len(s.Claims) == 0 {
		return fail(codeNotHeld, "nobody holds the lock")
	}
	holder := &s.Claims[0]
	mine := formatUint(holder.Token) == c.Value
	if l.bugs.Has(bug.LockLateRelease) {
		// Planted: whoever asks gives up what it holds now, whatever the token.
		mine = client(holder.Origin, holder.Session) == client(c.Origin, c.Session)
	}
	if !mine {
		return fail(codeNotHeld, "the token %s does not hold the lock", c.Value)
	}
	l.remove(s, 0)
	return kv.Result{}
}

// expire ends the claim whose time has run out, if it is still as it was seen.
func (l *Locks) expire(s *state, value string) {
	var token, renewed uint64
	if _, err := fmt.Sscanf(value, "%d@%d", &token, &renewed); err != nil {
		return
	}
	for i := range s.Claims {
		c := &s.Claims[i]
		if c.Token != token || c.Dead {
			continue
		}
		if c.Renewed != renewed && !l.bugs.Has(bug.LockDeposedLeaderRevokes) {
			return // it was renewed since. Planted otherwise: nobody looks.
		}
		if i > 0 && l.bugs.Has(bug.LockGrantToExpired) {
			// Planted: it is noted that the waiter's time has run out, and it keeps
			// its place all the same.
			c.Dead = true
			return
		}
		if i > 0 {
			l.settle(c, fail(codeExpired, "not granted within its own time"))
		}
		l.remove(s, i)
		return
	}
}

// Read tells the token of the holder, null if the lock is free.
func (l *Locks) Read(r protocol.Request) kv.Result {
	if s := l.locks[r.Key]; s != nil {
		return kv.Result{Value: formatUint(s.Claims[0].Token)}
	}
	return kv.Result{Value: "null"}
}

// Encode returns the locks, sorted by key.
func (l *Locks) Encode() []byte {
	var all []state
	for _, k := range sortedKeys(l.locks) {
		all = append(all, *l.locks[k])
	}
	b, err := cbor.Marshal(all)
	if err != nil {
		panic("lock: encode: " + err.Error()) // the types above all encode
	}
	return b
}

// Decode replaces the locks.
func (l *Locks) Decode(b []byte) error {
	all, err := decode[state](b)
	if err != nil {
		return fmt.Errorf("decode locks: %w", err)
	}
	l.locks = map[string]*state{}
	for i := range all {
		if len(all[i].Claims) == 0 {
			return fmt.Errorf("decode locks: %q has no claim", all[i].Key)
		}
		l.locks[all[i].Key] = &all[i]
	}
	return nil
}

// splitStamp takes the TTL and the leader's counter apart.
func splitStamp(value string) (token uint64, ttl string) {
	var parts [2]json.Number
	if json.Unmarshal([]byte(value), &parts) != nil {
		return 0, ""
	}
	token, _ = strconv.ParseUint(parts[1].String(), 10, 64)
	return token, parts[0].String()
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }
