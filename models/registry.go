package models

import (
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// Error codes of failures that are answers about the state. A failure is one when
// the error is the code, or begins with the code and a colon, or when there is no
// error text at all, as in old recorded histories.
const (
	CodeMismatch = "precondition-failed"
	CodeEmpty    = "empty"
)

func hasCode(op history.Operation, code string) bool {
	return op.Error == "" || op.Error == code || strings.HasPrefix(op.Error, code+":")
}

// All returns every model, in the order in which help shows them.
func All() []Spec {
	all := []Spec{
		Register().Spec(),
		CASRegister().Spec(),
		FencedRegister().Spec(),
		MultiRegister().Spec(),
		Set().Spec(),
		Queue().Spec(),
		UnorderedQueue().Spec(),
		PriorityQueue().Spec(),
		Stack().Spec(),
		Counter().Spec(),
		Mutex().Spec(),
		List().Spec(),
		Text().Spec(),
	}
	for i := range all {
		all[i].known = all[i].Name
	}
	return all
}

// Lookup returns the model with this name. The error lists the names there are.
func Lookup(name string) (Spec, error) {
	var names []string
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Spec{}, fmt.Errorf("model %q is not known: want one of %s",
		name, strings.Join(names, ", "))
}

// outcome is what is known about how an operation ended.
type outcome uint8

const (
	done    outcome = iota // it took effect
	refused                // it had none, because of the state
	unknown                // it may, or may not
)

func outcomeOf(op history.Operation) outcome {
	switch op.Type {
	case history.OK:
		return done
	case history.Fail:
		return refused
	default:
		return unknown
	}
}

// answer renders "f(args) = result", with the outcome where it is not done.
func answer(call, result string, o outcome) string {
	switch o {
	case refused:
		return call + " failed"
	case unknown:
		return call + " unknown"
	}
	if result == "" {
		return call
	}
	return call + " = " + result
}

// unknownF is the error for an operation that a model does not have.
func unknownF(fs []history.F) error {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = string(f)
	}
	return fmt.Errorf("the model has only %s", strings.Join(names, ", "))
}
