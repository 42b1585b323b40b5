package primary

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
	case *survey:
		return fmt.Sprintf("survey commit=%d", b.Commit)
	case *surveyAnswer:
		return fmt.Sprintf("survey-answer granted=%t joined=%v", b.Granted, b.View)
	case *newView:
		return fmt.Sprintf("new-view %v%s", b.View, flag(b.Sanctioned, "sanctioned"))
	case *joined:
		return fmt.Sprintf("joined %v log=%v", b.View, b.Log)
	case *fetch:
		return fmt.Sprintf("fetch %v behind=%d", b.View, b.Prev)
	case *fetched:
		return fmt.Sprintf("fetched %v%s%s%s", b.View, flag(b.Done, "done"),
			flag(b.Forgotten, "forgotten"), describeEntries(b.Prev, b.Entries))
	case *refusal:
		return fmt.Sprintf("refusal %v joined=%v", b.View, b.Joined)
	case *replicate:
		return fmt.Sprintf("replicate %v nonce=%d commit=%d behind=%d@%v%s", b.View, b.Nonce,
			b.Commit, b.Prev, b.PrevView, describeEntries(b.Prev, b.Entries))
	case *logged:
		text := fmt.Sprintf("logged %v nonce=%d matched=%d", b.View, b.Nonce, b.Matched)
		if b.Want > 0 {
			text += fmt.Sprintf(" want=%d", b.Want)
		}
		if b.State.Seq > 0 {
			text += fmt.Sprintf(" state=%d part=%d", b.State.Seq, b.State.Part)
		}
		return text
	default:
		return describeRest(body)
	}
}

func describeRest(body any) string {
	switch b := body.(type) {
	case *statePart:
		return fmt.Sprintf("state-part %v of=%v %d/%d", b.View, b.Index, b.Part+1, b.Parts)
	case *command:
		return fmt.Sprintf("command %v", b.Command)
	case *read:
		return fmt.Sprintf("read %d.%x %s %s", b.N, b.Ask, b.Object, b.Key)
	case *answer:
		return fmt.Sprintf("answer %d.%x %v %.80s%s seq=%d %d/%d",
			b.N, b.Ask, b.Outcome, b.Value, b.Code, b.Seq, b.Part+1, b.Parts)
	case *handOver:
		return fmt.Sprintf("hand-over to=%d", b.Target)
	case *takeOver:
		return fmt.Sprintf("take-over %v", b.View)
	default:
		return fmt.Sprintf("%T", body)
	}
}

// String returns "12@v3".
func (e end) String() string { return fmt.Sprintf("%d@%v", e.Seq, e.View) }

func flag(on bool, name string) string {
	if on {
		return " " + name
	}
	return ""
}

func describeEntries(prev uint64, es []entry) string {
	var b strings.Builder
	for i, e := range es {
		fmt.Fprintf(&b, " %d@%v:%v", prev+1+uint64(i), e.View, e.Command)
	}
	return b.String()
}
