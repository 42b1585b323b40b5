package commit

import (
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Describe shows a message's payload in one line, for traces. What the group's
// members say to each other is shown in brackets.
func Describe(payload []byte) string {
	if len(payload) > 0 && payload[0] == partGroup {
		return "[" + paxos.Describe(payload[1:]) + "]"
	}
	c, err := newCodec()
	if err != nil {
		return err.Error()
	}
	body, err := c.decode(payload)
	if err != nil {
		return "garbage"
	}
	switch b := body.(type) {
	case *operate:
		return fmt.Sprintf("operate %v #%d %v", b.T, b.Number, b.Op)
	case *answer:
		return fmt.Sprintf("answer %v #%d %s", b.T, b.Number, describeResult(b.Result))
	case *prepare:
		var ops strings.Builder
		for _, op := range b.Ops {
			fmt.Fprintf(&ops, " %v", op)
		}
		return fmt.Sprintf("prepare %v at %v%s", b.T, b.Participants, ops.String())
	case *vote:
		if !b.Yes {
			return fmt.Sprintf("vote %v no: %s", b.T, describeResult(b.Why))
		}
		var rs strings.Builder
		for _, r := range b.Results {
			rs.WriteString(" " + describeResult(r))
		}
		return fmt.Sprintf("vote %v yes%s", b.T, rs.String())
	case *decision:
		return fmt.Sprintf("decision %v %s", b.T, says(b.Commit))
	case *ack:
		return fmt.Sprintf("ack %v", b.T)
	case *inquiry:
		return fmt.Sprintf("inquiry %v", b.T)
	case *standing:
		return fmt.Sprintf("standing %v known=%t", b.T, b.Known)
	default:
		return describeTerms(body)
	}
}

func describeTerms(body any) string {
	switch b := body.(type) {
	case *elect:
		return fmt.Sprintf("elect %v %v", b.T, b.E)
	case *state:
		s := fmt.Sprintf("state %v %v: %v in %v", b.T, b.E, b.Pre, b.Attempt)
		if b.Outcome != neither {
			s += fmt.Sprintf(", decided %v", b.Outcome)
		}
		return s
	case *attempt:
		return fmt.Sprintf("attempt %v %v %v", b.T, b.E, sideOf(b.Commit))
	case *attempted:
		return fmt.Sprintf("attempted %v %v", b.T, b.E)
	case *refusal:
		return fmt.Sprintf("refusal %v %v, joined %v", b.T, b.E, b.Elected)
	case *forget:
		return fmt.Sprintf("forget %v", b.T)
	default:
		return fmt.Sprintf("%T", body)
	}
}

// String shows the election in traces.
func (e election) String() string {
	if e.Round == 0 {
		return "0"
	}
	return fmt.Sprintf("%d.%s", e.Round, e.Node)
}

// String shows the side in traces.
func (s side) String() string {
	return [...]string{neither: "nothing", toCommit: "precommit", toAbort: "pre-abort"}[s]
}

// String shows the operation in traces.
func (o operation) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s.%s(%s %s)", o.Object, o.F, o.Key, o.Value))
}

func describeResult(r kv.Result) string {
	if r.Outcome == protocol.OK {
		if r.Value == "" {
			return "ok"
		}
		return r.Value
	}
	return r.Code
}

// String shows the lock in traces: the key, with an exclamation mark if exclusive.
func (l lockImage) String() string {
	if l.Exclusive {
		return l.Key + "!"
	}
	return l.Key
}
