package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// ProtocolVersion is that of Rules and Status; the agent refuses another.
const ProtocolVersion = 1

const (
	// BypassMark is on the packets that the agent sends itself. The iptables rule
	// of the queue must leave them alone.
	BypassMark = 0x71
	// ProbeMark is on the packets of the probe.
	ProbeMark = 0x72
	// DefaultLease is how long a daemon lives without a word of its controller.
	DefaultLease = 30 * time.Second
)

// Direction is a packet's, seen from the node on which the agent runs.
type Direction string

// The directions: out is OUTPUT (or FORWARD), in is INPUT.
const (
	Out Direction = "out"
	In  Direction = "in"
)

// Match says which packets belong to a link.
type Match struct {
	Direction Direction `json:"direction"`
	// Peer has the other end's address, "10.0.0.2/32"; zero is anybody.
	Peer netip.Prefix `json:"peer,omitzero"`
	// Protocol is "udp", "tcp", or "" for both and all others.
	Protocol string `json:"protocol,omitempty"`
	// LocalPort and PeerPort are the ports of this node's end and of the other; 0 is
	// any.
	LocalPort uint16 `json:"local_port,omitempty"`
	PeerPort  uint16 `json:"peer_port,omitempty"`
}

// LinkRule is the rule of one directed link, and what belongs to it.
type LinkRule struct {
	From  nemesis.Node `json:"from"`
	To    nemesis.Node `json:"to"`
	Match []Match      `json:"match"`
	Rule  nemesis.Rule `json:"rule"`
}

// Link returns the link's name.
func (l LinkRule) Link() nemesis.Link { return nemesis.Link{From: l.From, To: l.To} }

// Rules are all that a queue agent does, given at once.
type Rules struct {
	Version int `json:"version"`
	// Generation grows with each change.
	Generation int64 `json:"generation"`
	// Links are looked through in this order; a clean link has the zero Rule.
	Links []LinkRule `json:"links"`
}

// Validate lists everything that is wrong.
func (r Rules) Validate() error {
	var errs []error
	if r.Version != ProtocolVersion {
		errs = append(errs, fmt.Errorf("version %d: this agent speaks %d", r.Version, ProtocolVersion))
	}
	if r.Generation < 1 {
		errs = append(errs, fmt.Errorf("generation %d is less than 1", r.Generation))
	}
	seen := make(map[nemesis.Link]bool)
	for _, l := range r.Links {
		if err := l.validate(); err != nil {
			errs = append(errs, fmt.Errorf("link %s->%s: %w", l.From, l.To, err))
		}
		if seen[l.Link()] {
			errs = append(errs, fmt.Errorf("link %s->%s: twice", l.From, l.To))
		}
		seen[l.Link()] = true
	}
	return errors.Join(errs...)
}

func (l LinkRule) validate() error {
	var errs []error
	if l.From == "" || l.To == "" || l.From == l.To {
		errs = append(errs, errors.New("has not two ends"))
	}
	if len(l.Match) == 0 {
		errs = append(errs, errors.New("nothing belongs to it: no match"))
	}
	in := false
	for _, m := range l.Match {
		in = in || m.Direction == In
		if m.Direction != In && m.Direction != Out {
			errs = append(errs, fmt.Errorf("direction %q is neither in nor out", m.Direction))
		}
		if m.Protocol != "" && m.Protocol != protoUDP && m.Protocol != protoTCP {
			errs = append(errs, fmt.Errorf("protocol %q is neither udp nor tcp", m.Protocol))
		}
		if m.Protocol == "" && (m.LocalPort != 0 || m.PeerPort != 0) {
			errs = append(errs, errors.New("a port without a protocol"))
		}
	}
	r := l.Rule
	if in && !l.client() &&
		(r.Duplicate > 0 || r.Replay > 0 || r.Reorder > 0 || r.Corrupt > 0 || r.Hold > 0) {
		errs = append(errs, errors.New(
			"duplicate, replay, reorder, corrupt and hold need direction out"))
	}
	return errors.Join(append(errs, impair.Check(r))...)
}

