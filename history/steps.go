package history

import "fmt"

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

// ParseSteps reads the value of a transaction, [[f, key, value], …].
func ParseSteps(v Value) ([]Step, error) {
	if v.Kind() != KindList {
		return nil, fmt.Errorf("want a list of [f, key, value], got a %s", v.Kind())
	}
	steps := make([]Step, v.Len())
	for i := range steps {
		e := v.At(i)
		if e.Kind() != KindList || e.Len() != 3 {
			return nil, fmt.Errorf("step %d: want [f, key, value]", i)
		}
		f, isF := e.At(0).AsString()
		key, isKey := e.At(1).AsString()
		if !isF || !isKey {
			return nil, fmt.Errorf("step %d: f and key have to be strings", i)
		}
		steps[i] = Step{F: F(f), Key: Key(key), Value: e.At(2)}
	}
	return steps, nil
}

// Steps returns the value of a transaction.
func Steps(steps ...Step) Value {
	list := make([]Value, len(steps))
	for i, s := range steps {
		list[i] = List(Str(string(s.F)), Str(string(s.Key)), s.Value)
	}
	return List(list...)
}

// ReadOnly reports whether v is a transaction that only reads.
func ReadOnly(v Value) bool {
	steps, err := ParseSteps(v)
	if err != nil {
		return false
	}
	for _, s := range steps {
		if s.F != StepRead {
			return false
		}
	}
	return true
}
