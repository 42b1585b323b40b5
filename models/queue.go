package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// QueueIn is a call of a queue: an element to enqueue, or a dequeue.
type QueueIn struct {
	Dequeue bool
	Element Scalar
}

// QueueOut is the answer of a dequeue: an element, or nil from an empty queue.
type QueueOut struct {
	outcome outcome
	Element Scalar
}

// QueueState are the elements: in order for a Queue and a Stack, sorted for the others.
type QueueState []Scalar

// Queue is a first-in first-out queue, empty at first. A dequeue that returns nil
// found it empty.
func Queue() Model[QueueState, QueueIn, QueueOut] {
	return Model[QueueState, QueueIn, QueueOut]{
		Name:  "queue",
		Doc:   "a FIFO queue: enqueue x, dequeue -> x (nil or refused: empty)",
		Fs:    []history.F{enqueue, dequeue},
		Init:  func() QueueState { return nil },
		Parse: parseQueue,
		Apply: applyQueue,
		Equal: func(a, b QueueState) bool { return slices.Equal(a, b) },
		Hash: func(s QueueState) (h uint64) {
			for _, e := range s {
				h = mix(h*31 + e.Hash())
			}
			return h
		},
		Describe:      describeQueue,
		DescribeState: func(s QueueState) string { return showList(s) },
	}
}

// PriorityQueue is a Queue whose dequeue returns the smallest element that it holds:
// numbers by size, texts by their bytes.
func PriorityQueue() Model[QueueState, QueueIn, QueueOut] {
	m := Queue()
	m.Name = "priority-queue"
	m.Doc = "a priority queue: enqueue x, dequeue -> the smallest x (nil or refused: empty)"
	m.Apply = func(s QueueState, in QueueIn, out QueueOut) (QueueState, bool) {
		if in.Dequeue {
			return applyQueue(s, in, out)
		}
		return applyUnordered(s, in, out) // it keeps them sorted
	}
	return m
}

// Stack is a last-in first-out stack, empty at first. A pop that returns nil found it
// empty.
func Stack() Model[QueueState, QueueIn, QueueOut] {
	m := Queue()
	m.Name, m.Doc = "stack", "a stack: push x, pop -> x (nil or refused: empty)"
	m.Fs = []history.F{push, pop}
	m.Parse = func(op history.Operation) (Op[QueueIn, QueueOut], error) {
		switch op.F {
		case push:
			op.F = enqueue
		case pop:
			op.F = dequeue
		default:
			return Op[QueueIn, QueueOut]{}, unknownF([]history.F{push, pop})
		}
		return parseQueue(op)
	}
	m.Apply = applyStack
	m.Describe = func(in QueueIn, out QueueOut) string {
		return strings.NewReplacer("enqueue(", "push(", "dequeue(", "pop(").Replace(
			describeQueue(in, out))
	}
	return m
}

const (
	enqueue history.F = "enqueue"
	dequeue history.F = "dequeue"
	push    history.F = "push"
	pop     history.F = "pop"
)

// applyStack is applyQueue at the other end.
func applyStack(s QueueState, in QueueIn, out QueueOut) (QueueState, bool) {
	last := len(s) - 1
	switch {
	case !in.Dequeue:
		return append(slices.Clip(s), in.Element), true
	case last < 0:
		return s, out.outcome == unknown || out.Element.IsNil()
	case out.outcome == unknown || s[last] == out.Element:
		return s[:last], true
	default:
		return s, false
	}
}

// UnorderedQueue is a Queue whose dequeue returns any element it holds.
//
// A dequeue of unknown outcome may have taken any element; the model takes the
// smallest. That loses nothing: the element matters only to a dequeue that finds
// the queue empty, so such operations can be placed just before one, and there
// all the elements have to go.
func UnorderedQueue() Model[QueueState, QueueIn, QueueOut] {
	m := Queue()
	m.Name = "unordered-queue"
	m.Doc = "a bag: enqueue x, dequeue -> any x (nil or refused: empty)"
	m.Apply = applyUnordered
	return m
}

func parseQueue(op history.Operation) (p Op[QueueIn, QueueOut], err error) {
	p.Out.outcome = outcomeOf(op)
	switch op.F {
	case enqueue:
		if p.In.Element, err = NewScalar(op.In); err != nil {
			return p, fmt.Errorf("value: %w", err)
		}
		if p.In.Element.IsNil() {
			return p, fmt.Errorf("value: nil means empty and cannot be an element")
		}
		t := Token{Value: p.In.Element}
		p.Facts = Facts{Makes: []Token{t}, InUnit: true, Unit: t}
		if op.Type == history.Fail {
			p.Facts = Facts{Ignored: true, Makes: []Token{t}}
		}
		return p, nil
	case dequeue:
		p.In.Dequeue = true
	default:
		return p, unknownF([]history.F{enqueue, dequeue})
	}
	switch {
	case op.Type == history.Fail && !hasCode(op, CodeEmpty):
		p.Facts.Ignored = true
	case op.Type == history.Fail:
		p.Out.outcome = done
		p.Facts = Facts{Pure: true, Observes: true, Refusal: true}
	case op.Type == history.Info:
		// It may have taken something that stands in the way of later dequeues.
		p.Facts.Pinned = true
	case op.Out.IsNil():
		p.Facts = Facts{Pure: true, Observes: true}
	default:
		if p.Out.Element, err = NewScalar(op.Out); err != nil {
			return p, fmt.Errorf("result: %w", err)
		}
		t := Token{Value: p.Out.Element}
		p.Facts = Facts{Observes: true, Sees: []Token{t}, InUnit: true, Unit: t}
	}
	return p, nil
}

func applyQueue(s QueueState, in QueueIn, out QueueOut) (QueueState, bool) {
	switch {
	case !in.Dequeue:
		return append(slices.Clip(s), in.Element), true
	case out.outcome == unknown && len(s) == 0:
		return s, true
	case out.outcome == unknown:
		return s[1:], true
	case out.Element.IsNil():
		return s, len(s) == 0
	case len(s) == 0 || s[0] != out.Element:
		return s, false
	default:
		return s[1:], true
	}
}

func applyUnordered(s QueueState, in QueueIn, out QueueOut) (QueueState, bool) {
	if in.Dequeue && (out.outcome == unknown || out.Element.IsNil()) {
		return applyQueue(s, in, out)
	}
	x := in.Element
	if in.Dequeue {
		x = out.Element
	}
	at, found := slices.BinarySearchFunc(s, x, Scalar.Compare)
	switch {
	case !in.Dequeue:
		return slices.Insert(slices.Clip(s), at, x), true
	case !found:
		return s, false
	default:
		return slices.Concat(s[:at], s[at+1:]), true
	}
}

func describeQueue(in QueueIn, out QueueOut) string {
	switch {
	case !in.Dequeue:
		return answer("enqueue("+in.Element.String()+")", "", out.outcome)
	case out.Element.IsNil():
		return answer("dequeue()", "empty", out.outcome)
	default:
		return answer("dequeue()", out.Element.String(), out.outcome)
	}
}
