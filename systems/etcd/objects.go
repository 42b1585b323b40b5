package etcd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// integer reads a value that this client has written.
func integer(text []byte) (history.Value, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return history.Nil(), operation.Brokenf("read what this client never wrote: %w", err)
	}
	return history.Int(n), nil
}

// text is an integer as it is written.
func text(v history.Value) (string, error) {
	n, ok := v.AsInt()
	if !ok {
		return "", history.Definite(operation.Brokenf("value %s: want an integer", v))
	}
	return strconv.FormatInt(n, 10), nil
}

// get reads one key, null if it was never written.
func (c call) get(opts ...clientv3.OpOption) (history.Value, error) {
	got, err := c.node.kv.Get(c.ctx, c.key, opts...)
	if err != nil || len(got.Kvs) == 0 {
		return history.Nil(), err
	}
	return integer(got.Kvs[0].Value)
}

// register is one key. A compare-and-set compares its value in a transaction.
func (c call) register(op history.Event) (history.Value, error) {
	switch op.F {
	case "read":
		return c.get(c.reads()...)
	case "write":
		value, err := text(op.Value)
		if err != nil {
			return op.Value, err
		}
		_, err = c.node.kv.Put(c.ctx, c.key, value)
		return op.Value, err
	}
	next, err := text(op.Value.At(1))
	if err != nil {
		return op.Value, err
	}
	same := clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0) // for null: not there
	if !op.Value.At(0).IsNil() {
		old, err := text(op.Value.At(0))
		if err != nil {
			return op.Value, err
		}
		same = clientv3.Compare(clientv3.Value(c.key), "=", old)
	}
	_, err = c.commit([]clientv3.Cmp{same}, clientv3.OpPut(c.key, next))
	return op.Value, err
}

// below are all keys of a collection.
func (c call) below() string { return c.key + "/" }

