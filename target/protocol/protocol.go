// Package protocol is the contract between a replication protocol and whatever
// runs it.
//
// A protocol is a pure state machine: no goroutine, socket, clock, file or
// randomness inside. A driver feeds it with Step (a peer's message), Submit (a
// client's request) and Tick (time), and after each batch of these takes out
// Ready: what to make durable first, then what to send, then what to answer.
// target/server drives it with real sockets and disks, target/sim with virtual
// ones; the machine cannot tell the difference.
//
// The safety of every protocol here rests on one rule of the driver: no message
// and no reply of a Ready leaves before its checkpoint and records are durable.
package protocol

import "github.com/ordeal-dev/ordeal/target/bug"

// NodeID names one node of the cluster, "n1".
type NodeID string

// Time is nanoseconds on the node's monotonic clock. Its origin means nothing.
type Time int64

// Epoch counts the starts of a node; it is durable before the node serves.
type Epoch uint64

// RequestID names a request at the node that received it from its client. IDs
// are never reused within one epoch.
type RequestID uint64

// Message is one datagram between peers.
type Message struct {
	From, To NodeID
	// Epoch is the sender's.
	Epoch Epoch
	// Payload is encoded by the protocol; at most MaxPayload bytes.
	Payload []byte
}

// MaxPayload is the greatest payload that fits one datagram.
const MaxPayload = 60_000

// Request is what a client asks for.
type Request struct {
	ID RequestID
	// Session and Seq make a command exactly-once; Session 0 is none.
	Session uint64
	Seq     uint64
	// Object is the kind of thing that Key names: "register", "set", "counter",
	// "queue", "list", …; "session" for F "open"; "txn" for whole transactions;
	// "admin" for what an operator asks, such as F "transfer".
	Object string
	F      string
	Key    string
	// Value is compact JSON, "" when there is none.
	Value string
	// Txn is the open transaction, at this node, that the request is part of; 0
	// is none.
	Txn uint64
	// Token is what the client has seen so far, as the last Reply.Token of its
	// session said; "" is nothing. Only protocols with session guarantees use it.
	Token string
}

// Outcome is what a reply says about the request.
type Outcome uint8

// The outcomes. Unknown is always safe; Fail is a proof of no effect, ever.
const (
	OK Outcome = iota
	Fail
	Unknown
)

// String returns ok, fail or info, as in a history.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Fail:
		return "fail"
	case Unknown:
		return "info"
	default:
		return "outcome?"
	}
}

// Reply answers the request with the same ID.
type Reply struct {
	ID      RequestID
	Outcome Outcome
	Value   string // compact JSON
	// Code and Error say why, for Fail and Unknown. Codes are documented in
	// docs/target-api.md: "unavailable", "timeout", "precondition-failed", …
	Code  string
	Error string
	// Token is what the client has seen with this reply; see Request.Token.
	Token string
}

// Ready is what a machine wants done, in this order.
type Ready struct {
	// Repaired says that a machine made with Config.Damaged, or without anything
	// durable, has got back all that was lost; it is durable once the rest of this
	// Ready is.
	Repaired bool
	// Checkpoint, if not nil, is the machine's whole durable state. It replaces
	// everything persisted so far; it is durable (temporary file, fsync, rename,
	// fsync of the directory) before the old log is cut.
	Checkpoint []byte
	// Records are appended to the log, after the checkpoint, and synced.
	Records [][]byte
	// Messages leave next.
	Messages []Message
	// Replies go to the clients last.
	Replies []Reply
}

// Empty reports whether there is nothing to do.
func (r Ready) Empty() bool {
	return !r.Repaired && r.Checkpoint == nil && len(r.Records) == 0 &&
		len(r.Messages) == 0 && len(r.Replies) == 0
}

// Machine is one node's share of a protocol.
type Machine interface {
	// Step handles a peer's message. A payload that cannot be decoded is
	// dropped: corruption is loss.
	Step(now Time, m Message)
	// Submit takes over a client's request; exactly one Reply with its ID
	// follows, at the latest when Config.RequestTimeout has passed.
	Submit(now Time, r Request)
	// Tick tells the time, at least every Config.TickInterval.
	Tick(now Time)
	// Ready returns what is to be done and forgets it.
	Ready() Ready
	Status() Status
}

// WallTime is nanoseconds since 1970 on the node's clock for the time of day. It
// may jump, backwards as well.
type WallTime int64

// WallClocked is a machine that wants to know the time of day. The driver calls
// SetWall before every Step, Submit and Tick. No correct protocol here needs it;
// bugs can be planted that trust it.
type WallClocked interface {
	SetWall(now WallTime)
}

// Status is what a node says about itself; /status serves it as JSON.
type Status struct {
	Node     NodeID `json:"node"`
	Protocol string `json:"protocol"`
	// Role is "leader", "follower", "candidate" or "replica".
	Role string `json:"role"`
	// Primary is true when the node believes that it leads.
	Primary bool `json:"primary"`
	// Leader is whom the node believes to lead, "" if nobody.
	Leader NodeID `json:"leader,omitempty"`
	Ballot string `json:"ballot,omitempty"`
	// Applied and Committed count log slots, for protocols that have a log.
	Applied   uint64   `json:"applied,omitempty"`
	Committed uint64   `json:"committed,omitempty"`
	Epoch     Epoch    `json:"epoch"`
	Members   []NodeID `json:"members"`
	// Details are the protocol's own, such as the ends of leases: a struct that
	// encodes to a JSON object, described in docs/protocols.
	Details any `json:"details,omitempty"`
}

// Config is what every machine is made with.
type Config struct {
	Self NodeID
	// Members are the configured nodes, Self included, in the same order
	// everywhere. Quorums are majorities of these, never of who is alive.
	Members []NodeID
	Epoch   Epoch
	// Seed decides the machine's choices (election jitter, back-off).
	Seed uint64
	// Bugs are the planted bugs switched on; empty is the correct protocol.
	Bugs bug.Set
	// RequestTimeout bounds how long a request may stay unanswered.
	RequestTimeout Time
	// Checkpoint and Records are what the node had made durable, nil and empty
	// on the first start.
	Checkpoint []byte
	Records    [][]byte
	// Damaged says that the disk has lost a part of what was durable: Checkpoint
	// and Records are less than what the node once promised. Only a machine whose
	// driver was told that it can repair itself is ever given this.
	Damaged bool
}
