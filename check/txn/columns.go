package txn

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

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
	numbers map[history.Key]*keyNumbers
	// group has the numbers of the group that the last operation was in.
	groupName history.Key
	group     *keyNumbers
	// careful says that elements may not stand for themselves, and others are those.
	careful bool
	others  map[models.Scalar]elem
	values  []models.Scalar

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

func newColumns(ops []history.Operation, keep int) *columns {
	appends, reads := estimate(ops)
	c := &columns{
		ops: ops, outcome: make([]outcome, len(ops)),
		numbers: make(map[history.Key]*keyNumbers),
		others:  make(map[models.Scalar]elem),
		appends: make([]appended, 0, appends), reads: make([]seen, 0, reads),
	}
	c.found = newFindings(keep)
	c.phrase = phrases{c}
	return c
}

// estimate returns about how many appends and reads there are, a little more if possible.
func estimate(ops []history.Operation) (appends, reads int) {
	const sample = 1024
	n := 0
	for i := 0; i < len(ops); i += 1 + len(ops)/sample {
		n++
		steps, err := history.ViewSteps(ops[i].In)
		if err != nil {
			continue
		}
		for j := range steps {
			if steps[j].F == history.StepRead {
				reads++
			} else {
				appends++
			}
		}
	}
	scale := func(k int) int { return k*len(ops)/max(n, 1)*17/16 + 64 }
	return scale(appends), scale(reads)
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
	in, err := history.ViewSteps(op.In)
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	out := in // appends have no other result
	if op.Type == history.OK && !op.Out.IsNil() {
		if out, err = history.ViewSteps(op.Out); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	if len(out) != len(in) {
		return fmt.Errorf("result: not the steps of the call")
	}
	if c.group == nil || c.groupName != op.Key {
		c.enter(op.Key)
	}
	c.local.txn = uint32(i) + 1
	for at := range in {
		if err := c.step(i, &in[at], &out[at]); err != nil {
			return fmt.Errorf("step %d: %w", at, err)
		}
	}
	c.finish()
	return nil
}

// enter makes a group that of the operations that follow.
func (c *columns) enter(name history.Key) {
	c.groupName, c.group = name, c.numbers[name]
	if c.group == nil {
		c.group = &keyNumbers{long: make(map[history.Key]uint32)}
		c.numbers[name] = c.group
	}
}

// step adds the row of one step.
func (c *columns) step(i int, in, out *history.Step) error {
	if in.F != history.StepRead && in.F != history.StepAppend {
		return fmt.Errorf("there are only reads and appends, not %q", in.F)
	}
	if !answers(out, in) {
		return fmt.Errorf("result: not the step of the call")
	}
	key, known := c.group.find(in.Key)
	if !known {
		key = uint32(len(c.names))
		c.group.add(in.Key, key)
		c.names = append(c.names, keyName{c.groupName, in.Key})
		c.local.of = append(c.local.of, localKey{})
	}
	k := &c.local.of[key]
	if k.txn != c.local.txn {
		*k = localKey{txn: c.local.txn, tail: k.tail[:0]}
		c.local.used = append(c.local.used, key)
	}
	switch {
	case in.F == history.StepAppend:
		return c.append(i, key, k, in.Value)
	case c.outcome[i] != committed:
		return nil // nobody knows what it read
	case c.ops[i].Out.IsNil():
		return fmt.Errorf("result: there is none")
	default:
		return c.read(i, key, k, out.Value)
	}
}

// answers reports whether out can be the result of the step in: the same, but for what was
// read. What was written may be left out.
func answers(out, in *history.Step) bool {
	return in.F == out.F && in.Key == out.Key &&
		(in.F == history.StepRead || out.Value.IsNil() || out.Value.Equal(in.Value))
}

func (c *columns) append(i int, key uint32, k *localKey, v history.Value) error {
	e, err := c.elem(v)
	if err != nil {
		return err
	}
	c.appends = append(c.appends, appended{elem: e, txn: uint32(i), key: key})
	k.last = uint32(len(c.appends))
	k.tail = append(k.tail, e)
	early := slices.Contains(k.list, e)
	for _, d := range c.local.denied {
		early = early || d.key == key && slices.Contains(d.list, e)
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
		c.local.denied = append(c.local.denied, denied{key, had})
		c.found.add(Internal, func() Anomaly { return c.phrase.internal(i, key, had, tail, list) })
	}
	c.reads = append(c.reads, seen{list: list, txn: uint32(i), key: key})
	if k.last == 0 && k.first == 0 {
		k.first = uint32(len(c.reads))
	}
	k.list, k.tail, k.read = list, k.tail[:0], true
	return nil
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
