package maelstrom

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// Clients makes clients of one of Maelstrom's workloads. They share the numbers that stand
// for keys and elements. Its methods are safe for concurrent use.
type Clients struct {
	net      Network
	protocol Protocol
	// keys are the numbers of keys, which Maelstrom's clients take for integers; elements
	// those of what is added to sets, of which a node has only one: of a key and a value.
	keys, elements numbers
	offsets        offsets
}

// NewClients makes clients of nodes in a network.
func NewClients(net Network, p Protocol) *Clients { return &Clients{net: net, protocol: p} }

// Open makes a client that talks to one node, about one kind of object.
func (c *Clients) Open(node, object string) *Client {
	return &Client{Clients: c, port: c.net.Connect(), node: node, object: object}
}

// Probe does one operation that changes nothing.
func (c *Clients) Probe(ctx context.Context, node string) error {
	client := c.Open(node, c.protocol.Objects[0])
	_, err := client.Invoke(ctx, c.protocol.probe)
	return errors.Join(err, client.Close())
}

// Client is one logical client, used by one goroutine at a time.
type Client struct {
	*Clients
	port         Port
	node, object string
}

// call performs one kind of operation and returns its result.
type call func(c *Client, ctx context.Context, op history.Event) (history.Value, error)

// Close ends the client. What still comes for it is lost.
func (c *Client) Close() error { return c.port.Close() }

// Invoke implements workload.Client.
func (c *Client) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	do := c.protocol.calls[op.F]
	if do == nil {
		return op, history.Definite(fmt.Errorf("%s has no operation %s", c.protocol.Name, op.F))
	}
	out, err := do(c, ctx, op)
	if err == nil {
		op.Value = out
		return op, nil
	}
	var answer *Error
	// What cannot have an effect has failed for certain.
	if !operation.Changes(op) || errors.As(err, &answer) && answer.Definite() {
		err = history.Definite(err)
	}
	return op, err
}

// ask sends a request and returns the answer, which is of the type that belongs to it.
func (c *Client) ask(ctx context.Context, request Request) (Body, error) {
	body, err := c.port.Call(ctx, c.node, request)
	if err != nil {
		return nil, err
	}
	asked, _ := request["type"].(string) // they are all made here
	switch t := body.Type(); t {
	case asked + "_ok":
		return body, nil
	case "error":
		return nil, errorOf(body)
	default:
		return nil, operation.Brokenf("%s answered %s by a message of the type %q: want %s_ok or error",
			c.node, asked, t, asked)
	}
}

// answered is ask for what has no result but that it was done.
func (c *Client) answered(
	ctx context.Context, op history.Event, request Request,
) (history.Value, error) {
	_, err := c.ask(ctx, request)
	return op.Value, err
}

// field asks, and returns one field of the answer as a value.
func (c *Client) field(ctx context.Context, request Request, name string) (history.Value, error) {
	body, err := c.ask(ctx, request)
	if err != nil {
		return history.Nil(), err
	}
	return c.valueOf(body, request, name)
}

// valueOf reads a field of an answer, which has to be there.
func (c *Client) valueOf(body Body, request Request, name string) (history.Value, error) {
	raw, there := body[name]
	if !there {
		return history.Nil(), operation.Brokenf("%s answered %s without %s", c.node,
			request["type"], name)
	}
	var v history.Value
	if err := v.UnmarshalJSON(raw); err != nil {
		return v, operation.Brokenf("%s answered %s with %s: %w", c.node, request["type"], shown(raw),
			err)
	}
	return v, nil
}

// result holds an answer against what was asked, by the rules for the kind of object.
func (c *Client) result(op history.Event, out history.Value) (history.Value, error) {
	got, err := operation.Result(c.object, op, out)
	return got.Value, err
}

// plain reads one value as a field of an answer.
func (c *Client) plain(
	ctx context.Context, op history.Event, request Request, name string,
) (history.Value, error) {
	v, err := c.field(ctx, request, name)
	if err != nil {
		return v, err
	}
	return c.result(op, v)
}

func (c *Client) echo(ctx context.Context, op history.Event) (history.Value, error) {
	body, err := c.ask(ctx, Request{"type": "echo", "echo": op.Value})
	if err != nil || body["echo"] == nil {
		return history.Nil(), err // without it, it is no echo, which the checker says
	}
	var v history.Value
	if err := v.UnmarshalJSON(body["echo"]); err != nil {
		return v, operation.Brokenf("%s answered echo with %s: %w", c.node, shown(body["echo"]), err)
	}
	return v, nil
}

func (c *Client) generate(ctx context.Context, _ history.Event) (history.Value, error) {
	body, err := c.ask(ctx, Request{"type": "generate"})
	if err != nil {
		return history.Nil(), err
	}
	return idOf(body["id"])
}

func (c *Client) addDelta(ctx context.Context, op history.Event) (history.Value, error) {
	return c.answered(ctx, op, Request{"type": "add", "delta": op.Value})
}

func (c *Client) readCounter(ctx context.Context, op history.Event) (history.Value, error) {
	return c.plain(ctx, op, Request{"type": "read"}, "value")
}

func (c *Client) readKey(ctx context.Context, op history.Event) (history.Value, error) {
	request := Request{"type": "read", "key": c.keys.of(op.Key, history.Nil())}
	v, err := c.plain(ctx, op, request, "value")
	var answer *Error
	if errors.As(err, &answer) && answer.Code == CodeKeyDoesNotExist {
		return history.Nil(), nil
	}
	return v, err
}

func (c *Client) writeKey(ctx context.Context, op history.Event) (history.Value, error) {
	return c.answered(ctx, op, Request{
		"type": "write", "key": c.keys.of(op.Key, history.Nil()), "value": op.Value,
	})
}

// errAbsent is why a compare-and-set that wants nothing to be there is not sent.
var errAbsent = errors.New("no cas of Maelstrom asks that there is no value: nothing was sent")

func (c *Client) casKey(ctx context.Context, op history.Event) (history.Value, error) {
	if op.Value.Len() != 2 || op.Value.At(0).IsNil() {
		return history.Nil(), history.Definite(errAbsent)
	}
	return c.answered(ctx, op, Request{
		"type": "cas", "key": c.keys.of(op.Key, history.Nil()),
		"from": op.Value.At(0), "to": op.Value.At(1),
	})
}
