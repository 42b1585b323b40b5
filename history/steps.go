package history

import (
	"fmt"
	"slices"
	"strconv"
	"unsafe"
)

// Step is one step of a transaction: ["r", key, null] reads a key, ["w", key, value]
// writes a register, ["append", key, value] appends to a list, ["add", key, n] adds
// to a number. Jepsen calls it a micro-operation.
type Step struct {
	F     F
	Key   Key
	Value Value
}

// The Fs of steps.
const (
	StepRead   F = "r"
	StepWrite  F = "w"
	StepAppend F = "append"
	StepAdd    F = "add"
)

// ParseSteps reads the value of a transaction, [[f, key, value], …]. A key that is
// no string becomes its JSON: the number 5 and the string "5" are one key. A read
// may be without its value: ["r", key].
func ParseSteps(v Value) ([]Step, error) {
	steps, err := ViewSteps(v)
	if v.kind == kindSteps || v.kind == kindIntSteps {
		steps = slices.Clone(steps)
	}
	return steps, err
}

// ViewSteps is ParseSteps without a copy: the steps may be those that v itself
// consists of, and must not be modified.
func ViewSteps(v Value) ([]Step, error) {
	switch v.kind {
	case kindSteps, kindIntSteps:
		return v.steps(), nil
	}
	if v.Kind() != KindList {
		return nil, fmt.Errorf("want a list of [f, key, value], got a %s", v.Kind())
	}
	steps := make([]Step, v.Len())
	var err error
	for i := range steps {
		if steps[i], err = StepAt(v, i); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
	}
	return steps, nil
}

// StepAt returns one step of a transaction, v.At(i), without a copy.
func StepAt(v Value, i int) (s Step, err error) {
	switch v.kind {
	case kindSteps, kindIntSteps:
		return v.steps()[i], nil
	}
	err = s.parse(v.At(i))
	return s, err
}

// parse reads [f, key, value].
func (s *Step) parse(v Value) error {
	if v.Kind() != KindList || v.Len() != 3 && v.Len() != 2 {
		return fmt.Errorf("want [f, key, value]")
	}
	f, isF := v.At(0).AsString()
	if !isF {
		return fmt.Errorf("f has to be a string")
	}
	s.F = F(f)
	switch key := v.At(1); key.Kind() {
	case KindString:
		s.Key = Key(key.str())
	case KindInt, KindBool, KindFloat, KindList:
		s.Key = Key(key.AppendJSON(nil))
	default:
		return fmt.Errorf("a %s cannot be a key", key.Kind())
	}
	if v.Len() == 3 {
		s.Value = v.At(2)
	} else if s.F != StepRead {
		return fmt.Errorf("want [f, key, value]")
	}
	return nil
}

// Steps returns the value of a transaction.
func Steps(steps ...Step) Value { return stepList(kindSteps, slices.Clone(steps)) }

// stepList makes a value of steps, which it owns from now on.
func stepList(kind Kind, steps []Step) Value {
	if len(steps) == 0 {
		return Value{kind: KindList}
	}
	return Value{kind: kind, n: int64(len(steps)), ref: unsafe.Pointer(unsafe.SliceData(steps))}
}

// stepAt is At for a transaction and for a step.
func (v Value) stepAt(i int) Value {
	switch v.kind {
	case kindSteps:
		return Value{kind: kindStep, n: 3, ref: unsafe.Pointer(&v.steps()[i])}
	case kindIntSteps:
		return Value{kind: kindIntStep, n: 3, ref: unsafe.Pointer(&v.steps()[i])}
	}
	s := (*Step)(v.ref)
	switch i {
	case 0:
		return Str(string(s.F))
	case 1:
		if v.kind == kindStep {
			return Str(string(s.Key))
		}
		n, _ := strconv.ParseInt(string(s.Key), 10, 64) // it was made from one
		return Int(n)
	case 2:
		return s.Value
	default:
		panic(fmt.Sprintf("history: At(%d) of a list of 3", i))
	}
}

// ReadOnly reports whether v is a transaction that only reads.
func ReadOnly(v Value) bool {
	steps, err := ViewSteps(v)
	if err != nil {
		return false
	}
	for i := range steps {
		if steps[i].F != StepRead {
			return false
		}
	}
	return true
}