// elements reads a collection in the order of creation.
func (c call) elements(opts ...clientv3.OpOption) ([]*mvccpb.KeyValue, error) {
	opts = append(opts, clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	got, err := c.node.kv.Get(c.ctx, c.below(), opts...)
	if err != nil {
		return nil, err
	}
	return got.Kvs, nil
}

// values are those of elements.
func values(kvs []*mvccpb.KeyValue) ([]history.Value, error) {
	list := make([]history.Value, 0, len(kvs))
	for _, kv := range kvs {
		v, err := integer(kv.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// set has a key for each element, and is read as a whole at one revision.
func (c call) set(op history.Event) (history.Value, error) {
	if op.F == "read" {
		return c.list()
	}
	value, err := text(op.Value)
	if err != nil {
		return op.Value, err
	}
	ifs, err := c.guarded()
	if err != nil {
		return op.Value, err
	}
	_, err = c.commit(ifs, clientv3.OpPut(c.below()+value, value))
	return op.Value, err
}

func (c call) list() (history.Value, error) {
	kvs, err := c.elements(c.reads()...)
	if err != nil {
		return history.Nil(), err
	}
	list, err := values(kvs)
	return history.List(list...), err
}

// counter has a key for each number that was added; it is their sum at one revision. So
// adds never compete.
func (c call) counter(op history.Event) (history.Value, error) {
	if op.F == "add" {
		_, err := c.enter(op.Value)
		return op.Value, err
	}
	kvs, err := c.elements(c.reads()...)
	if err != nil {
		return history.Nil(), err
	}
	list, err := values(kvs)
	if err != nil {
		return history.Nil(), err
	}
	var sum int64
	for _, v := range list {
		n, _ := v.AsInt()
		sum += n
	}
	return history.Int(sum), nil
}

// enter makes an element under a key that no other has, and says how many there are with it
// by the same transaction.
func (c call) enter(v history.Value) (int64, error) {
	value, err := text(v)
	if err != nil {
		return 0, err
	}
	key := c.below() + rand.Text()
	ifs, err := c.guarded(clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
	if err != nil {
		return 0, err
	}
	got, err := c.commit(ifs, clientv3.OpPut(key, value),
		clientv3.OpGet(c.below(), clientv3.WithPrefix(), clientv3.WithCountOnly()))
	if err != nil {
		return 0, err
	}
	if len(got.Responses) != 2 || got.Responses[1].GetResponseRange() == nil {
		return 0, operation.Brokenf("a transaction of two operations was answered by %d",
			len(got.Responses))
	}
	return got.Responses[1].GetResponseRange().Count, nil
}

// queue is a collection of which the oldest element is taken: it is read, and taken if it is
// still there. Nothing older can have come meanwhile, because revisions only grow.
func (c call) queue(op history.Event) (history.Value, error) {
	if op.F == "enqueue" {
		_, err := c.enter(op.Value)
		return op.Value, err
	}
	kvs, err := c.elements(clientv3.WithLimit(1))
	switch {
	case err != nil:
		return history.Nil(), history.Definite(fmt.Errorf("read the oldest: %w", err))
	case len(kvs) == 0:
		return history.Nil(), nil
	}
	oldest := kvs[0]
	value, err := integer(oldest.Value)
	if err != nil {
		return value, err
	}
	key := string(oldest.Key)
	_, err = c.commit([]clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(key), "=", oldest.CreateRevision),
	}, clientv3.OpDelete(key))
	return value, err
}

// log is a collection; the position of an element is how many there were before it.
func (c call) log(op history.Event) (history.Value, error) {
	if op.F == "read" && c.client.logs != byRange {
		return c.watched(c.client.logs)
	}
	if op.F == "read" {
		return c.list()
	}
	count, err := c.enter(op.Value)
	return history.Int(count - 1), err
}

// decide is a key that is created once.
func (c call) decide(op history.Event) (history.Value, error) {
	if op.F == "ask" {
		return c.get(c.reads()...)
	}
	value, err := text(op.Value)
	if err != nil {
		return op.Value, err
	}
	got, err := c.node.kv.Txn(c.ctx).
		If(clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)).
		Then(clientv3.OpPut(c.key, value)).Else(clientv3.OpGet(c.key)).Commit()
	if err != nil || got.Succeeded {
		return op.Value, err
	}
	if len(got.Responses) != 1 || len(got.Responses[0].GetResponseRange().GetKvs()) != 1 {
		return op.Value, operation.Brokenf("what is decided is there and was not read: %v", got)
	}
	return integer(got.Responses[0].GetResponseRange().Kvs[0].Value)
}

// generate gives out the revision of a write, which no other write has.
func (c call) generate() (history.Value, error) {
	got, err := c.node.kv.Put(c.ctx, c.key, strconv.FormatInt(int64(c.process), 10))
	if err != nil {
		return history.Nil(), err
	}
	return history.Int(got.Header.Revision), nil
}

// fencedText is a register with the token by which it was written.
func fencedText(token, value history.Value) (string, error) {
	t, err := text(token)
	v, verr := text(value)
	return t + " " + v, errors.Join(err, verr)
}

func parseFenced(b []byte) (token, value history.Value, err error) {
	t, v, _ := strings.Cut(string(b), " ")
	token, err = integer([]byte(t))
	value, verr := integer([]byte(v))
	return token, value, errors.Join(err, verr)
}

// fenced is a lock and the register that it guards, which refuses a token that is older
// than the one by which it was written.
func (c call) fenced(op history.Event) (history.Value, error) {
	if op.F == "acquire" || op.F == "release" {
		return c.lock(op)
	}
	opts := c.reads()
	if op.F == "write" {
		opts = nil
	}
	got, err := c.node.kv.Get(c.ctx, c.key, opts...)
	if err != nil {
		return op.Value, history.Definite(fmt.Errorf("read the register: %w", err))
	}
	has, value, revision := history.Int(0), history.Nil(), int64(0)
	if len(got.Kvs) > 0 {
		if has, value, err = parseFenced(got.Kvs[0].Value); err != nil {
			return op.Value, err
		}
		revision = got.Kvs[0].ModRevision
	}
	if op.F == "read" {
		return history.List(has, value), nil
	}
	next, err := fencedText(op.Value.At(0), op.Value.At(1))
	if err != nil {
		return op.Value, err
	}
	mine, _ := op.Value.At(0).AsInt()
	if greater, _ := has.AsInt(); greater > mine {
		return op.Value, history.Definite(fmt.Errorf("token %d is old: %d was there", mine, greater))
	}
	_, err = c.commit([]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(c.key), "=", revision)},
		clientv3.OpPut(c.key, next))
	return op.Value, err
}
