package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Kind says what an Event is.
type Kind uint8

// The kinds of event. In brackets: the fields of Event that are set beside Node.
const (
	Start   Kind = iota + 1 // a node begins to serve [Epoch]
	Crash                   // a node loses power [Epoch]
	Pause                   // a node is stopped, as by SIGSTOP
	Resume                  // a node goes on
	Tick                    // a node is told the time
	Send                    // a message leaves [Peer, Payload]
	Drop                    // a message is lost on its way [Peer, Payload, Text]
	Deliver                 // a message arrives from Peer [Peer, Payload]
	Submit                  // a request arrives [Epoch, Request]
	Persist                 // checkpoint and records become durable [Checkpoint, Records]
	Write                   // records are written but not synced [Records]
	Answer                  // a reply leaves [Epoch, Reply]
	Return                  // a client's operation ends [Op]
	Fault                   // something goes wrong or right again [Text]
	Wipe                    // a node that is down loses all that it had durable
)

var kindNames = [...]string{
	Start: "start", Crash: "crash", Pause: "pause", Resume: "resume", Tick: "tick",
	Send: "send", Drop: "drop", Deliver: "deliver", Submit: "submit", Persist: "persist",
	Write: "write", Answer: "answer", Return: "return", Fault: "fault",
	Wipe: "wipe",
}

// String returns the kind in lower case.
func (k Kind) String() string { return kindNames[k] }

// Event is one thing that happened.
type Event struct {
	Step int
	At   time.Duration
	Kind Kind
	// Node is where it happened; for Send and Drop the sender.
	Node, Peer protocol.NodeID
	Epoch      protocol.Epoch
	Payload    []byte
	Checkpoint []byte
	Records    [][]byte
	Request    *protocol.Request
	Reply      *protocol.Reply
	Op         *Op
	Text       string
}

// line prints the event for people.
func (e *Event) line(describe func([]byte) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12v #%-5d %-8s", e.At, e.Step, e.Kind)
	if e.Node != "" {
		fmt.Fprintf(&b, " %s", e.Node)
	}
	switch e.Kind {
	case Start, Crash:
		fmt.Fprintf(&b, " epoch %d", e.Epoch)
	case Send, Drop:
		fmt.Fprintf(&b, " -> %s: %s", e.Peer, describe(e.Payload))
	case Deliver:
		fmt.Fprintf(&b, " <- %s: %s", e.Peer, describe(e.Payload))
	case Submit:
		r := e.Request
		fmt.Fprintf(&b, " request %d: %s %s %s %s", r.ID, r.Object, r.F, r.Key, r.Value)
		if r.Session != 0 {
			fmt.Fprintf(&b, " (session %d seq %d)", r.Session, r.Seq)
		}
	case Persist, Write:
		if e.Checkpoint != nil {
			fmt.Fprintf(&b, " checkpoint of %d bytes,", len(e.Checkpoint))
		}
		fmt.Fprintf(&b, " %d records", len(e.Records))
	case Answer:
		r := e.Reply
		fmt.Fprintf(&b, " request %d: %s %s %s", r.ID, r.Outcome, r.Value, r.Code)
	case Return:
		fmt.Fprintf(&b, " %v", e.Op)
	}
	if e.Text != "" {
		fmt.Fprintf(&b, " (%s)", e.Text)
	}
	return b.String()
}

// tracer hashes every event and keeps the last ones.
type tracer struct {
	hash          uint64
	steps, events int
	ring          []Event
	oldest        int
}

// In the manner of FNV-1a, 64 bit: enough to tell runs apart, and the same on
// every machine.
const (
	hashStart = 14695981039346656037
	hashPrime = 1099511628211
)

func (t *tracer) mixInt(v uint64) {
	t.hash = (t.hash ^ v) * hashPrime
	t.hash ^= t.hash >> 32 // a multiplication carries upwards only
}

func mix[T ~string | ~[]byte](t *tracer, s T) {
	h := t.hash
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * hashPrime
	}
	t.hash = (h ^ uint64(len(s))) * hashPrime
}

func (t *tracer) add(e Event) *Event {
	t.events++
	t.mixInt(uint64(e.At))
	t.mixInt(uint64(e.Kind)<<32 | uint64(len(e.Records)))
	mix(t, e.Node)
	mix(t, e.Peer)
	mix(t, e.Payload)
	mix(t, e.Checkpoint)
	for _, r := range e.Records {
		mix(t, r)
	}
	if e.Reply != nil {
		t.mixInt(uint64(e.Reply.ID)<<8 | uint64(e.Reply.Outcome))
		mix(t, e.Reply.Value)
		mix(t, e.Reply.Code)
	}
	if e.Request != nil {
		t.mixInt(uint64(e.Request.ID))
		mix(t, e.Request.Key)
		mix(t, e.Request.Value)
	}
	mix(t, e.Text)
	if len(t.ring) < cap(t.ring) {
		t.ring = append(t.ring, e)
		return &t.ring[len(t.ring)-1]
	}
	at := &t.ring[t.oldest]
	*at = e
	t.oldest = (t.oldest + 1) % len(t.ring)
	return at
}

// tail prints the kept events, the oldest first.
func (t *tracer) tail(describe func([]byte) string) []string {
	lines := make([]string, 0, len(t.ring))
	for i := range t.ring {
		lines = append(lines, t.ring[(t.oldest+i)%len(t.ring)].line(describe))
	}
	return lines
}

// note records that something happened, and shows it to the observer.
func (c *Cluster) note(e Event) {
	e.Step, e.At = c.trace.steps, c.now
	kept := c.trace.add(e)
	if c.opts.Observe != nil {
		c.opts.Observe(c, kept)
	}
}
