package zookeeper

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/ordeal-dev/ordeal/history"
)

// work does operations on a session of ZooKeeper. Nothing is sent twice. Where one request
// tells that a node has to be made first, the next one is another request: the first one had
// no effect.
type work struct {
	conn *zk.Conn
	sync bool
}

// refused reports whether an error proves that a request had and will have no effect: the
// answer of the server that it cannot be done, or of the library that it was never sent. A
// session that has expired proves nothing about the requests before.
func refused(err error) bool {
	return slices.ContainsFunc([]error{
		zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNotEmpty, zk.ErrNoAuth,
		zk.ErrInvalidACL, zk.ErrNoChildrenForEphemerals, zk.ErrNoServer,
	}, func(no error) bool { return errors.Is(err, no) })
}

// told is the error of a request that changes something.
func told(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	if refused(err) {
		return history.Definite(wrapped)
	}
	return wrapped
}

var errMismatch = errors.New("it holds something else")

func (w work) perform(object string, op history.Event) (history.Value, error) {
	switch {
	case op.F == "txn":
		return w.txn(object, op.Value)
	case op.F == "generate":
		return w.generate()
	case object == "set" && op.F == "add":
		return history.Nil(), w.add("/s."+string(op.Key), op.Value)
	case object == "set":
		return w.members("/s." + string(op.Key))
	}
	path := "/r." + string(op.Key)
	switch op.F {
	case "write":
		return history.Nil(), w.write(path, op.Value)
	case "cas":
		return history.Nil(), w.cas(path, op.Value)
	default:
		n, err := w.get(path)
		if err != nil {
			return history.Nil(), history.Definite(err)
		}
		return n.number()
	}
}

// node is what is at a path.
type node struct {
	path    string
	data    string
	version int32
	there   bool
}

// number is the value of a register: an integer, nil where there is nothing.
func (n node) number() (history.Value, error) {
	if n.data == "" {
		return history.Nil(), nil
	}
	i, err := strconv.ParseInt(n.data, 10, 64)
	if err != nil {
		return history.Nil(), history.Definite(fmt.Errorf("%s holds %q: %w", n.path, n.data, err))
	}
	return history.Int(i), nil
}

// get reads, of what the server has, and as the settings say after it has caught up.
func (w work) get(path string) (node, error) {
	if w.sync {
		if _, err := w.conn.Sync(path); err != nil {
			return node{}, fmt.Errorf("sync: %w", err)
		}
	}
	data, stat, err := w.conn.Get(path)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return node{path: path}, nil
	case err != nil:
		return node{}, fmt.Errorf("get: %w", err)
	}
	return node{path: path, data: string(data), version: stat.Version, there: true}, nil
}

func acl() []zk.ACL { return zk.WorldACL(zk.PermAll) }

// anyVersion sets a node whatever its version is.
const anyVersion = -1

func (w work) write(path string, v history.Value) error {
	n, ok := v.AsInt()
	if !ok {
		return history.Definite(fmt.Errorf("write %s: want an integer", v))
	}
	data := strconv.AppendInt(nil, n, 10)
	_, err := w.conn.Set(path, data, anyVersion)
	if errors.Is(err, zk.ErrNoNode) {
		if _, err = w.conn.Create(path, data, 0, acl()); errors.Is(err, zk.ErrNodeExists) {
			_, err = w.conn.Set(path, data, anyVersion) // somebody else was faster
		}
	}
	return told("write", err)
}

// cas reads the value and its version, and writes if the version is still the same.
func (w work) cas(path string, v history.Value) error {
	have, err := w.get(path)
	if err != nil {
		return history.Definite(err)
	}
	value, err := have.number()
	if err != nil {
		return err
	}
	if !have.there || !value.Equal(v.At(0)) {
		return history.Definite(errMismatch)
	}
	next, _ := v.At(1).AsInt()
	_, err = w.conn.Set(path, strconv.AppendInt(nil, next, 10), have.version)
	return told("cas", err)
}

// add makes a node for the element below that of the set.
func (w work) add(path string, v history.Value) error {
	n, ok := v.AsInt()
	if !ok {
		return history.Definite(fmt.Errorf("add %s: want an integer", v))
	}
	element := path + "/" + strconv.FormatInt(n, 10)
	err := w.below(path, func() error {
		_, err := w.conn.Create(element, nil, 0, acl())
		return err
	})
	if errors.Is(err, zk.ErrNodeExists) {
		return nil // it is in the set
	}
	return told("add", err)
}

// below creates something below a node, and that node before where it is missing.
func (w work) below(parent string, create func() error) error {
	err := create()
	if !errors.Is(err, zk.ErrNoNode) {
		return err
	}
	_, err = w.conn.Create(parent, nil, 0, acl())
	if err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return history.Definite(fmt.Errorf("make %s: %w", parent, err)) // an empty node is nothing
	}
	return create()
}

