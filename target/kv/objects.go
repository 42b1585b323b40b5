package kv

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// object is what a key holds. Which of the fields count depends on the kind.
type object struct {
	kind  string
	value string   // register: compact JSON, "" for never written
	count int64    // counter
	items []string // set, queue, list: compact JSON, oldest first
	// members finds the items of a set. It is derived, never encoded.
	members map[string]bool
}

// apply returns the object after the operation. Its receiver is a copy, but
// items and members are shared with the original and changed in place, which is
// fine because only an operation that succeeds touches them.
func (o object) apply(f, arg string) (object, Result) {
	switch o.kind + "." + f {
	case "register.write":
		o.value = arg
	case "register.cas":
		return o.cas(arg)
	case "counter.add":
		return o.add(arg)
	case "set.add":
		if o.members == nil {
			o.members = map[string]bool{}
		}
		if !o.members[arg] {
			o.members[arg] = true
			o.items = append(o.items, arg)
		}
	case "queue.enqueue", "list.append":
		o.items = append(o.items, arg)
	case "queue.dequeue":
		if len(o.items) == 0 {
			return o, fail(CodeEmpty, "the queue is empty")
		}
		head := o.items[0]
		o.items[0] = "" // let go of it
		o.items = o.items[1:]
		return o, Result{Value: head}
	default:
		return o, fail(CodeNotSupported, "no operation %s.%s", o.kind, f)
	}
	return o, Result{}
}

func (o object) cas(arg string) (object, Result) {
	from, to, err := splitPair(arg)
	if err != nil {
		return o, fail(CodeBadRequest, "register.cas: %v", err)
	}
	if is := o.register(); is != from {
		return o, fail(CodePrecondition, "expected %s, found %s", from, is)
	}
	o.value = to
	return o, Result{}
}

func (o object) add(arg string) (object, Result) {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return o, fail(CodeBadRequest, "counter.add: %v", err)
	}
	if n > 0 && o.count > math.MaxInt64-n || n < 0 && o.count < math.MinInt64-n {
		return o, fail(CodeBadRequest, "counter.add: %d + %d overflows", o.count, n)
	}
	o.count += n
	return o, Result{}
}

func (o object) register() string {
	if o.value == "" {
		return "null"
	}
	return o.value
}

func (o object) read() Result {
	switch o.kind {
	case "register":
		return Result{Value: o.register()}
	case "counter":
		return Result{Value: strconv.FormatInt(o.count, 10)}
	case "set", "list":
		return Result{Value: "[" + strings.Join(o.items, ",") + "]"}
	default:
		return fail(CodeNotSupported, "no operation %s.read", o.kind)
	}
}

// Evaluate tells what a compare-and-set would do now: the write that it comes
// down to, or its failure. Nothing correct needs it; the planted bug
// mp-cas-at-propose is made of it.
func (s *Store) Evaluate(c Command) (Command, Result) {
	o, there := s.objects[c.Key]
	if there && o.kind != c.Object {
		return c, wrongType(c.Key, o.kind, c.Object)
	}
	changed, r := o.cas(c.Value)
	if r.Outcome == protocol.OK {
		c.F, c.Value = "write", changed.value
	}
	return c, r
}

// snapshot returns what is encoded of the object.
func (o object) snapshot(key string) objectImage {
	return objectImage{
		Key: key, Kind: o.kind, Value: o.value, Count: o.count, Items: slices.Clip(o.items),
	}
}

func (i objectImage) object() object {
	o := object{kind: i.Kind, value: i.Value, count: i.Count, items: i.Items}
	if i.Kind == "set" {
		o.members = make(map[string]bool, len(i.Items))
		for _, x := range i.Items {
			o.members[x] = true
		}
	}
	return o
}
