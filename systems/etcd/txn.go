package etcd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// kind is what the keys of a transaction hold.
type kind interface {
	parse(b []byte) (history.Value, error)
	format(v history.Value) (string, error)
	// none is what a key that was never written holds.
	none() history.Value
}

// registers hold an integer.
type registers struct{}

func (registers) parse(b []byte) (history.Value, error)  { return integer(b) }
func (registers) format(v history.Value) (string, error) { return text(v) }
func (registers) none() history.Value                    { return history.Nil() }

// lists hold integers with commas.
type lists struct{}

func (lists) none() history.Value { return history.Ints() }

func (lists) parse(b []byte) (history.Value, error) {
	var list []history.Value
	for part := range strings.SplitSeq(string(b), ",") {
		v, err := integer([]byte(part))
		if err != nil {
			return v, err
		}
		list = append(list, v)
	}
	return history.List(list...), nil
}

func (lists) format(v history.Value) (string, error) {
	parts := make([]string, v.Len())
	var errs []error
	for i := range parts {
		part, err := text(v.At(i))
		parts[i] = part
		errs = append(errs, err)
	}
	return strings.Join(parts, ","), errors.Join(errs...)
}

// work is a transaction under way: what its keys held when they were read, at one revision,
// and what they hold now.
type work struct {
	kind kind
	call call
	// keys are those that it reads, in their order; revisions are of their last changes.
	keys      []history.Key
	revisions map[history.Key]int64
	now       map[history.Key]history.Value
	written   []history.Key
}

// transact reads what the steps need, does them, and commits what was written if nothing of
// what was read has changed. One that only reads is done with that; one that only writes
// has nothing to compare.
func (c call) transact(op history.Event, k kind) (history.Value, error) {
	steps, err := history.ParseSteps(op.Value)
	if err != nil {
		return op.Value, history.Definite(operation.Brokenf("transaction: %w", err))
	}
	w := work{
		kind: k, call: c,
		revisions: map[history.Key]int64{}, now: map[history.Key]history.Value{},
	}
	if err := w.read(steps); err != nil {
		return op.Value, history.Definite(fmt.Errorf("read: %w", err))
	}
	for i := range steps {
		if err := w.step(&steps[i]); err != nil {
			return op.Value, history.Definite(fmt.Errorf("step %d: %w", i, err))
		}
	}
	if err := w.commit(); err != nil {
		return op.Value, err
	}
	return history.Steps(steps...), nil
}

// read reads all keys of which a step needs to know what they hold.
func (w *work) read(steps []history.Step) error {
	var gets []clientv3.Op
	blind := map[history.Key]bool{}
	for _, s := range steps {
		if s.F == history.StepWrite {
			blind[s.Key] = true // what follows knows what it holds
			continue
		}
		if !blind[s.Key] && !slices.Contains(w.keys, s.Key) {
			w.keys = append(w.keys, s.Key)
			gets = append(gets, clientv3.OpGet(path(w.call.object, s.Key), w.call.reads()...))
		}
	}
	if gets == nil {
		return nil
	}
	got, err := w.call.node.kv.Txn(w.call.ctx).Then(gets...).Commit()
	if err != nil {
		return err
	}
	if len(got.Responses) != len(gets) {
		return operation.Brokenf("%d answers to %d reads", len(got.Responses), len(gets))
	}
	for i, key := range w.keys {
		w.revisions[key] = 0 // it does not exist
		kvs := got.Responses[i].GetResponseRange().GetKvs()
		if len(kvs) == 0 {
			continue
		}
		w.revisions[key] = kvs[0].ModRevision
		if w.now[key], err = w.kind.parse(kvs[0].Value); err != nil {
			return err
		}
	}
	return nil
}

var errOverdraft = errors.New("overdraft: the balance would be negative")

// step does one step on what the keys hold now.
func (w *work) step(s *history.Step) error {
	has, ok := w.now[s.Key]
	if !ok {
		has = w.kind.none()
	}
	switch s.F {
	case history.StepRead:
		s.Value = has
		return nil
	case history.StepWrite:
		has = s.Value
	case history.StepAppend:
		has = appended(has, s.Value)
	case history.StepAdd:
		old, _ := has.AsInt()
		n, _ := s.Value.AsInt()
		if n < 0 && old+n < 0 {
			return errOverdraft
		}
		has = history.Int(old + n)
	default:
		return operation.Brokenf("there is no step %q", s.F)
	}
	w.now[s.Key] = has
	if !slices.Contains(w.written, s.Key) {
		w.written = append(w.written, s.Key)
	}
	return nil
}

// appended is a list with one more element.
func appended(list, v history.Value) history.Value {
	all := make([]history.Value, 0, list.Len()+1)
	for i := range list.Len() {
		all = append(all, list.At(i))
	}
	return history.List(append(all, v)...)
}

// commit writes what has changed.
func (w *work) commit() error {
	if w.written == nil {
		return nil
	}
	var ifs []clientv3.Cmp
	for _, key := range w.keys {
		ifs = append(ifs, clientv3.Compare(clientv3.ModRevision(path(w.call.object, key)), "=",
			w.revisions[key]))
	}
	var puts []clientv3.Op
	for _, key := range w.written {
		value, err := w.kind.format(w.now[key])
		if err != nil {
			return history.Definite(fmt.Errorf("key %s: %w", key, err))
		}
		puts = append(puts, clientv3.OpPut(path(w.call.object, key), value))
	}
	_, err := w.call.commit(ifs, puts...)
	return err
}