func (w work) members(path string) (history.Value, error) {
	if w.sync {
		if _, err := w.conn.Sync(path); err != nil {
			return history.Nil(), history.Definite(fmt.Errorf("sync: %w", err))
		}
	}
	children, _, err := w.conn.Children(path)
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return history.Nil(), history.Definite(fmt.Errorf("children: %w", err))
	}
	var ns []int64
	for _, name := range children {
		n, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return history.Nil(), history.Definite(fmt.Errorf("child %q: %w", name, err))
		}
		ns = append(ns, n)
	}
	slices.Sort(ns) // they come in any order
	return history.Ints(ns...), nil
}

// generate makes a node whose name the server counts up.
func (w work) generate() (history.Value, error) {
	const parent, digits = "/ids", 10
	var name string
	err := w.below(parent, func() (err error) {
		name, err = w.conn.Create(parent+"/", nil, zk.FlagSequence, acl())
		return err
	})
	if err != nil {
		return history.Nil(), told("generate", err)
	}
	n, err := strconv.ParseInt(name[max(0, len(name)-digits):], 10, 64)
	if err != nil {
		return history.Nil(), fmt.Errorf("generate: %q: %w", name, err)
	}
	return history.Int(n), nil
}

var (
	errConflict  = errors.New("conflict: something that was read has changed")
	errOverdraft = errors.New("overdraft: the balance would be negative")
)

// txn reads all keys, does the steps on what it has read, and then asks for one multi: nothing
// of it has changed, and this is written. Reads need no sync, because that checks them.
func (w work) txn(object string, value history.Value) (history.Value, error) {
	steps, err := history.ParseSteps(value)
	if err != nil {
		return value, history.Definite(err)
	}
	prefix := "/r."
	if object == "txn-list" {
		prefix = "/l."
	}
	nodes := make(map[history.Key]*node)
	var order []history.Key
	for _, s := range steps {
		if nodes[s.Key] != nil {
			continue
		}
		n, err := w.made(prefix + string(s.Key))
		if err != nil {
			return value, history.Definite(fmt.Errorf("read %s: %w", s.Key, err))
		}
		nodes[s.Key], order = &n, append(order, s.Key)
	}
	before := make(map[history.Key]string)
	for key, n := range nodes {
		before[key] = n.data
	}
	for i := range steps {
		if err := step(nodes[steps[i].Key], object, &steps[i]); err != nil {
			return value, history.Definite(fmt.Errorf("step %d: %w", i, err))
		}
	}
	var requests []any
	for _, key := range order {
		n := nodes[key]
		if n.data == before[key] {
			requests = append(requests, &zk.CheckVersionRequest{Path: n.path, Version: n.version})
		} else {
			requests = append(requests,
				&zk.SetDataRequest{Path: n.path, Data: []byte(n.data), Version: n.version})
		}
	}
	return history.Steps(steps...), w.multi(requests)
}

// multi does all of the requests or none.
func (w work) multi(requests []any) error {
	answers, err := w.conn.Multi(requests...)
	if err != nil {
		return told("multi", err)
	}
	for _, a := range answers {
		if a.Error != nil {
			return history.Definite(errConflict) // of a multi that failed, nothing was done
		}
	}
	return nil
}

// made reads a node, which is made empty where there is none: only what is there has a version
// that can be checked.
func (w work) made(path string) (node, error) {
	for range 2 {
		data, stat, err := w.conn.Get(path)
		if err == nil {
			return node{path: path, data: string(data), version: stat.Version, there: true}, nil
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return node{}, err
		}
		_, err = w.conn.Create(path, nil, 0, acl())
		if err == nil {
			return node{path: path, there: true}, nil
		}
		if !errors.Is(err, zk.ErrNodeExists) {
			return node{}, fmt.Errorf("make: %w", err)
		}
		if _, err := w.conn.Sync(path); err != nil { // this server does not have it yet
			return node{}, fmt.Errorf("sync: %w", err)
		}
	}
	return node{}, zk.ErrNoNode
}

// step does one step on a node.
func step(n *node, object string, s *history.Step) error {
	switch {
	case s.F == history.StepRead && object == "txn-list":
		list, err := n.list()
		s.Value = list
		return err
	case s.F == history.StepRead:
		v, err := n.number()
		s.Value = v
		return err
	}
	i, ok := s.Value.AsInt()
	if !ok {
		return fmt.Errorf("%s %s: want an integer", s.F, s.Value)
	}
	text := strconv.FormatInt(i, 10)
	switch s.F {
	case history.StepWrite:
		n.data = text
	case history.StepAppend:
		n.data = strings.TrimPrefix(n.data+","+text, ",")
	case history.StepAdd:
		v, err := n.number()
		if err != nil {
			return err
		}
		have, _ := v.AsInt()
		if i < 0 && have+i < 0 {
			return errOverdraft
		}
		n.data = strconv.FormatInt(have+i, 10)
	default:
		return fmt.Errorf("there is no step %q", s.F)
	}
	return nil
}

// list reads elements, which are kept as text with commas.
func (n node) list() (history.Value, error) {
	var ns []int64
	for word := range strings.SplitSeq(n.data, ",") {
		if n.data == "" {
			break
		}
		i, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return history.Nil(), fmt.Errorf("%s holds %q: %w", n.path, n.data, err)
		}
		ns = append(ns, i)
	}
	return history.Ints(ns...), nil
}
