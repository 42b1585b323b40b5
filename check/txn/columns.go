package txn

import (
	"fmt"
	"math"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// elem is an element of a list: an integer as it is, or the number of something else.
type elem = int64

// ownElems are the numbers of elements that are no integers, or are as small as these
// numbers: none of them is an integer that stands for itself.
const ownElems = math.MinInt64 + 1<<32

// reference to an append, by its place; none is no append.
const none = 1<<32 - 1

// appended is a row: an append of a transaction.
type appended struct {
	elem elem
	txn  uint32
	// place is that in the order of the list, from 1, 0 if it is not there.
	place uint32
	// final says that the transaction appended nothing more to this list, loose that it
	// was read in a list that does not fit the order.
	final, loose bool
	key          uint32
}

// seen is a row: a read of a list by a transaction that took effect.
type seen struct {
	list     []elem
	txn, key uint32
	// update says that the transaction appended to this list, but only later.
	update bool
	// odd says that the list does not fit the order.
	odd bool
}

// outcome of a transaction.
type outcome uint8

const (
	failed outcome = iota
	crashed
	resolved // crashed, but seen
	committed
)

func (o outcome) effective() bool { return o >= resolved }

// keyName is a key of a group.
type keyName struct{ group, key history.Key }

// columns are the transactions of a history.
type columns struct {
	ops     []history.Operation
	outcome []outcome
	// names of the keys by their numbers, numbers by group.
	names   []keyName
	numbers map[history.Key]map[history.Key]uint32
	// others are elements that are no integers.
	others map[models.Scalar]elem
	values []models.Scalar

	// The rows: after byKey those of one key next to each other, from where starts
	// say, in the order of the transactions.
	appends                 []appended
	reads                   []seen
	appendStart, readsStart []uint32
	// order has the appends that made the versions of the keys, from where orderStart
	// says, and longest the lists that show it. Places that nobody filled are none.
	order      []uint32
	orderStart []uint32
	longest    [][]elem

	local local
	// hidden are, for keys that have several, the rows of appends that are in no list.
	hidden [][]uint32
	// partial says that not all dependencies could be noted.
	partial bool
	stats   Stats
	found   findings
	phrase  phrases
}

// local is what a transaction knows of the keys that it used so far.
type local struct {
	txn  uint32
	of   []localKey // by key
	used []uint32
}

// localKey is what a transaction knows of one key.
type localKey struct {
	txn uint32 // that used the key last, from 1
	// list is what it read last, and tail what it appended since then, or ever.
	list []elem
	tail []elem
	read bool
	// others are earlier lists that the last one contradicts.
	others [][]elem
	// last append and first read before any append, in rows from 1.
	last, first int
}

func newColumns(ops []history.Operation, keep int) *columns {
	c := &columns{
		ops: ops, outcome: make([]outcome, len(ops)),
		numbers: make(map[history.Key]map[history.Key]uint32),
		others:  make(map[models.Scalar]elem),
		appends: make([]appended, 0, len(ops)), reads: make([]seen, 0, len(ops)),
	}
	c.found = newFindings(keep)
	c.phrase = phrases{c}
	return c
}

// operation adds the rows of one operation.
func (c *columns) operation(i int) error {
	op := &c.ops[i]
	if op.F != "txn" {
		return fmt.Errorf("there is only txn")
	}
	c.stats.Txns++
	switch op.Type {
	case history.OK:
		c.outcome[i] = committed
	case history.Fail:
		c.outcome[i] = failed
	default:
		c.outcome[i] = crashed
		c.stats.Crashed++
	}
	if op.In.Kind() != history.KindList {
		return fmt.Errorf("value: want a list of [f, key, value], got a %s", op.In.Kind())
	}
	group := c.numbers[op.Key]
	if group == nil {
		group = make(map[history.Key]uint32)
		c.numbers[op.Key] = group
	}
	if !op.Out.IsNil() && op.Type == history.OK && op.Out.Len() != op.In.Len() {
		return fmt.Errorf("result: not the steps of the call")
	}
	c.local.txn = uint32(i) + 1
	for at := range op.In.Len() {
		if err := c.step(i, at, group); err != nil {
			return fmt.Errorf("step %d: %w", at, err)
		}
	}
	c.finish()
	return nil
}

// step adds the row of one step.
func (c *columns) step(i, at int, group map[history.Key]uint32) error {
	op := &c.ops[i]
	step, err := history.StepAt(op.In, at)
	if err != nil {
		return err
	}
	f, name, v := step.F, step.Key, step.Value
	if f != history.StepRead && f != history.StepAppend {
		return fmt.Errorf("there are only reads and appends, not %q", f)
	}
	if op.Type == history.OK && op.Out.Kind() == history.KindList {
		out, err := history.StepAt(op.Out, at)
		if err != nil || out.F != f || out.Key != name {
			return fmt.Errorf("result: not the step of the call")
		}
		if f == history.StepRead {
			v = out.Value
		}
	} else if op.Type == history.OK && f == history.StepRead {
		return fmt.Errorf("result: there is none")
	}
	key, known := group[name]
	if !known {
		key = uint32(len(c.names))
		group[name] = key
		c.names = append(c.names, keyName{op.Key, name})
		c.local.of = append(c.local.of, localKey{})
	}
	k := &c.local.of[key]
	if k.txn != c.local.txn {
		*k = localKey{txn: c.local.txn, tail: k.tail[:0]}
		c.local.used = append(c.local.used, key)
	}
	switch {
	case f == history.StepAppend:
		return c.append(i, key, k, v)
	case op.Type != history.OK:
		return nil // nobody knows what it read
	default:
		return c.read(i, key, k, v)
	}
}

func (c *columns) append(i int, key uint32, k *localKey, v history.Value) error {
	e, err := c.elem(v)
	if err != nil {
		return err
	}
	c.appends = append(c.appends, appended{elem: e, txn: uint32(i), key: key})
	k.last = len(c.appends)
	k.tail = append(k.tail, e)
	early := slices.Contains(k.list, e)
	for _, list := range k.others {
		early = early || slices.Contains(list, e)
	}
	if early {
		c.found.add(FutureRead, func() Anomaly { return c.phrase.futureRead(i, key, e) })
	}
	return nil
}

func (c *columns) read(i int, key uint32, k *localKey, v history.Value) error {
	list, err := c.elems(v)
	if err != nil {
		return err
	}
	c.stats.Reads++
	c.stats.Elements += len(list)
	if !k.fits(list) {
		had, tail := k.list, slices.Clone(k.tail)
		k.others = append(k.others, had)
		c.found.add(Internal, func() Anomaly { return c.phrase.internal(i, key, had, tail, list) })
	}
	c.reads = append(c.reads, seen{list: list, txn: uint32(i), key: key})
	if k.last == 0 && k.first == 0 {
		k.first = len(c.reads)
	}
	k.list, k.tail, k.read = list, k.tail[:0], true
	return nil
}

// fits reports whether a list is what the transaction has to read: what it read before, and
// what it appended itself.
func (k *localKey) fits(list []elem) bool {
	if len(list) < len(k.tail) {
		return false
	}
	before := list[:len(list)-len(k.tail)]
	if !slices.Equal(list[len(before):], k.tail) {
		return false
	}
	return !k.read || slices.Equal(before, k.list)
}

// finish marks the last appends of the transaction and its reads before them.
func (c *columns) finish() {
	for _, key := range c.local.used {
		k := &c.local.of[key]
		if k.last > 0 {
			c.appends[k.last-1].final = true
		}
		if k.first > 0 && k.last > 0 {
			c.reads[k.first-1].update = true
		}
	}
	c.local.used = c.local.used[:0]
}

// elem returns the number of an element.
func (c *columns) elem(v history.Value) (elem, error) {
	if n, ok := v.AsInt(); ok && n >= ownElems {
		return n, nil
	}
	s, err := models.NewScalar(v)
	if err != nil {
		return 0, err
	}
	e, ok := c.others[s]
	if !ok {
		e = math.MinInt64 + elem(len(c.values))
		c.others[s] = e
		c.values = append(c.values, s)
	}
	return e, nil
}

// elems returns the elements of a list. Nil is the empty list.
func (c *columns) elems(v history.Value) ([]elem, error) {
	if v.IsNil() {
		return nil, nil
	}
	if v.Kind() != history.KindList {
		return nil, fmt.Errorf("read a %s, not a list", v.Kind())
	}
	list, ok := v.AsInts()
	for _, e := range list {
		ok = ok && e >= ownElems
	}
	if ok {
		return list, nil
	}
	list = make([]elem, v.Len())
	for i := range list {
		var err error
		if list[i], err = c.elem(v.At(i)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// text renders an element.
func (c *columns) text(e elem) string {
	if e < ownElems {
		return c.values[e-math.MinInt64].String()
	}
	return fmt.Sprint(e)
}

// byKey brings the rows of each key together.
func (c *columns) byKey() {
	n := len(c.names)
	c.stats.Keys, c.stats.Appends = n, len(c.appends)
	c.appendStart, c.readsStart = make([]uint32, n+2), make([]uint32, n+2)
	for i := range c.appends {
		c.appendStart[c.appends[i].key+2]++
	}
	for i := range c.reads {
		c.readsStart[c.reads[i].key+2]++
	}
	for k := 2; k < n+2; k++ {
		c.appendStart[k] += c.appendStart[k-1]
		c.readsStart[k] += c.readsStart[k-1]
	}
	appends, reads := make([]appended, len(c.appends)), make([]seen, len(c.reads))
	for _, a := range c.appends {
		appends[c.appendStart[a.key+1]] = a
		c.appendStart[a.key+1]++
	}
	for _, r := range c.reads {
		reads[c.readsStart[r.key+1]] = r
		c.readsStart[r.key+1]++
	}
	c.appends, c.reads, c.local = appends, reads, local{}
}

func (c *columns) appendsOf(key uint32) []appended {
	return c.appends[c.appendStart[key]:c.appendStart[key+1]]
}

func (c *columns) readsOf(key uint32) []seen {
	return c.reads[c.readsStart[key]:c.readsStart[key+1]]
}
