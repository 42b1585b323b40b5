package sim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// toy is the smallest machine with something to lose: a counter for each node,
// which remembers sessions. Every addition is three records, numbered without a
// gap over the node's whole life, and every so many records a checkpoint. It
// tells its peers, but does not care what they say.
type toy struct {
	cfg      protocol.Config
	out      protocol.Ready
	next     int // number of the next record
	total    int
	sessions map[uint64]uint64 // the last seq of each session
	since    int               // records since the checkpoint

	// Misbehavior, for tests of the simulation.
	onSubmit func(*toy, protocol.Request) (handled bool)
	onStep   func(*toy, protocol.Message)
	onTick   func(*toy)
}

// Records are "number total session seq"; a checkpoint is the last of them,
// followed by all sessions.
func newToy(cfg protocol.Config) (*toy, error) {
	t := &toy{cfg: cfg, next: 1, sessions: map[uint64]uint64{}}
	if cfg.Checkpoint != nil {
		for i, line := range strings.Split(strings.TrimSpace(string(cfg.Checkpoint)), "\n") {
			if err := t.recover(line, i == 0); err != nil {
				return nil, fmt.Errorf("checkpoint: %w", err)
			}
		}
	}
	for i, r := range cfg.Records {
		if err := t.recover(string(r), cfg.Checkpoint == nil && i == 0); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *toy) recover(line string, first bool) error {
	var number, total int
	var session, seq uint64
	if _, err := fmt.Sscan(line, &number, &total, &session, &seq); err != nil {
		return fmt.Errorf("record %q: %w", line, err)
	}
	if number != 0 { // 0: only a session, in a checkpoint
		if !first && number != t.next {
			return fmt.Errorf("record %d follows %d", number, t.next-1)
		}
		t.next, t.total = number+1, total
	}
	t.sessions[session] = seq
	return nil
}

func (t *toy) log(session, seq uint64) {
	r := fmt.Sprintf("%d %d %d %d", t.next, t.total, session, seq)
	t.out.Records = append(t.out.Records, []byte(r))
	t.next++
	t.since++
}

func (t *toy) Submit(_ protocol.Time, r protocol.Request) {
	if t.onSubmit != nil && t.onSubmit(t, r) {
		return
	}
	switch {
	case r.Object == "session":
		id := uint64(t.cfg.Epoch)<<32 | uint64(r.ID)
		t.sessions[id] = 0
		t.log(id, 0)
		t.reply(r, protocol.OK, strconv.FormatUint(id, 10))
		return
	case r.F == "read":
		t.reply(r, protocol.OK, strconv.Itoa(t.total))
		return
	case r.Session != 0 && t.sessions[r.Session] >= r.Seq:
		t.reply(r, protocol.OK, "null") // done already
		return
	}
	t.log(r.Session, r.Seq-1)
	t.log(r.Session, r.Seq-1)
	t.total++
	t.sessions[r.Session] = r.Seq
	t.log(r.Session, r.Seq)
	for _, id := range t.cfg.Members {
		if id != t.cfg.Self {
			t.send(id, fmt.Sprintf("%s %d", t.cfg.Self, t.next))
		}
	}
	t.reply(r, protocol.OK, "null")
}

func (t *toy) reply(r protocol.Request, o protocol.Outcome, value string) {
	t.out.Replies = append(t.out.Replies, protocol.Reply{ID: r.ID, Outcome: o, Value: value})
}

func (t *toy) send(to protocol.NodeID, text string) {
	t.out.Messages = append(t.out.Messages, protocol.Message{To: to, Payload: []byte(text)})
}

func (t *toy) Step(_ protocol.Time, m protocol.Message) {
	if t.onStep != nil {
		t.onStep(t, m)
	}
}

func (t *toy) Tick(protocol.Time) {
	if t.onTick != nil {
		t.onTick(t)
	}
}

func (t *toy) Ready() protocol.Ready {
	r := t.out
	t.out = protocol.Ready{}
	if t.since >= 40 && len(r.Records) > 0 {
		// The checkpoint holds everything but the last record.
		last := r.Records[len(r.Records)-1]
		r.Records = r.Records[len(r.Records)-1:]
		var number, total int
		if _, err := fmt.Sscan(string(last), &number, &total); err != nil {
			panic(err)
		}
		text := fmt.Sprintf("%d %d 0 0\n", number-1, total)
		for _, id := range sortedKeys(t.sessions) {
			text += fmt.Sprintf("0 0 %d %d\n", id, t.sessions[id])
		}
		r.Checkpoint = []byte(text)
		t.since = 0
	}
	return r
}

func (t *toy) Status() protocol.Status { return protocol.Status{Node: t.cfg.Self} }
