package check

import (
	"runtime"
	"sync"

	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// A long history of a register whose values are numbers is decided as it stands in
// memory: what it would take to parse it for a model is more work, and ten times more
// memory, than to decide it. The engines are the same.

// direct decides the objects of such a history, as far as the engine applies. It
// returns nil for any other history.
func (l *linearizable) direct(h *history.History) []*object {
	model := l.spec.Known()
	if model != "register" && model != "cas-register" ||
		l.o.Engine != engineAuto && l.o.Engine != engineExact {
		return nil
	}
	objects := make([]*object, 0, 16)
	streams := make([]*registerStream, 0, 16)
	number := make(map[history.Key]int)
	of := func(op *history.Operation) int { // the number of its key
		n, known := number[op.Key]
		if !known {
			n = len(objects)
			number[op.Key] = n
			objects = append(objects, &object{key: op.Key})
			streams = append(streams, &registerStream{
				h: h, o: objects[n], sorted: true, engine: exactEngines(model)[0].name,
				swaps: model == "cas-register",
			})
		}
		return n
	}
	last := -1
	for i := range h.Ops {
		op := &h.Ops[i]
		if !l.plainRegister(op) {
			return nil
		}
		if last < 0 || op.Key != objects[last].key {
			last = of(op)
		}
		streams[last].count(op)
	}
	if len(streams) > 1 {
		for _, s := range streams {
			s.index = make([]int32, 0, s.all)
		}
		for i := range h.Ops {
			s := streams[number[h.Ops[i].Key]]
			s.index = append(s.index, int32(i))
		}
	}
	runAll(streams)
	return objects
}

// runAll decides on all cores.
func runAll(streams []*registerStream) {
	next := make(chan *registerStream)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(streams)) {
		wg.Go(crash.Guard(func() {
			for s := range next {
				s.run()
				s.index = nil
			}
		}))
	}
	for _, s := range streams {
		next <- s
	}
	close(next)
	wg.Wait()
}

// plainRegister reports whether an operation is one of a register with numbers as
// values, or nil where nothing was written, and fits its model. Refusals that count are
// not plain.
func (l *linearizable) plainRegister(op *history.Operation) bool {
	if op.Return < op.Call || op.Type == history.OK && op.Return == history.Never {
		return false
	}
	switch op.F {
	case "write":
		return numbered(op.In)
	case "read":
		return op.In.IsNil() && (op.Type != history.OK || op.Out.IsNil() || numbered(op.Out))
	case "cas":
		return l.spec.Known() == "cas-register" && (op.Type != history.Fail || !l.o.Refusals) &&
			op.In.Kind() == history.KindList && op.In.Len() == 2 && numbered(op.In.At(1)) &&
			(op.In.At(0).IsNil() || numbered(op.In.At(0)))
	default:
		return false
	}
}

// largestValue leaves room for nil.
const largestValue = 1<<32 - 2

func numbered(v history.Value) bool {
	n, ok := v.AsInt()
	return ok && n >= 0 && n <= largestValue
}

// registerStream decides the register of one key, operation by operation.
type registerStream struct {
	h *history.History
	// index are its operations in h, nil if they are all.
	index []int32
	o     *object
	// all counts its operations, also those that do not count; most is the largest
	// value.
	all    int
	most   int64
	last   history.Time
	sorted bool
	engine string
	// swaps is true for a register with compare-and-set, which is decided from ops.
	swaps bool
	ops   []linear.CASOp

	monitor *linear.RegisterMonitor
	// numbers are those of values that are out of proportion to the history.
	numbers map[int64]linear.Value
	open    openOps
}

// count takes note of an operation.
func (s *registerStream) count(op *history.Operation) {
	s.all++
	s.sorted = s.sorted && op.Call >= s.last
	s.last = op.Call
	values := [...]history.Value{op.In, op.Out}
	if op.F == "cas" {
		values = [...]history.Value{op.In.At(0), op.In.At(1)}
	}
	for _, v := range values {
		if n, ok := v.AsInt(); ok {
			s.most = max(s.most, n)
		}
	}
	if !counts(op) {
		return
	}
	s.o.size++
	seen := op.Out
	switch {
	case op.Type == history.Info:
		s.o.unknown++
		s.o.changes++
		return
	case op.F == "write":
		s.o.changes++
		return
	case op.F == "cas":
		s.o.changes++
		seen = op.In.At(0)
	}
	s.o.observations++
	if !seen.IsNil() {
		s.o.written++ // or it is a violation
	}
}

