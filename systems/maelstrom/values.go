package maelstrom

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// numbers gives each thing a number of its own, from 0: 0, 1, 2, … A thing is a key, or a
// key and a value.
type numbers struct {
	mu      sync.Mutex // guards the rest
	byThing map[thing]int64
	things  []thing
}

type thing struct {
	key   history.Key
	value history.Value // an integer or nil, which == compares
}

// of returns the number of a thing.
func (n *numbers) of(key history.Key, value history.Value) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := thing{key, value}
	i, ok := n.byThing[t]
	if !ok {
		if n.byThing == nil {
			n.byThing = map[thing]int64{}
		}
		i = int64(len(n.things))
		n.byThing[t] = i
		n.things = append(n.things, t)
	}
	return i
}

// at returns the thing with a number, if there is one.
func (n *numbers) at(i int64) (thing, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i < 0 || i >= int64(len(n.things)) {
		return thing{}, false
	}
	return n.things[i], true
}

// idOf is an id that a node has made. It may be any JSON: an integer and a text are
// themselves; anything else, also a number that is none of 64 bits, is kept as it is
// written, so that no two ids are taken for one.
func idOf(raw json.RawMessage) (history.Value, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return history.Nil(), operation.Brokenf("an id is %s", shown(raw))
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return history.Str(s), nil
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return history.Int(n), nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return history.Nil(), operation.Brokenf("an id is %s: %w", shown(raw), err)
	}
	return history.Str("json " + b.String()), nil
}

func (c *Client) addElement(ctx context.Context, op history.Event) (history.Value, error) {
	return c.answered(ctx, op, Request{"type": "add", "element": c.elements.of(op.Key, op.Value)})
}

func (c *Client) broadcast(ctx context.Context, op history.Event) (history.Value, error) {
	return c.answered(ctx, op,
		Request{"type": "broadcast", "message": c.elements.of(op.Key, op.Value)})
}

func (c *Client) readSet(ctx context.Context, op history.Event) (history.Value, error) {
	return c.readElements(ctx, op, "value")
}

func (c *Client) readMessages(ctx context.Context, op history.Event) (history.Value, error) {
	return c.readElements(ctx, op, "messages")
}

// readElements reads all that a node has, and returns what of it belongs to the key: the
// sets of a workload share the one that nodes have. What nobody has ever added belongs to
// the key that is read, as a text that says what it is.
func (c *Client) readElements(
	ctx context.Context, op history.Event, name string,
) (history.Value, error) {
	v, err := c.field(ctx, Request{"type": "read"}, name)
	if err != nil {
		return v, err
	}
	// null is how some languages write a list of nothing.
	if v.Kind() != history.KindList && !v.IsNil() {
		return v, operation.Brokenf("%s answered read with %s %s: want a list of integers", c.node,
			name, shown(v.AppendJSON(nil)))
	}
	var own []history.Value
	for i := range v.Len() {
		n, isInt := v.At(i).AsInt()
		if !isInt {
			return v, operation.Brokenf("%s answered read with the element %s: want an integer",
				c.node, shown(v.At(i).AppendJSON(nil)))
		}
		switch t, known := c.elements.at(n); {
		case !known:
			own = append(own, history.Str("element "+strconv.FormatInt(n, 10)))
		case t.key == op.Key:
			own = append(own, t.value)
		}
	}
	return history.List(own...), nil
}

// txn performs a transaction. Its keys are sent as numbers.
func (c *Client) txn(ctx context.Context, op history.Event) (history.Value, error) {
	steps, err := history.ParseSteps(op.Value)
	if err != nil {
		return op.Value, history.Definite(err) // nothing was sent
	}
	sent := make([][3]any, len(steps))
	keys := make([]history.Key, len(steps)) // as they are to come back
	for i, s := range steps {
		n := c.keys.of(s.Key, history.Nil())
		sent[i] = [3]any{s.F, n, s.Value}
		keys[i] = history.Key(strconv.FormatInt(n, 10))
	}
	request := Request{"type": "txn", "txn": sent}
	v, err := c.field(ctx, request, "txn")
	if err != nil {
		return v, err
	}
	got, err := history.ParseSteps(v)
	if err != nil {
		return v, operation.Brokenf("%s answered txn with %s: %w", c.node, shown(v.AppendJSON(nil)), err)
	}
	for i := range got {
		if i < len(keys) && got[i].Key == keys[i] {
			got[i].Key = steps[i].Key
		}
	}
	return c.result(op, history.Steps(got...))
}