// client reports whether clients are at one end.
func (l LinkRule) client() bool { return l.From == nemesis.Clients || l.To == nemesis.Clients }

const (
	protoUDP = "udp"
	protoTCP = "tcp"
)

// State is what is known of a daemon.
type State string

// The states of a daemon.
const (
	// Absent: the directory has never had one.
	Absent State = "absent"
	// Running: it answers.
	Running State = "running"
	// Ended: it ended in order; Reason says why.
	Ended State = "ended"
	// Dead: it was killed, or the node was.
	Dead State = "dead"
)

// Status is what a daemon says of itself; queue, probe or stall is set.
type Status struct {
	Version int    `json:"version"`
	Kind    string `json:"kind"` // "queue", "probe" or "stall"
	State   State  `json:"state"`
	// Instance is the name that the controller gave it.
	Instance string `json:"instance,omitempty"`
	PID      int    `json:"pid,omitempty"`
	// Reason is why it ended: "stop", "lease", "signal", or an error.
	Reason string `json:"reason,omitempty"`
	// Up is how long it has been running.
	Up    time.Duration `json:"up,omitempty"`
	Queue *QueueStatus  `json:"queue,omitempty"`
	Stall *StallCounts  `json:"stall,omitempty"`
}

// QueueStatus is what a queue agent has done.
type QueueStatus struct {
	// Number and Mark are what the iptables rule must have.
	Number uint16 `json:"number"`
	Mark   uint32 `json:"mark"`
	// Generation is that of the rules in force, 0 before the first.
	Generation int64          `json:"generation"`
	Links      []LinkCounters `json:"links"`
	Stats      QueueStats     `json:"stats"`
}

// LinkCounters are the counters of one link.
type LinkCounters struct {
	From nemesis.Node `json:"from"`
	To   nemesis.Node `json:"to"`
	nemesis.Counters
}

// QueueStats count what concerns no single link.
type QueueStats struct {
	// Received is how many packets came, Unmatched how many of them belong to no
	// link, Probes how many had ProbeMark.
	Received  int64 `json:"received"`
	Unmatched int64 `json:"unmatched"`
	Probes    int64 `json:"probes"`
	// Missed is how many the kernel let through because the agent did not keep up.
	Missed int64 `json:"missed"`
	// Failed is how many packets could not be sent on: they are lost.
	Failed int64 `json:"failed"`
	// HeldPackets and HeldBytes are what is held back now.
	HeldPackets int   `json:"held_packets"`
	HeldBytes   int64 `json:"held_bytes"`
}

// Counters returns the status as the map that nemesis.Network wants.
func (s QueueStatus) Counters() map[nemesis.Link]nemesis.Counters {
	all := make(map[nemesis.Link]nemesis.Counters, len(s.Links))
	for _, l := range s.Links {
		all[nemesis.Link{From: l.From, To: l.To}] = l.Counters
	}
	return all
}

// Reach is what was found out about one target.
type Reach struct {
	To      nemesis.Node `json:"to"`
	Address string       `json:"address"`
	// Answers: a connection was accepted, or the other end's kernel refused, which takes a
	// way there and back, too; the error then says "refused".
	Answers bool `json:"answers"`
	// Time is how long it took until that was known.
	Time time.Duration `json:"time,omitempty"`
	// Error says why not.
	Error string `json:"error,omitempty"`
}

// DecodeRules reads and checks rules; a field that it does not know is an error.
func DecodeRules(text []byte) (Rules, error) {
	var r Rules
	if err := decodeStrict(text, &r); err != nil {
		return Rules{}, fmt.Errorf("read the rules: %w", err)
	}
	if err := r.Validate(); err != nil {
		return Rules{}, fmt.Errorf("rules of generation %d: %w", r.Generation, err)
	}
	return r, nil
}

// Encode returns the rules as DecodeRules reads them.
func (r Rules) Encode() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	return text, nil
}
