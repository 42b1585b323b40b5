// Package models says what correct objects do when one operation follows the
// other: the sequential specifications that concurrent histories are judged by.
//
// A specification is a [Model], a struct of typed functions. Its heart is Apply,
// which takes one step and says whether an object in this state may answer like
// that. Its Parse turns an operation of a history, whose values come from outside
// and may be anything, into a typed input and output. The porcupine.Model that a
// search needs is derived from it, as is a [Spec], the model without its types,
// which is what checkers work with.
//
// An operation of unknown outcome may take effect at any later time, once, or
// never. A model does not have to choose: it steps as if the operation took effect
// where it can, and changes nothing where it cannot. Because such an operation has
// no end, a search may also place it after everything else, which is the same as
// never.
//
// Besides input and output, Parse states [Facts]: what the operation may have put
// into the object and what its answer proves to have been there. Facts let a
// checker drop or bound operations of unknown outcome and reduce a counterexample
// without knowing which model it works with.
package models

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/ordeal-dev/ordeal/history"
)

// Token is a value in a place, something that an operation can make and another
// can see: the value of a register, an element of a set or a queue. Place is empty
// where a model has only one.
type Token struct {
	Place, Value Scalar
}

// Facts are what a checker may know about an operation without knowing its model.
// Of an operation of unknown outcome they say what holds if it took effect.
type Facts struct {
	// Ignored marks an operation that had no effect and tells nothing, such as
	// one that failed. Of the other facts only Makes is set: what it would have
	// made, and nobody may see.
	Ignored bool
	// Pure operations never change the state.
	Pure bool
	// Observes is true when the answer restricts the state: some state would
	// have forbidden it.
	Observes bool
	// Refusal marks a failure that is an answer about the state: a compare that
	// did not match, an empty queue. Counting it as one is the checker's choice.
	Refusal bool
	// Denies is true when the answer says what the state is not (a refused
	// compare-and-set). It stays true or false depending on writes that nobody
	// saw, so no write can be dropped for being unseen beside it.
	Denies bool
	// Replaces is true when each token made takes the place of the one before.
	Replaces bool
	// Whole is true when Sees lists everything that the object held.
	Whole bool
	// Pinned operations matter to all later ones, seen or not; taking one out
	// could make the rest illegal.
	Pinned bool
	// Resets marks a change after which nothing that Model.Leads says of the state
	// before it needs to hold.
	Resets bool
	// InUnit and Unit tie operations that can only be taken out together, such
	// as the enqueue and the dequeue of one element.
	InUnit bool
	Unit   Token
	// Makes are the tokens that exist from the operation on. Unless the operation
	// is Pinned or in a unit, an object on which it was not executed differs only
	// by them.
	Makes []Token
	// Sees are the tokens that existed before the operation.
	Sees []Token
}

// Op is an operation in the terms of a model.
type Op[I, O any] struct {
	In    I
	Out   O
	Facts Facts
}

// Parsed is an Op without its types.
type Parsed struct {
	In, Out any
	Facts   Facts
}

// Model is a sequential specification with states S, inputs I and outputs O. Use
// keyed literals; Name, Init, Parse and Apply are needed, everything else has a
// default.
type Model[S, I, O any] struct {
	// Name is how users choose the model, Doc one sentence about it.
	Name, Doc string
	// Fs are the operations that the model knows.
	Fs []history.F
	// Init returns the state before the first operation.
	Init func() S
	// Parse gives an operation its types. The error says what does not fit, for
	// example "cas wants [old, new], got 3"; it does not repeat the operation.
	Parse func(history.Operation) (Op[I, O], error)
	// Apply executes in on state. It returns the next state, and whether out is
	// an answer that the state allows. It must not modify state.
	Apply func(state S, in I, out O) (S, bool)
	// Key names the independent object that an operation works on; objects with
	// different keys are checked separately. Default: the operation's key.
	Key func(history.Operation) history.Key
	// Equal compares states. Default: ==, which S must then support.
	Equal func(a, b S) bool
	// Hash returns the same number for equal states. It is worth having: a
	// search remembers every state it has seen. Default: none.
	Hash func(S) uint64
	// Class returns the same comparable value only for operations that Apply does
	// not tell apart: given the same state, it does the same with both. nil means
	// that an operation is like no other. A search counts operations of one class
	// instead of telling them apart. Default: input and output, where == is all
	// there is to compare.
	Class func(in I, out O) any
	// Digest returns the same number for what is equal, where Class is left out: so that
	// the default is found faster. Default: none.
	Digest func(in I, out O) uint64
	// Leads reports whether changes, but for those that reset, can lead from state to
	// one in which in could be answered by out. Where it says no a search gives up
	// before it has come that far: a log that holds what a read will not have never
	// gets rid of it again. Default: they always can.
	Leads func(state S, in I, out O) bool
	// Describe shows an operation, "read() = 4". Default: the values with %v.
	Describe func(in I, out O) string
	// DescribeState shows a state. Default: %v.
	DescribeState func(S) string

	_ struct{} // keyed literals only: more fields will come
}

