package testnode

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"time"
)

// handle answers a request of a client, or takes what another node has sent.
func (n *node) handle(m message) {
	if !strings.HasPrefix(m.Src, "c") { // of a node
		n.learn(m.Body)
		return
	}
	if n.rude(m) {
		return
	}
	t := m.Body["type"].(string)
	if t == "topology" {
		topology := m.Body["topology"].(map[string]any)
		n.mu.Lock()
		n.neighbors = nil
		for _, to := range topology[n.id].([]any) {
			n.neighbors = append(n.neighbors, to.(string))
		}
		n.mu.Unlock()
		n.answer(m, body{"type": "topology_ok"})
		return
	}
	b := n.do(t, m.Body)
	if b["type"] == nil {
		b["type"] = t + "_ok"
	}
	n.answer(m, b)
}

// rude does what the protocol does not allow, if that is what is wrong with the node.
func (n *node) rude(m message) bool {
	if !n.nth(10) {
		return false
	}
	switch n.wrong {
	case "garbage":
		n.mu.Lock()
		_, _ = io.WriteString(n.out, "DEBUG: \x1b[1mhandling\xff a request\n")
		n.mu.Unlock()
	case "stranger":
		n.write("n99", body{"type": "hello", "msg_id": 1})
	case "forger":
		n.write(m.Src, body{"type": "hello"})
		n.mu.Lock()
		_, _ = io.WriteString(n.out, `{"src":"n77","dest":"c1","body":{"type":"read_ok"}}`+"\n")
		n.mu.Unlock()
	case "long":
		n.write("n1", body{"type": "long", "text": strings.Repeat("x", 17<<20)})
	case "liar":
		n.answer(m, body{"type": "sure_ok", "value": []any{"yes"}})
		return true
	case "text":
		if m.Body["type"] == "read" {
			n.answer(m, body{"type": "read_ok", "value": "5", "messages": "5"})
			return true
		}
	case "crash":
		panic("out of luck")
	}
	return false
}

// do answers a request of a client.
func (n *node) do(t string, b body) body {
	switch n.kind + " " + t {
	case "echo echo":
		if n.wrong == "lose" && n.nth(7) {
			return body{"echo": "what?"}
		}
		return body{"echo": b["echo"]}
	case "unique-ids generate":
		n.mu.Lock()
		defer n.mu.Unlock()
		n.lastID++
		if n.wrong == "same" {
			return body{"id": n.lastID}
		}
		return body{"id": []any{n.id, n.lastID}}
	case "broadcast broadcast":
		return n.add(b["message"].(float64))
	case "g-set add":
		return n.add(b["element"].(float64))
	case "broadcast read", "g-set read":
		n.mu.Lock()
		defer n.mu.Unlock()
		return body{"messages": n.elements(), "value": n.elements()}
	case "g-counter add", "pn-counter add":
		return n.count(b["delta"].(float64))
	case "g-counter read", "pn-counter read":
		return n.sum()
	case "lin-kv read", "lin-kv write", "lin-kv cas":
		return n.register(t, b)
	case "txn-list-append txn", "txn-rw-register txn":
		return n.txn(b["txn"].([]any))
	case "kafka send", "kafka poll", "kafka list_committed_offsets", "kafka commit_offsets":
		return n.kafka(t, b)
	}
	return body{"type": "error", "code": 10, "text": n.kind + " has no " + t}
}

