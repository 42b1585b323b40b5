package weak

import (
	"fmt"
	"math"
)

// Txn is a transaction by its number in a History, from 0.
type Txn int32

// Initial is the transaction that wrote the initial state of every key, before all
// others.
const Initial Txn = -1

// Unwritten is the value of a key that nobody has written.
const Unwritten int64 = math.MinInt64

// Status is how a transaction ended.
type Status uint8

// The ends of transactions. A crashed one took effect if somebody read what it wrote;
// what it read itself is not known.
const (
	Committed Status = iota
	Aborted
	Crashed
)

// Op is one read or write of a transaction. No two writes of a key have the same value.
type Op struct {
	Key   int32
	Write bool
	Value int64
}

// History is transactions in columns, those of one session in its order. The zero
// History is empty.
type History struct {
	// Ops of transaction t are Ops[start[t]:start[t+1]].
	Ops      []Op
	start    []int32
	session  []int32
	status   []Status
	after    map[Txn]Txn
	called   []int64
	returned []int64
	keys     int32
	sessions int32
}

// Begin adds a transaction. Sessions are numbered from 0, without large gaps. What
// follows, up to the next Begin, belongs to it.
func (h *History) Begin(session int32, s Status) Txn {
	if len(h.start) == 0 {
		h.start = append(h.start, 0)
	}
	h.start = append(h.start, int32(len(h.Ops)))
	h.session = append(h.session, session)
	h.status = append(h.status, s)
	h.sessions = max(h.sessions, session+1)
	return Txn(len(h.session) - 1)
}

// Follow says that the last transaction, the only one of its session, comes after another,
// which nothing else of it follows: one of unknown outcome may have happened at any time
// after what its client did before.
func (h *History) Follow(t Txn) {
	if h.after == nil {
		h.after = make(map[Txn]Txn)
	}
	h.after[Txn(h.Len()-1)] = t
}

// Timed says when the last transaction was called and when it returned. Either all
// transactions of a history have times or none.
func (h *History) Timed(called, returned int64) {
	h.called = append(h.called, called)
	h.returned = append(h.returned, returned)
}

// Read adds a read to the last transaction. Keys are numbered from 0, without large gaps.
func (h *History) Read(key int32, value int64) { h.add(Op{Key: key, Value: value}) }

// Write adds a write to the last transaction.
func (h *History) Write(key int32, value int64) {
	h.add(Op{Key: key, Value: value, Write: true})
}

func (h *History) add(op Op) {
	h.Ops = append(h.Ops, op)
	h.start[len(h.start)-1] = int32(len(h.Ops))
	h.keys = max(h.keys, op.Key+1)
}

// Len is the number of transactions.
func (h *History) Len() int { return len(h.session) }

// Of returns the operations of a transaction.
func (h *History) Of(t Txn) []Op { return h.Ops[h.start[t]:h.start[t+1]] }

// Session returns the session of a transaction, and its status.
func (h *History) Session(t Txn) (session int32, s Status) { return h.session[t], h.status[t] }

// DuplicateError says that a value was written to a key more than once, so that nobody
// can know whom a read of it saw.
type DuplicateError struct {
	Key           int32
	Value         int64
	First, Second Txn
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("transactions %d and %d both wrote %d to key %d", e.First, e.Second,
		e.Value, e.Key)
}
