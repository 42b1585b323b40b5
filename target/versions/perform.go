package versions

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// MaxData bounds key and value together, so that a request fits one datagram.
const MaxData = 32_000

// Fail makes the result of something that has no effect.
func Fail(code, format string, args ...any) kv.Result {
	return kv.Result{Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...)}
}

// operations are what Perform can do, by object; true if it takes a value.
func operations() map[string]map[string]bool {
	return map[string]map[string]bool{
		"register": {"read": false, "write": true, "cas": true},
		"counter":  {"read": false, "add": true},
		"list":     {"read": false, "append": true},
		"set":      {"read": false, "add": true},
	}
}

// Check tells whether an operation can be carried out at all; a result with an
// outcome other than OK says why not.
func Check(r protocol.Request) kv.Result {
	takes, known := operations()[r.Object][r.F]
	var err error
	switch {
	case len(r.Key)+len(r.Value) > MaxData:
		return Fail(kv.CodeTooLarge, "key and value have more than %d bytes", MaxData)
	case !known:
		return Fail(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F)
	case takes && !json.Valid([]byte(r.Value)):
		err = fmt.Errorf("%q is not JSON", r.Value)
	case r.F == "cas":
		_, _, err = splitPair(r.Value)
	case r.Object == "counter" && takes:
		_, err = strconv.ParseInt(r.Value, 10, 64)
	}
	if err != nil {
		return Fail(kv.CodeBadRequest, "%s.%s: %v", r.Object, r.F, err)
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

// Perform carries out an operation, which Check has let through, on the value
// that its key holds. It returns the result and, if one is needed, the update. An
// operation that fails has none.
func (v Value) Perform(r protocol.Request) (kv.Result, []Update) {
	if v.kind != "" && v.kind != r.Object {
		return Fail(kv.CodeWrongType, "key %q is a %s, not a %s", r.Key, v.kind, r.Object), nil
	}
	u := Update{Kind: r.Object, F: r.F, Arg: r.Value}
	switch r.F {
	case "read":
		if v.kind == "" {
			return kv.Result{Value: Empty(r.Object)}, nil
		}
		return kv.Result{Value: v.Read()}, nil
	case "cas":
		from, to, err := splitPair(r.Value)
		if is := v.Read(); err != nil || is != from {
			return Fail(kv.CodePrecondition, "expected %s, found %s", from, is), nil
		}
		u.F, u.Arg = "write", to
	case "add":
		if r.Object == "set" {
			u.F = "append"
			break
		}
		n, err := strconv.ParseInt(r.Value, 10, 64)
		if err != nil || n > 0 && v.count > math.MaxInt64-n || n < 0 && v.count < math.MinInt64-n {
			return Fail(kv.CodeBadRequest, "counter.add: %d + %s overflows", v.count, r.Value), nil
		}
	}
	return kv.Result{}, []Update{u}
}

// Step carries out one step of a transaction on the value that its key holds. A
// read finds its result in the step.
func (v Value) Step(s *kv.Step) (kv.Result, []Update) {
	r := protocol.Request{Key: s.Key, Value: s.Value}
	switch s.F {
	case "r":
		s.Value = v.Read()
		return kv.Result{}, nil
	case "w":
		r.Object, r.F = "register", "write"
	case "append":
		r.Object, r.F = "list", "append"
	default:
		r.Object, r.F = "counter", "add"
	}
	return v.Perform(r)
}
