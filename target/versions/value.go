package versions

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Value is what a key holds in one version. It does not change once made.
type Value struct {
	kind  string // see Kind
	text  string // register: compact JSON
	count int64  // counter
	items list   // list, set: compact JSON each
}

// Update is one change of a key, and what a log of versions consists of.
type Update struct {
	_    struct{} `cbor:",toarray"`
	Kind string   // of the value that it leaves behind
	F    string   // "write", "add", "append", or "put" for the whole value
	// Arg is compact JSON; for put what Read returns.
	Arg string
}

// list is a sequence that shares its memory with those it was made from.
type list struct {
	shared *[]string
	n      int
}

// push returns the list with one element more.
func (l list) push(x string) list {
	if l.shared == nil || len(*l.shared) != l.n {
		// Somebody else has gone on from here: part with them.
		own := append(make([]string, 0, l.n+8), l.all()...)
		l.shared = &own
	}
	*l.shared = append(*l.shared, x)
	return list{l.shared, l.n + 1}
}

func (l list) all() []string {
	if l.shared == nil {
		return nil
	}
	return (*l.shared)[:l.n]
}

// Kind is "register", "counter", "list" or "set"; "" if the key is absent.
func (v Value) Kind() string { return v.kind }

// Apply returns the value after the update, which fits: Perform has seen to that.
func (v Value) Apply(u Update) Value {
	switch u.F {
	case "put":
		return parse(u.Kind, u.Arg)
	case "write":
		return Value{kind: u.Kind, text: u.Arg}
	case "append":
		return Value{kind: u.Kind, items: v.items.push(u.Arg)}
	default:
		n, err := strconv.ParseInt(u.Arg, 10, 64)
		if err != nil {
			return v
		}
		return Value{kind: u.Kind, count: v.count + n}
	}
}

// ApplyAll returns the value after the updates, in their order.
func (v Value) ApplyAll(us []Update) Value {
	for _, u := range us {
		v = v.Apply(u)
	}
	return v
}

// Read returns the value as compact JSON; "null" for an absent one.
func (v Value) Read() string {
	switch v.kind {
	case "register":
		return v.text
	case "counter":
		return strconv.FormatInt(v.count, 10)
	case "list":
		return "[" + strings.Join(v.items.all(), ",") + "]"
	case "set":
		// A set keeps every addition, and says each element once.
		seen := make(map[string]bool, v.items.n)
		var once []string
		for _, x := range v.items.all() {
			if !seen[x] {
				seen[x] = true
				once = append(once, x)
			}
		}
		return "[" + strings.Join(once, ",") + "]"
	default:
		return "null"
	}
}

// put is the Update that makes any Value into v.
func (v Value) Put() Update { return Update{Kind: v.kind, F: "put", Arg: v.Read()} }

// Equal reports whether both are of one kind and read the same.
func (v Value) Equal(w Value) bool { return v.kind == w.kind && v.Read() == w.Read() }

// parse is the inverse of Read.
func parse(kind, text string) Value {
	v := Value{kind: kind}
	switch kind {
	case "register":
		v.text = text
	case "counter":
		v.count, _ = strconv.ParseInt(text, 10, 64) // what is no number is zero
	case "list", "set":
		var items []json.RawMessage
		if json.Unmarshal([]byte(text), &items) != nil {
			return v
		}
		for _, x := range items {
			v.items = v.items.push(string(x))
		}
	}
	return v
}

// Empty is what an absent key reads as, by kind of object.
func Empty(kind string) string {
	switch kind {
	case "counter":
		return "0"
	case "list", "set":
		return "[]"
	default:
		return "null"
	}
}