// counts reports whether an operation may have changed something or tells something.
func counts(op *history.Operation) bool {
	return op.Type == history.OK || op.Type == history.Info && op.F != "read"
}

// run decides. Operations have to be sorted by their calls.
func (s *registerStream) run() {
	if !s.sorted {
		return
	}
	if limit := int64(s.o.size); s.swaps && s.most >= 8*limit || s.most > 64*limit+1<<16 {
		s.numbers = make(map[int64]linear.Value)
	}
	s.monitor = linear.NewRegisterMonitor()
	if s.swaps {
		s.ops = make([]linear.CASOp, 0, s.o.size)
	}
	crashed := 0
	for i := range s.all {
		op := s.at(i)
		if !counts(op) {
			continue
		}
		s.until(op.Call)
		e := s.call(i, op)
		if op.Type == history.Info {
			crashed++
		} else {
			s.open.push(e)
		}
		s.o.concurrency = max(s.o.concurrency, len(s.open)+crashed)
	}
	s.until(history.Never)
	f := finding{engine: s.engine, direct: true, blocked: -1}
	switch s.decide() {
	case linear.Linearizable:
		f.answer = legal
	case linear.Violation:
		f.answer = illegal
	default:
		return
	}
	s.o.finding = f
}

func (s *registerStream) decide() linear.Answer {
	if !s.swaps {
		return s.monitor.Result().Answer
	}
	answer := linear.CAS(s.ops).Answer
	s.ops = nil
	return answer
}

// call tells of a call.
func (s *registerStream) call(i int, op *history.Operation) openOp {
	e := openOp{at: op.Return, op: int32(i), ticket: -1}
	switch {
	case s.swaps:
		s.ops = append(s.ops, s.swap(op))
	case op.F == "write":
		s.monitor.CallWrite(i, s.value(op.In), op.Call)
	default:
		e.ticket = int64(s.monitor.CallRead(op.Call))
	}
	return e
}

// swap is an operation of a register with compare-and-set.
func (s *registerStream) swap(op *history.Operation) linear.CASOp {
	o := linear.CASOp{Span: linear.Span{Call: op.Call, Return: op.Return}}
	if op.Type == history.Info {
		o.Return = history.Never
	}
	switch op.F {
	case "read":
		o.Kind, o.Value = linear.CASRead, s.value(op.Out)
	case "write":
		o.Kind, o.Value = linear.CASWrite, s.value(op.In)
	default:
		o.Kind, o.Old, o.Value = linear.CASSwap, s.value(op.In.At(0)), s.value(op.In.At(1))
	}
	return o
}

func (s *registerStream) at(i int) *history.Operation {
	if s.index == nil {
		return &s.h.Ops[i]
	}
	return &s.h.Ops[s.index[i]]
}

// until tells the monitor of all returns before a time.
func (s *registerStream) until(t history.Time) {
	for len(s.open) > 0 && s.open[0].at < t {
		e := s.open.pop()
		if s.swaps {
			continue // it counts only as open
		}
		op := s.at(int(e.op))
		if e.ticket < 0 {
			s.monitor.ReturnWrite(int(e.op), s.value(op.In), e.at)
		} else {
			s.monitor.ReturnRead(int(e.op), linear.ReadTicket(e.ticket), s.value(op.Out), e.at)
		}
	}
}

func (s *registerStream) value(v history.Value) linear.Value {
	n, ok := v.AsInt()
	switch {
	case !ok:
		return linear.Nil
	case s.numbers == nil:
		return linear.Value(n + 1)
	}
	number, known := s.numbers[n]
	if !known {
		number = linear.Value(len(s.numbers) + 1)
		s.numbers[n] = number
	}
	return number
}

// openOps is a heap of open operations, the one that returns first on top.
type openOps []openOp

type openOp struct {
	at     history.Time
	op     int32
	ticket int64 // of a read, otherwise negative
}

func (h *openOps) push(e openOp) {
	q := append(*h, e)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if q[parent].at <= e.at {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = e
	*h = q
}

func (h *openOps) pop() openOp {
	q := *h
	top, e := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*h = q
	i := 0
	for len(q) > 0 {
		least := 4*i + 1
		if least >= len(q) {
			break
		}
		for c := least + 1; c < min(4*i+5, len(q)); c++ {
			if q[c].at < q[least].at {
				least = c
			}
		}
		if q[least].at >= e.at {
			break
		}
		q[i] = q[least]
		i = least
	}
	if len(q) > 0 {
		q[i] = e
	}
	return top
}
