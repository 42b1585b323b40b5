package etcd

import (
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ordeal-dev/ordeal/history"
)

// A guard is some keys that nobody changes. To compare all of them beside each element that
// is added changes nothing about what is written, and keeps a node busy with applying it for
// so long that a kill falls into the midst of that.

const (
	guardPrefix = "ordeal/guard/"
	guardValue  = "0"
	// guardStep is how many keys one transaction makes: etcd takes 128.
	guardStep = 100
)

var errPreparing = errors.New("another client makes the keys of the guard")

// guarded adds the guard to what a transaction compares, and makes its keys first.
func (c call) guarded(ifs ...clientv3.Cmp) ([]clientv3.Cmp, error) {
	if c.client.guard == 0 {
		return ifs, nil
	}
	if err := c.makeGuard(); err != nil {
		return nil, history.Definite(fmt.Errorf("guard: %w", err))
	}
	same := clientv3.Compare(clientv3.Value(guardPrefix), "=", guardValue).WithPrefix()
	return append(ifs, same), nil
}

// makeGuard makes the keys that are missing, in their order, so that the next operation goes
// on where this one ends.
func (c call) makeGuard() error {
	if c.client.guardMade.Load() {
		return nil
	}
	if !c.client.guarding.TryLock() {
		return errPreparing
	}
	defer c.client.guarding.Unlock()
	got, err := c.node.kv.Get(c.ctx, guardPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	for next := int(got.Count); next < c.client.guard; {
		var puts []clientv3.Op
		for ; len(puts) < guardStep && next < c.client.guard; next++ {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("%s%08d", guardPrefix, next), guardValue))
		}
		if _, err := c.node.kv.Txn(c.ctx).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	c.client.guardMade.Store(true)
	return nil
}