// Spec is a model without its types.
type Spec struct {
	Name, Doc string
	Fs        []history.F
	// Parse is Model.Parse.
	Parse func(history.Operation) (Parsed, error)
	// Key is Model.Key.
	Key func(history.Operation) history.Key
	// Classes returns new numbers of operations.
	Classes func() Classes
	// Comparable is true when == compares states.
	Comparable bool
	// Leads is Model.Leads, nil if it would always say yes.
	Leads func(state, in, out any) bool
	// Porcupine is the model for a search over the In and Out of Parsed. Its
	// Step is pure and fast, so it has no StepContext of its own.
	Porcupine porcupine.Model

	known string
}

// Classes numbers operations by Model.Class.
type Classes struct {
	// Number returns a number, counting from 0: with equal ones operations are alike.
	Number func(in, out any) uint32
	// Reset forgets all numbers, and keeps the memory for the next history.
	Reset func()

	_ struct{} // keyed literals only
}

// Known returns the name of the model if it is one of All, unchanged, and "" for a
// model of the caller's own. An engine that knows an object better than by its Step
// goes by this name, so whoever changes a Spec has to begin with a Model.
func (s *Spec) Known() string { return s.known }

// Spec forgets the types of m. It panics when a field without a default is
// missing.
func (m Model[S, I, O]) Spec() Spec {
	if m.Name == "" || m.Parse == nil {
		panic("models: a model needs Name and Parse")
	}
	var leads func(state, in, out any) bool
	if m.Leads != nil {
		leads = func(state, in, out any) bool { return m.Leads(state.(S), in.(I), out.(O)) }
	}
	key, ownKey := m.Key, m.Key != nil
	if !ownKey {
		key = func(op history.Operation) history.Key { return op.Key }
	}
	return Spec{
		Name: m.Name, Doc: m.Doc, Fs: m.Fs,
		Key: key,
		Parse: func(op history.Operation) (Parsed, error) {
			if !ownKey && Untagged(op) {
				return Parsed{}, fmt.Errorf("value: %s looks like a key and its value, "+
					"and the model is of one object", show(op.In))
			}
			p, err := m.Parse(op)
			if err != nil {
				return Parsed{}, err
			}
			return Parsed{In: p.In, Out: p.Out, Facts: p.Facts}, nil
		},
		Classes:    m.classes(),
		Comparable: m.Equal == nil,
		Leads:      leads,
		Porcupine:  m.Porcupine(),
	}
}

// Porcupine derives the model that a search needs. It panics when Init or Apply
// is missing.
func (m Model[S, I, O]) Porcupine() porcupine.Model {
	if m.Init == nil || m.Apply == nil {
		panic("models: a model needs Init and Apply")
	}
	p := porcupine.Model{
		Init: func() any { return m.Init() },
		Step: func(state, in, out any) (bool, any) {
			next, ok := m.Apply(state.(S), in.(I), out.(O))
			return ok, next
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(in, out any) string {
			return fmt.Sprintf("%v -> %v", in, out)
		},
		DescribeState: func(s any) string { return fmt.Sprintf("%v", s) },
	}
	if m.Equal != nil {
		p.Equal = func(a, b any) bool { return m.Equal(a.(S), b.(S)) }
	}
	if m.Hash != nil {
		p.Hash = func(s any) uint64 { return m.Hash(s.(S)) }
	}
	if m.Describe != nil {
		p.DescribeOperation = func(in, out any) string {
			return m.Describe(in.(I), out.(O))
		}
	}
	if m.DescribeState != nil {
		p.DescribeState = func(s any) string { return m.DescribeState(s.(S)) }
	}
	return p
}
