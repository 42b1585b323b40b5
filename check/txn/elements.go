package txn

import (
	"errors"
	"fmt"
	"math"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// elem is an element of a list: an integer as it is, or the number of something else.
type elem = int64

// ownElems are the numbers of elements that are no integers, or are as small as these
// numbers: none of them is an integer that stands for itself.
const ownElems = math.MinInt64 + 1<<32

// errCareful says that there are elements that do not stand for themselves, so that all have
// to be looked at.
var errCareful = errors.New("elements that are no plain integers")

// elem returns the number of an element.
func (c *columns) elem(v history.Value) (elem, error) {
	if n, ok := v.AsInt(); ok && n >= ownElems {
		return n, nil
	}
	if !c.careful {
		return 0, errCareful
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
	// An integer that would not stand for itself was not appended, unless one has to
	// be careful, and does no harm.
	if list, ok := v.AsInts(); ok && !c.careful {
		return list, nil
	}
	list := make([]elem, v.Len())
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
	if e < ownElems && c.careful {
		return c.values[e-math.MinInt64].String()
	}
	return fmt.Sprint(e)
}
