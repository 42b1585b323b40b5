package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wire"
)

// replyGrace and the codes are as in target/server.
const (
	replyGrace = 500 * time.Millisecond
	maxWaiting = 8192
)

// exchange is a client's request at a node, and where its answer goes.
type exchange struct {
	request protocol.Request
	answer  func(status int, body []byte)
}

// end gives the answer, once; status 0 is a connection that breaks.
func (x *exchange) end(status int, body []byte) {
	if answer := x.answer; answer != nil {
		x.answer = nil
		answer(status, body)
	}
}

// Post is a client's request for /v1/op at a node that runs. answer is called once, when
// the node answers: with the HTTP status and the body; with status 0 when the node ends
// before it has. It fails with ErrDown.
func (c *Cluster) Post(i int, body []byte, answer func(status int, body []byte)) error {
	n := c.nodes[i]
	if n.machine == nil {
		return ErrDown
	}
	request, err := wire.ReadRequest(bytes.NewReader(body))
	x := &exchange{request: request, answer: answer}
	if err != nil {
		status, response := wire.Refusal(err)
		x.end(status, wire.Encode(response))
		return nil
	}
	n.take(input{request: x})
	return nil
}

// Life tells the starts and ends of a node apart: a connection to an earlier life is
// broken.
func (c *Cluster) Life(i int) int { return c.nodes[i].life }

// submit hands a request to the machine.
func (n *node) submit(x *exchange) {
	if len(n.waiting) >= maxWaiting {
		n.respond(x, protocol.Reply{Outcome: protocol.Fail, Code: "overloaded",
			Error: fmt.Sprintf("%d requests wait already", maxWaiting)})
		return
	}
	n.lastReq++
	n.counts.requests++
	x.request.ID = n.lastReq
	n.waiting[x.request.ID] = x
	// On true time: it is the server's promise to its client.
	n.after(n.c.cfg.RequestTimeout+replyGrace, func() {
		if x.answer != nil && !n.paused {
			n.respond(x, protocol.Reply{Outcome: protocol.Unknown, Code: "timeout",
				Error: "no answer in time; the request may still take effect"})
		}
	})
	n.machine.Submit(n.time(), x.request)
}

// reply answers a request. One that nobody asked is counted.
func (n *node) reply(r protocol.Reply) {
	x, ok := n.waiting[r.ID]
	if !ok {
		n.counts.stray++
		return
	}
	delete(n.waiting, r.ID)
	n.respond(x, r)
}

func (n *node) respond(x *exchange, r protocol.Reply) {
	if x.answer != nil {
		x.end(http.StatusOK, wire.Encode(wire.Answer(r)))
	}
}

// counts are what a process has done.
type counts struct {
	received, sent, requests, stray, batches, ticks, records, syncs, checkpoints uint64
}

// status is what GET /status answers.
type status struct {
	protocol.Status
	Version  string            `json:"version"`
	Bugs     []bug.ID          `json:"bugs"`
	Volatile bool              `json:"volatile"`
	Clock    clockStatus       `json:"clock"`
	Counters map[string]uint64 `json:"counters"`
}

type clockStatus struct {
	Wall        time.Time `json:"wall"`
	WallErrorNS int64     `json:"wall_error_ns"`
	MonotonicNS int64     `json:"monotonic_ns"`
	RunningNS   int64     `json:"running_ns"`
}

// Status is the body of a node's /status. It fails with ErrDown, also while the node is
// paused: nobody answers then.
func (c *Cluster) Status(i int) ([]byte, error) {
	n := c.nodes[i]
	if n.machine == nil || n.paused {
		return nil, ErrDown
	}
	disk := n.disk.wal.Counts()
	s := status{
		Status: n.machine.Status(), Version: "simulated", Bugs: []bug.ID{}, Volatile: true,
		Clock: clockStatus{
			Wall: n.clock.Wall(), WallErrorNS: int64(n.clock.WallError()),
			MonotonicNS: int64(n.clock.Mono()), RunningNS: int64(c.world.Now() - n.started),
		},
		Counters: map[string]uint64{
			"messages_received": n.counts.received, "messages_sent": n.counts.sent,
			"requests": n.counts.requests, "replies_stray": n.counts.stray,
			"batches": n.counts.batches, "ticks": n.counts.ticks, "records": n.counts.records,
			"syncs": n.counts.syncs, "checkpoints": n.counts.checkpoints,
			"disk_delayed_syncs": disk.DelayedSyncs, "disk_failed_syncs": disk.FailedSyncs,
			"disk_refused_writes": disk.RefusedWrites, "disk_torn_writes": disk.TornWrites,
		},
	}
	if c.cfg.Bug != "" {
		s.Bugs = append(s.Bugs, bug.ID(c.cfg.Bug))
	}
	return json.Marshal(s)
}