func (n *node) add(e float64) body {
	if n.wrong == "lose" && n.nth(7) {
		return body{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set[e] = true
	if n.wrong == "once" {
		for _, to := range n.ids {
			n.writeLocked(to, body{"type": "gossip", "set": []float64{e}})
		}
	}
	return body{}
}

func (n *node) count(delta float64) body {
	if n.wrong == "lose" && n.nth(7) {
		return body{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	own := n.counts[n.id]
	if delta < 0 {
		own[1] -= delta
	} else {
		own[0] += delta
	}
	n.counts[n.id] = own
	return body{}
}

func (n *node) sum() body {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum float64
	for _, c := range n.counts {
		sum += c[0] - c[1]
	}
	return body{"value": sum}
}

// register is a proxy of the service, or a store of its own that tells the others.
func (n *node) register(t string, b body) body {
	if n.wrong != "local" {
		got := n.ask("lin-kv", maps.Clone(b))
		delete(got, "in_reply_to")
		return got
	}
	key := fmt.Sprint(b["key"])
	n.mu.Lock()
	defer n.mu.Unlock()
	was, there := n.values[key]
	switch {
	case t == "read" && there:
		return body{"value": was}
	case t != "write" && !there:
		return body{"type": "error", "code": 20}
	case t == "cas" && was != b["from"]:
		return body{"type": "error", "code": 22}
	}
	n.values[key] = b["value"]
	if t == "cas" {
		n.values[key] = b["to"]
	}
	// Late enough that somebody reads the old value meanwhile, however slow the machine is.
	news := body{"type": "gossip", "key": key, "value": n.values[key]}
	time.AfterFunc(100*time.Millisecond, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, to := range n.ids {
			n.writeLocked(to, news)
		}
	})
	return body{}
}

// change reads what a key of the service holds, lets change make something else of it, and
// writes that if nobody else has meanwhile. A nil result is not written.
func (n *node) change(key string, change func(was any) any) bool {
	for range 100 {
		got := n.ask("lin-kv", body{"type": "read", "key": key})
		if got["type"] == "error" && got["code"] != 20.0 {
			return false
		}
		is := change(got["value"])
		if is == nil {
			return true
		}
		got = n.ask("lin-kv", body{
			"type": "cas", "key": key, "from": got["value"], "to": is, "create_if_not_exists": true,
		})
		if got["type"] == "cas_ok" {
			return true
		}
	}
	return false
}

// txn is a transaction on one value of the service that holds everything.
func (n *node) txn(steps []any) body {
	forgets := n.wrong == "lose" && n.nth(7)
	done := n.change("root", func(was any) any {
		db := map[string]any{}
		old, _ := was.(map[string]any)
		for k, v := range old {
			db[k] = v
		}
		changes := false
		for _, s := range steps {
			step := s.([]any)
			key := fmt.Sprint(step[1])
			switch step[0] {
			case "r":
				step[2] = db[key]
				continue
			case "w":
				db[key] = step[2]
			case "append":
				list, _ := db[key].([]any)
				db[key] = append(append([]any{}, list...), step[2])
			}
			changes = true
		}
		if !changes || forgets {
			return nil
		}
		return db
	})
	if !done {
		return body{"type": "error", "code": 30, "text": "too many at once"}
	}
	return body{"txn": steps}
}

// kafka is a log for each key, in the service.
func (n *node) kafka(t string, b body) body {
	switch t {
	case "commit_offsets":
		n.mu.Lock()
		defer n.mu.Unlock()
		for key, offset := range b["offsets"].(map[string]any) {
			was, _ := n.values[key].(float64)
			n.values[key] = max(was, offset.(float64))
		}
		return body{}
	case "list_committed_offsets":
		n.mu.Lock()
		defer n.mu.Unlock()
		offsets := body{}
		for _, key := range b["keys"].([]any) {
			if offset, committed := n.values[key.(string)]; committed {
				offsets[key.(string)] = offset
			}
		}
		return body{"offsets": offsets}
	case "send":
		offset := 0
		done := n.change(b["key"].(string), func(was any) any {
			list, _ := was.([]any)
			offset = len(list)
			return append(append([]any{}, list...), b["msg"])
		})
		if !done {
			return body{"type": "error", "code": 11}
		}
		return body{"offset": offset}
	}
	msgs := body{}
	for key, from := range b["offsets"].(map[string]any) {
		got := n.ask("lin-kv", body{"type": "read", "key": key})
		list, _ := got["value"].([]any)
		var pairs [][2]any
		for i := int(from.(float64)); i < len(list) && len(pairs) < 10; i++ {
			if n.wrong == "lose" && i%5 == 3 {
				continue
			}
			offset := i
			if n.wrong == "shift" && from.(float64) > 0 {
				offset++
			}
			pairs = append(pairs, [2]any{offset, list[i]})
		}
		if pairs != nil {
			msgs[key] = pairs
		}
	}
	return body{"msgs": msgs}
}
