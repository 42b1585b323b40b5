package kv

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Step is one step of a transaction: ["r", key, null] reads whatever the key
// holds, ["w", key, value] writes a register, ["append", key, value] appends to a
// list, ["add", key, integer] adds to a counter.
type Step struct {
	F, Key string
	// Value is compact JSON; "null" for "r".
	Value string
}

// maxSteps bounds a transaction.
const maxSteps = 64

// ParseSteps reads the value of txn.run, [[f,key,value],…].
func ParseSteps(value string) ([]Step, error) {
	var raw [][]json.RawMessage
	if err := json.Unmarshal([]byte(value), &raw); err != nil {
		return nil, fmt.Errorf("not a list of [f,key,value]: %w", err)
	}
	if len(raw) == 0 || len(raw) > maxSteps {
		return nil, fmt.Errorf("%d steps: want 1 to %d", len(raw), maxSteps)
	}
	steps := make([]Step, len(raw))
	for i, r := range raw {
		s := &steps[i]
		if len(r) != 3 {
			return nil, fmt.Errorf("step %d has %d parts: want [f,key,value]", i+1, len(r))
		}
		if err := json.Unmarshal(r[0], &s.F); err != nil {
			return nil, fmt.Errorf("step %d: f: %w", i+1, err)
		}
		if err := json.Unmarshal(r[1], &s.Key); err != nil {
			return nil, fmt.Errorf("step %d: key: %w", i+1, err)
		}
		s.Value = string(r[2])
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return steps, nil
}

func (s Step) check() error {
	switch s.F {
	case "r":
	case "w", "append":
		if s.Value == "null" {
			return fmt.Errorf("%s without a value", s.F)
		}
	case "add":
		if _, err := strconv.ParseInt(s.Value, 10, 64); err != nil {
			return fmt.Errorf("add: %w", err)
		}
	default:
		return fmt.Errorf("f %q: want r, w, append or add", s.F)
	}
	return nil
}

// FormatSteps writes steps as they are read.
func FormatSteps(steps []Step) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range steps {
		if i > 0 {
			b.WriteByte(',')
		}
		f, _ := json.Marshal(s.F) // strings always encode
		key, _ := json.Marshal(s.Key)
		fmt.Fprintf(&b, "[%s,%s,%s]", f, key, s.Value)
	}
	b.WriteByte(']')
	return b.String()
}

// stepOps are the operations that the steps come down to.
func stepOp(f string) (kind, op string) {
	switch f {
	case "w":
		return "register", "write"
	case "append":
		return "list", "append"
	default:
		return "counter", "add"
	}
}

// transact carries out a transaction: all of its steps, or none when one fails.
// The result is the steps with what the reads have found.
func (s *Store) transact(value string) Result {
	steps, err := ParseSteps(value)
	if err != nil {
		return fail(CodeBadRequest, "txn.run: %v", err)
	}
	// What the steps change is kept beside the store until the last succeeds.
	changed := map[string]object{}
	for i, st := range steps {
		o, there := changed[st.Key]
		if !there {
			o, there = s.objects[st.Key]
		}
		if st.F == "r" {
			steps[i].Value = "null"
			if there {
				r := o.read()
				if r.Outcome != protocol.OK {
					return r
				}
				steps[i].Value = r.Value
			}
			continue
		}
		kind, op := stepOp(st.F)
		if there && o.kind != kind {
			return wrongType(st.Key, o.kind, kind)
		}
		o.kind = kind
		// An append may write behind the end of the store's own list, where only
		// a transaction that succeeds makes it count.
		after, r := o.apply(op, st.Value)
		if r.Outcome != protocol.OK {
			return r
		}
		changed[st.Key] = after
	}
	for key, o := range changed {
		s.objects[key] = o
	}
	return Result{Value: FormatSteps(steps)}
}
