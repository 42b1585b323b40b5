package maelstrom

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// The kafka workload has logs by keys, which are texts. An append is a send, whose offset is
// the position; a read polls from the beginning until there is no more, and commits what it
// has read. Because a log only grows and has one order, what the polls show one after the
// other is how it begins.
//
// The history knows messages, and of offsets only those of sends. Where a node contradicts
// itself about offsets, the message is replaced by a text that says so, which nobody has
// ever sent.

// offsets is what nodes have said about offsets, to any client.
type offsets struct {
	mu        sync.Mutex // guards the rest
	messages  map[place]int64
	places    map[place]int64 // of a message, by its key and itself: its offset
	committed map[place]bool  // somebody has tried to
}

// place is something about a log: an offset, or a message.
type place struct {
	log string
	n   int64
}

// note compares an offset of a message with all that was said before: one has one of the
// other. It returns what contradicts that, "" if nothing does.
func (o *offsets) note(log string, offset, message int64) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.messages == nil {
		o.messages, o.places = map[place]int64{}, map[place]int64{}
	}
	if other, known := o.messages[place{log, offset}]; known && other != message {
		return fmt.Sprintf("%d at offset %d, where %d was", message, offset, other)
	}
	if other, known := o.places[place{log, message}]; known && other != offset {
		return fmt.Sprintf("%d at offset %d, which was at %d", message, offset, other)
	}
	o.messages[place{log, offset}], o.places[place{log, message}] = message, offset
	return ""
}

// commits notes that somebody tries to commit an offset.
func (o *offsets) commits(log string, offset int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.committed == nil {
		o.committed = map[place]bool{}
	}
	o.committed[place{log, offset}] = true
}

func (o *offsets) wasCommitted(log string, offset int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.committed[place{log, offset}]
}

func (c *Client) logKey(key history.Key) string {
	return "k" + strconv.FormatInt(c.keys.of(key, history.Nil()), 10)
}

func (c *Client) send(ctx context.Context, op history.Event) (history.Value, error) {
	log := c.logKey(op.Key)
	v, err := c.plain(ctx, op, Request{"type": "send", "key": log, "msg": op.Value}, "offset")
	if err != nil {
		return v, err
	}
	offset, isInt := v.AsInt()
	if !isInt {
		return v, operation.Brokenf("%s answered send without an offset", c.node)
	}
	// What contradicts it is in the history: the offset is the position of the append.
	message, _ := op.Value.AsInt()
	c.offsets.note(log, offset, message)
	return v, nil
}

// longest is the number of messages at which the reading of a log is given up: more than
// were ever sent.
const longest = 1 << 20

func (c *Client) poll(ctx context.Context, op history.Event) (history.Value, error) {
	log := c.logKey(op.Key)
	var read []history.Value
	next := int64(0)
	for len(read) < longest {
		body, err := c.ask(ctx, Request{"type": "poll", "offsets": map[string]int64{log: next}})
		if err != nil {
			return history.Nil(), err
		}
		entries, err := c.entries(body, log)
		if err != nil {
			return history.Nil(), err
		}
		for _, e := range entries {
			v := history.Int(e.message)
			if wrong := c.offsets.note(log, e.offset, e.message); wrong != "" {
				v = history.Str(wrong)
			}
			read = append(read, v)
		}
		if len(entries) == 0 || entries[len(entries)-1].offset < next {
			break // it is the end, or goes backwards, which the history shows
		}
		next = entries[len(entries)-1].offset + 1
	}
	if next > 0 {
		wrong, err := c.commit(ctx, log, next-1)
		if err != nil {
			return history.Nil(), err
		}
		if wrong != "" {
			read = append(read, history.Str(wrong))
		}
	}
	return history.List(read...), nil
}

// commit commits an offset, and looks whether what is committed then is something that
// somebody has tried to. It returns what is wrong with it.
func (c *Client) commit(ctx context.Context, log string, offset int64) (string, error) {
	c.offsets.commits(log, offset)
	_, err := c.ask(ctx, Request{"type": "commit_offsets", "offsets": map[string]int64{log: offset}})
	if err != nil {
		return "", err
	}
	request := Request{"type": "list_committed_offsets", "keys": []string{log}}
	body, err := c.ask(ctx, request)
	if err != nil {
		return "", err
	}
	var committed map[string]*int64
	if err := json.Unmarshal(body["offsets"], &committed); err != nil {
		return "", operation.Brokenf("%s answered list_committed_offsets with %s: want offsets by keys",
			c.node, shown(body["offsets"]))
	}
	if at := committed[log]; at != nil && !c.offsets.wasCommitted(log, *at) {
		return fmt.Sprintf("committed offset %d, which nobody has committed", *at), nil
	}
	return "", nil
}

// entry is a message of a log.
type entry struct{ offset, message int64 }

// entries reads what was polled of a log: [[offset, message], …].
func (c *Client) entries(body Body, log string) ([]entry, error) {
	broken := func(what json.RawMessage) error {
		return operation.Brokenf("%s answered poll with %s: want the messages as [[offset, message], …] "+
			"by their keys, of integers", c.node, shown(what))
	}
	var msgs map[string]json.RawMessage
	if err := json.Unmarshal(body["msgs"], &msgs); err != nil {
		return nil, broken(body["msgs"])
	}
	raw, there := msgs[log]
	if !there {
		return nil, nil
	}
	var v history.Value
	if err := v.UnmarshalJSON(raw); err != nil || v.Kind() != history.KindList && !v.IsNil() {
		return nil, broken(raw)
	}
	out := make([]entry, v.Len())
	for i := range out {
		pair, isPair := v.At(i).AsInts()
		if !isPair || len(pair) != 2 {
			return nil, broken(raw)
		}
		out[i] = entry{pair[0], pair[1]}
	}
	return out, nil
}
