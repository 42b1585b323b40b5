package workload

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// maxReads is how often a final read is tried.
const maxReads = 3

type finalReads struct {
	prefix string
	read   history.F
	nodes  int
	limit  int

	seen    int64 // keys: numbers 0 … seen-1
	begun   bool
	cursors []cursor // by node class
}

// maxInVain is the number of reads in a row that may fail on a node before its part
// of the final reads is given up: another node reads the same keys.
const maxInVain = 10

// cursor is how far the threads of one node have come.
type cursor struct {
	next   int64 // number of keys asked for, in the order of its class
	again  []try // reads that did not succeed
	flight []try
	inVain int
}

// try is one key's reading by one node.
type try struct {
	key     history.Key
	process history.Process // while in flight
	count   int
}

// FinalReads reads every key that a test of Independent has used, once at each node,
// and at different times, because what only some replicas have shows as a value that
// one node returns and a later one does not: the keys prefix0, prefix1, … up to the
// greatest number seen in the events. If those are more than limit, half of the limit
// goes to the newest and the other half is spread evenly over the older ones. A read
// that does not succeed is tried twice more, unless nothing succeeds on that node. It
// has to be told of the events of the test, as Run does with its Final generator.
func FinalReads(prefix string, read history.F, nodes, limit int) Generator {
	return &finalReads{prefix: prefix, read: read, nodes: max(1, nodes), limit: max(2, limit)}
}

// count is the number of keys that are read.
func (f *finalReads) count() int64 { return min(f.seen, int64(f.limit)) }

// number returns the number of the i-th key to read.
func (f *finalReads) number(i int64) int64 {
	if f.seen <= int64(f.limit) {
		return i
	}
	older := int64(f.limit / 2)
	if i >= older {
		return f.seen - (f.count() - i)
	}
	// The product of two counts of keys may exceed 64 bits, in theory.
	hi, lo := bits.Mul64(uint64(i), uint64(f.seen-(f.count()-older)))
	q, _ := bits.Div64(hi, lo, uint64(older))
	return int64(q)
}

func (f *finalReads) name(number int64) history.Key {
	return history.Key(f.prefix + strconv.FormatInt(number, 10))
}

// class returns the class of a thread: threads of the same class may talk to the
// same node, threads of different classes never do.
func (f *finalReads) class(ctx Context) int { return ctx.Thread % f.classes(ctx) }

func (f *finalReads) classes(ctx Context) int { return min(f.nodes, ctx.Threads) }

func (f *finalReads) Next(ctx Context) (Step, Generator) {
	n := *f
	n.begun = true
	if !f.begun {
		n.cursors = make([]cursor, f.classes(ctx))
	} else {
		n.cursors = slices.Clone(f.cursors)
	}
	own := f.class(ctx)
	c := &n.cursors[own]
	if c.inVain < maxInVain && len(c.again) > 0 {
		key := c.again[0].key
		return Do(Op{F: f.read, Key: key}), &n
	}
	if f.more(*c) {
		// Each class begins elsewhere.
		i := (c.next + int64(own)*f.count()/int64(len(n.cursors))) % f.count()
		c.next++
		return Do(Op{F: f.read, Key: f.name(f.number(i))}), &n
	}
	for _, c := range n.cursors {
		if f.more(c) || len(c.flight) > 0 || c.inVain < maxInVain && len(c.again) > 0 {
			if f.begun {
				return Pending(), f
			}
			return Pending(), &n
		}
	}
	return over()
}

// more reports whether a class has keys left that it has not read.
func (f *finalReads) more(c cursor) bool { return c.inVain < maxInVain && c.next < f.count() }

func (f *finalReads) Update(ctx Context, ev history.Event) Generator {
	if !f.begun {
		number, ok := f.parse(ev.Key)
		if !ok || number < f.seen {
			return f
		}
		n := *f
		n.seen = number + 1
		return &n
	}
	n := *f
	n.cursors = slices.Clone(f.cursors)
	n.cursors[f.class(ctx)] = f.cursors[f.class(ctx)].after(ev)
	return &n
}

// after returns the cursor as it is after an event.
func (c cursor) after(ev history.Event) cursor {
	if ev.Type == history.Invoke {
		now := try{key: ev.Key, process: ev.Process, count: 1}
		if i := slices.IndexFunc(c.again, func(t try) bool { return t.key == ev.Key }); i >= 0 {
			now.count += c.again[i].count
			c.again = slices.Delete(slices.Clone(c.again), i, i+1)
		}
		c.flight = append(slices.Clip(c.flight), now)
		return c
	}
	i := slices.IndexFunc(c.flight, func(t try) bool { return t.process == ev.Process })
	if i < 0 {
		return c // it began before the final reads
	}
	ended := c.flight[i]
	c.flight = slices.Delete(slices.Clone(c.flight), i, i+1)
	if ev.Type == history.OK {
		c.inVain = 0
		return c
	}
	c.inVain++
	if ended.count < maxReads {
		c.again = append(slices.Clip(c.again), ended)
	}
	return c
}

func (f *finalReads) parse(key history.Key) (int64, bool) {
	digits, ok := strings.CutPrefix(string(key), f.prefix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	return number, err == nil && number >= 0
}
