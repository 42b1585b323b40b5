package commit

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// operation is one step on one key.
type operation struct {
	_              struct{} `cbor:",toarray"`
	Object, F, Key string
	Value          string
}

// anyKind is the object of a step that reads whatever the key holds.
const anyKind = "any"

func (o operation) isRead() bool { return o.F == "read" }

// cell is what a key holds. Which of the fields count depends on the kind.
type cell struct {
	_     struct{} `cbor:",toarray"`
	Kind  string
	Value string   // register: compact JSON
	Count int64    // counter
	Items []string // list, set: compact JSON, oldest first
}

// The codes of replies made here, documented with the wire format.
const (
	codeAborted     = "aborted"
	codeNoSuchTxn   = "no-such-txn"
	codeTimeout     = "timeout"
	codeUnavailable = "unavailable"
)

func refuse(code, format string, args ...any) kv.Result {
	return kv.Result{Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...)}
}

// apply returns the cell after the operation, and its result. One that fails
// changes nothing. The receiver's items are not changed: a transaction that is
// not committed looks at its own copy.
func (c cell) apply(op operation) (cell, kv.Result) {
	if op.Object == anyKind {
		if c.Kind == "" {
			return c, kv.Result{Value: "null"}
		}
		return c, kv.Result{Value: c.read()}
	}
	if c.Kind != "" && c.Kind != op.Object {
		return c, refuse(kv.CodeWrongType, "key %q is a %s, not a %s", op.Key, c.Kind, op.Object)
	}
	c.Kind = op.Object
	if op.isRead() {
		return c, kv.Result{Value: c.read()}
	}
	switch op.Object + "." + op.F {
	case "register.write":
		c.Value = op.Value
	case "counter.add":
		n, err := strconv.ParseInt(op.Value, 10, 64)
		if err != nil || n > 0 && c.Count > math.MaxInt64-n || n < 0 && c.Count < math.MinInt64-n {
			return c, refuse(kv.CodeBadRequest, "counter.add: %d + %s", c.Count, op.Value)
		}
		c.Count += n
	case "list.append":
		c.Items = append(slices.Clip(c.Items), op.Value)
	case "set.add":
		if !slices.Contains(c.Items, op.Value) {
			c.Items = append(slices.Clip(c.Items), op.Value)
		}
	default:
		return c, refuse(kv.CodeNotSupported, "no operation %s.%s", op.Object, op.F)
	}
	return c, kv.Result{}
}

func (c cell) read() string {
	switch c.Kind {
	case "counter":
		return strconv.FormatInt(c.Count, 10)
	case "list", "set":
		return "[" + strings.Join(c.Items, ",") + "]"
	default:
		if c.Value == "" {
			return "null"
		}
		return c.Value
	}
}

// operationOf makes the operation that a request asks for. If it cannot be carried
// out at all, the result says why: a definite failure.
func operationOf(r protocol.Request) (operation, kv.Result) {
	op := operation{Object: r.Object, F: r.F, Key: r.Key, Value: r.Value}
	if len(r.Key)+len(r.Value) > kv.MaxCommand {
		return op, refuse(kv.CodeTooLarge, "key and value have more than %d bytes", kv.MaxCommand)
	}
	switch r.Object + "." + r.F {
	case "register.read", "counter.read", "list.read", "set.read":
	case "register.write", "list.append", "set.add":
		if !json.Valid([]byte(r.Value)) {
			return op, refuse(kv.CodeBadRequest, "%s.%s: %q is not JSON", r.Object, r.F, r.Value)
		}
	case "counter.add":
		if _, err := strconv.ParseInt(r.Value, 10, 64); err != nil {
			return op, refuse(kv.CodeBadRequest, "counter.add: %v", err)
		}
	default:
		return op, refuse(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F)
	}
	return op, kv.Result{}
}

// operationsOf makes the operations of a transaction in one request.
func operationsOf(steps []kv.Step) []operation {
	ops := make([]operation, len(steps))
	for i, s := range steps {
		op := operation{Key: s.Key, Value: s.Value}
		switch s.F {
		case "w":
			op.Object, op.F = "register", "write"
		case "append":
			op.Object, op.F = "list", "append"
		case "add":
			op.Object, op.F = "counter", "add"
		default:
			op.Object, op.F, op.Value = anyKind, "read", ""
		}
		ops[i] = op
	}
	return ops
}
