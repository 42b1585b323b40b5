package commit

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// transaction is one transaction as its client saw it.
type transaction struct {
	steps []kv.Step // with what the reads saw
	// begin and end are the calls of the first request and the return of the last.
	begin, end time.Duration
	done       bool
	outcome    protocol.Outcome
	node       protocol.NodeID
}

func (t *transaction) String() string {
	return fmt.Sprintf("%s at %s, %v to %v: %s", t.outcome, t.node, t.begin, t.end,
		kv.FormatSteps(t.steps))
}

// clients make the transactions of a run and remember them.
type clients struct {
	all    []*transaction
	unique int
}

// conversation carries out the steps of one transaction: one after the other, or
// in one request, or as a single operation outside any transaction.
type conversation struct {
	tx     *transaction
	style  style
	gaveUp bool // the client wants to abort in the end
	next   int
	handle uint64
	last   string // what was asked last: begin, step, commit, abort, or once
}

type style uint8

const (
	interactive style = iota
	oneRequest
	single
)

func (c *clients) value() string {
	c.unique++
	return strconv.Itoa(c.unique)
}

const (
	listKeys = 4
	accounts = 4
)

func listKey(i int) string { return "l" + strconv.Itoa(i) }
func account(i int) string { return "a" + strconv.Itoa(i) }

// twinKeys always hold the same value.
func twinKeys() []string { return []string{"twin0", "twin1"} }

// dialog makes a random transaction.
func (c *clients) dialog(rng *rand.Rand, _ int) sim.Dialog {
	d := &conversation{tx: &transaction{}, gaveUp: rng.IntN(12) == 0}
	d.style = style(rng.IntN(3))
	add := func(f, key, value string) {
		d.tx.steps = append(d.tx.steps, kv.Step{F: f, Key: key, Value: value})
	}
	switch rng.IntN(6) {
	case 0: // a transfer
		from, to := rng.IntN(accounts), rng.IntN(accounts)
		if d.style == interactive {
			add("r", account(from), "null")
			add("r", account(to), "null")
		}
		add("add", account(from), "-1")
		add("add", account(to), "1")
	case 1:
		for i := range accounts {
			add("r", account(i), "null")
		}
	case 2:
		v := c.value()
		for _, k := range twinKeys() {
			add("w", k, v)
		}
	case 3:
		for _, k := range twinKeys() {
			add("r", k, "null")
		}
	default:
		for range 1 + rng.IntN(3) {
			if key := listKey(rng.IntN(listKeys)); rng.IntN(2) == 0 {
				add("append", key, c.value())
			} else {
				add("r", key, "null")
			}
		}
	}
	if d.style == single && (len(d.tx.steps) > 1 || d.tx.steps[0].Key[0] != 'l') {
		d.style = oneRequest
	}
	c.all = append(c.all, d.tx)
	return d
}

// final makes what must succeed at every node in the end: to read every key, and
// to write every key.
func (c *clients) final(*sim.Cluster) []func() sim.Dialog {
	read := func(s style) func() sim.Dialog {
		return func() sim.Dialog {
			d := &conversation{tx: &transaction{}, style: s}
			for i := range listKeys {
				d.tx.steps = append(d.tx.steps, kv.Step{F: "r", Key: listKey(i), Value: "null"})
			}
			for i := range accounts {
				d.tx.steps = append(d.tx.steps, kv.Step{F: "r", Key: account(i), Value: "null"})
			}
			for _, k := range twinKeys() {
				d.tx.steps = append(d.tx.steps, kv.Step{F: "r", Key: k, Value: "null"})
			}
			c.all = append(c.all, d.tx)
			return d
		}
	}
	write := func() sim.Dialog {
		d := &conversation{tx: &transaction{}, style: oneRequest}
		for i := range listKeys {
			d.tx.steps = append(d.tx.steps, kv.Step{F: "append", Key: listKey(i), Value: c.value()})
		}
		for i := range accounts {
			d.tx.steps = append(d.tx.steps, kv.Step{F: "add", Key: account(i), Value: "0"})
		}
		v := c.value()
		for _, k := range twinKeys() {
			d.tx.steps = append(d.tx.steps, kv.Step{F: "w", Key: k, Value: v})
		}
		c.all = append(c.all, d.tx)
		return d
	}
	return []func() sim.Dialog{write, read(interactive), read(oneRequest)}
}

// Next asks the next thing, and remembers what came of the last.
func (d *conversation) Next(_ *rand.Rand, last *sim.Op) (protocol.Request, bool) {
	if last == nil {
		return d.first(), true
	}
	t := d.tx
	if d.last == "begin" || d.last == "once" {
		t.begin, t.node = last.Invoke, last.Node
	}
	ok := last.Outcome == protocol.OK
	switch d.last {
	case "once":
		d.end(last, last.Outcome)
		if ok && d.style == oneRequest {
			t.steps, _ = kv.ParseSteps(last.Value)
		} else if ok && t.steps[0].F == "r" {
			t.steps[0].Value = last.Value
		}
		return protocol.Request{}, false
	case "commit":
		d.end(last, last.Outcome)
		return protocol.Request{}, false
	case "abort":
		return protocol.Request{}, false
	case "begin":
		d.handle, _ = strconv.ParseUint(last.Value, 10, 64)
	case "step":
		if s := &t.steps[d.next-1]; ok && s.F == "r" {
			s.Value = last.Value
		}
	}
	if !ok {
		// Nobody has asked to commit, so whatever came of the operation, the
		// transaction has no effect.
		d.end(last, protocol.Fail)
		if last.Outcome == protocol.Unknown && d.last == "step" {
			return d.ask("abort"), true
		}
		return protocol.Request{}, false
	}
	if d.next < len(t.steps) {
		d.next++
		d.last = "step"
		r := operationRequest(t.steps[d.next-1])
		r.Txn = d.handle
		return r, true
	}
	if d.gaveUp {
		d.end(last, protocol.Fail)
		return d.ask("abort"), true
	}
	return d.ask("commit"), true
}

func (d *conversation) first() protocol.Request {
	d.last = "once"
	switch d.style {
	case interactive:
		d.last = "begin"
		return protocol.Request{Object: "txn", F: "begin"}
	case oneRequest:
		return protocol.Request{Object: "txn", F: "run", Value: kv.FormatSteps(d.tx.steps)}
	default:
		return operationRequest(d.tx.steps[0])
	}
}

func (d *conversation) ask(f string) protocol.Request {
	d.last = f
	return protocol.Request{Object: "txn", F: f, Txn: d.handle}
}

func (d *conversation) end(last *sim.Op, o protocol.Outcome) {
	d.tx.done, d.tx.end, d.tx.outcome = true, last.Return, o
}

func operationRequest(s kv.Step) protocol.Request {
	r := protocol.Request{Key: s.Key, Value: s.Value, F: s.F}
	switch s.Key[0] {
	case 'a':
		r.Object = "counter"
	case 'l':
		r.Object = "list"
	default:
		r.Object = "register"
	}
	switch s.F {
	case "r":
		r.F, r.Value = "read", ""
	case "w":
		r.F = "write"
	}
	return r
}
