package models

import "github.com/ordeal-dev/ordeal/history"

// Untagged reports whether the argument of an operation without a key looks like the
// [key, value] of one of many independent objects, whose mark a history has lost on
// its way through other tools. It is true of [key, nil] for an operation that takes
// no argument, and of [key, [old, new]] for a compare-and-set. To take the objects of
// such a history for one would find violations that are none.
func Untagged(op history.Operation) bool {
	pair := op.In
	if op.Key != "" || !isPair(pair) || pair.At(0).IsNil() {
		return false
	}
	switch op.F {
	case "read", "get", "dequeue", "drain", "acquire", "release", "generate":
		return pair.At(1).IsNil()
	case "cas":
		return isPair(pair.At(1)) && pair.At(0).Kind() != history.KindList
	default:
		return false
	}
}

func isPair(v history.Value) bool { return v.Kind() == history.KindList && v.Len() == 2 }
