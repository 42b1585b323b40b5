package paxos

import (
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/target/mesh"
)

// Describe shows a message's payload in one line, for traces.
func Describe(payload []byte) string {
	c, err := newCodec()
	if err != nil {
		return err.Error()
	}
	body, err := c.decode(payload)
	if err != nil {
		return "garbage"
	}
	switch b := body.(type) {
	case *mesh.Ping:
		return fmt.Sprintf("ping heard=%b links=%b", b.Heard, b.Links)
	case *preVote:
		return fmt.Sprintf("pre-vote commit=%d", b.Commit)
	case *preVoteAnswer:
		return fmt.Sprintf("pre-vote-answer granted=%t promised=%v", b.Granted, b.Promised)
	case *prepare:
		return fmt.Sprintf("prepare %v from=%d%s", b.Ballot, b.From, flag(b.Transfer, "transfer"))
	case *promise:
		return fmt.Sprintf("promise %v %d..%d base=%d%s%s", b.Ballot, b.From, b.To, b.Base,
			flag(!b.Last, "more"), describeVotes(b.Votes))
	case *accept:
		return fmt.Sprintf("accept %v commit=%d%s", b.Ballot, b.Commit, describeSlots(b.Proposals))
	case *accepted:
		return fmt.Sprintf("accepted %v %v", b.Ballot, b.Slots)
	case *nack:
		return fmt.Sprintf("nack %v promised=%v", b.Ballot, b.Promised)
	case *heartbeat:
		return fmt.Sprintf("heartbeat %v nonce=%d commit=%d%s", b.Ballot, b.Nonce, b.Commit,
			flag(b.Released, "released"))
	case *heartbeatAnswer:
		return fmt.Sprintf("heartbeat-answer %v nonce=%d have=%d%s", b.Ballot, b.Nonce,
			b.Have.Commit, flag(b.Granted, "granted"))
	default:
		return describeRest(body)
	}
}

func describeRest(body any) string {
	switch b := body.(type) {
	case *forward:
		return fmt.Sprintf("forward %v", b.Command)
	case *forwardAnswer:
		return fmt.Sprintf("forward-answer %d %v %s%s",
			b.Origin.N, b.Result.Outcome, b.Result.Value, b.Result.Code)
	case *read:
		return fmt.Sprintf("read %x", b.Token)
	case *readAnswer:
		return fmt.Sprintf("read-answer %x index=%d commit=%d", b.Token, b.Index, b.Commit)
	case *learn:
		return "learn" + describeSlots(b.Proposals) + flag(b.More, "more")
	case *snapshotPart:
		return fmt.Sprintf("snapshot-part index=%d %d/%d", b.Index, b.Part+1, b.Parts)
	case *progress:
		return fmt.Sprintf("progress have=%d snapshot=%d part=%d",
			b.Have.Commit, b.Have.Snapshot, b.Have.Part)
	case *transfer:
		return fmt.Sprintf("transfer %v", b.Ballot)
	case *rejoin:
		return fmt.Sprintf("rejoin have=%d want=%d", b.Have.Commit, b.Want)
	case *rejoined:
		return fmt.Sprintf("rejoined e%d promised=%v last=%d", b.Epoch, b.Promised, b.Last)
	case *order:
		return fmt.Sprintf("order %s %s", b.F, b.Target)
	default:
		return fmt.Sprintf("%T", body)
	}
}

func flag(on bool, name string) string {
	if on {
		return " " + name
	}
	return ""
}

func describeSlots(ps []proposal) string {
	var b strings.Builder
	for _, p := range ps {
		fmt.Fprintf(&b, " %d:%v", p.Slot, p.Command)
	}
	return b.String()
}

func describeVotes(vs []vote) string {
	var b strings.Builder
	for _, v := range vs {
		fmt.Fprintf(&b, " %d:%v@%v%s", v.Slot, v.Command, v.Ballot, flag(v.Chosen, "chosen"))
	}
	return b.String()
}
