package mvcc

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// The codes that only transactions have; the others are those of package kv.
const (
	codeConflict = "conflict"
	codeNoTxn    = "no-such-txn"
	codeAborted  = "aborted"
)

func fail(code, format string, args ...any) kv.Result {
	return kv.Result{Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...)}
}

// maxData bounds key and value, so that a request fits one datagram.
const maxData = 32_000

// operations are what perform can do, by object; true if it takes a value.
func operations() map[string]map[string]bool {
	return map[string]map[string]bool{
		"register": {"read": false, "write": true, "cas": true},
		"counter":  {"read": false, "add": true},
		"list":     {"read": false, "append": true},
		"set":      {"read": false, "add": true},
	}
}

// check tells whether a request can be carried out at all; a result with an
// outcome other than OK says why not.
func check(r protocol.Request) kv.Result {
	takes, known := operations()[r.Object][r.F]
	var err error
	switch {
	case len(r.Key)+len(r.Value) > maxData:
		return fail(kv.CodeTooLarge, "key and value have more than %d bytes", maxData)
	case !known:
		return fail(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F)
	case takes && !json.Valid([]byte(r.Value)):
		err = fmt.Errorf("%q is not JSON", r.Value)
	case r.F == "cas":
		_, _, err = splitPair(r.Value)
	case r.Object == "counter" && takes:
		_, err = strconv.ParseInt(r.Value, 10, 64)
	}
	if err != nil {
		return fail(kv.CodeBadRequest, "%s.%s: %v", r.Object, r.F, err)
	}
	return kv.Result{}
}

// splitPair takes [old,new] apart.
func splitPair(text string) (from, to string, err error) {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(text), &parts); err != nil {
		return "", "", fmt.Errorf("no pair: %w", err)
	}
	if len(parts) != 2 {
		return "", "", errors.New("no pair")
	}
	return string(parts[0]), string(parts[1]), nil
}

// perform carries out one operation, which check has let through, inside a
// transaction. One that fails changes nothing, and the transaction stays open.
func (d *database) perform(t *txn, r protocol.Request) kv.Result {
	v := d.read(t, r.Key)
	if v.kind != "" && v.kind != r.Object {
		return fail(kv.CodeWrongType, "key %q is a %s, not a %s", r.Key, v.kind, r.Object)
	}
	u := update{Kind: r.Object, F: r.F, Arg: r.Value}
	switch r.F {
	case "read":
		if v.kind == "" {
			return kv.Result{Value: empty(r.Object)}
		}
		return kv.Result{Value: v.read()}
	case "cas":
		from, to, err := splitPair(r.Value)
		if is := v.read(); err != nil || is != from {
			return fail(kv.CodePrecondition, "expected %s, found %s", from, is)
		}
		u.F, u.Arg = "write", to
	case "add":
		if r.Object == "set" {
			u.F = "append"
			break
		}
		n, err := strconv.ParseInt(r.Value, 10, 64)
		if err != nil || n > 0 && v.count > math.MaxInt64-n || n < 0 && v.count < math.MinInt64-n {
			return fail(kv.CodeBadRequest, "counter.add: %d + %s overflows", v.count, r.Value)
		}
	}
	d.write(t, r.Key, u)
	return kv.Result{}
}

// step carries out one step of a transaction that came in one request.
func (d *database) stepOf(t *txn, s *kv.Step) kv.Result {
	r := protocol.Request{Key: s.Key, Value: s.Value}
	switch s.F {
	case "r":
		s.Value = d.read(t, s.Key).read()
		return kv.Result{}
	case "w":
		r.Object, r.F = "register", "write"
	case "append":
		r.Object, r.F = "list", "append"
	default:
		r.Object, r.F = "counter", "add"
	}
	return d.perform(t, r)
}
