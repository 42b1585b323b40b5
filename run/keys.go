package run

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// Keys of workloads are the same in every run, r0, r1, …. A system that the checker does
// not begin with an empty disk may still hold what an earlier run has written, and a read
// of that would look like a value that nobody wrote. So the keys of each run get a
// beginning of their own, for the system alone: the history knows nothing of it.

// keyPrefix is a beginning that no other run has.
func keyPrefix(started time.Time, seed uint64) string {
	return strconv.FormatInt(started.UnixMicro(), 36) + strconv.FormatUint(seed%1296, 36) + "-"
}

// prefixed gives the keys of operations, and of the steps of transactions, their
// beginning.
type prefixed struct {
	workload.Client
	prefix string
}

// Invoke performs the operation under the run's own keys.
func (p prefixed) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	key := op.Key
	op.Key = history.Key(p.prefix) + key
	txn := op.F == workload.Txn
	if txn {
		value, err := mapKeys(op.Value, func(k history.Key) (history.Key, error) {
			return history.Key(p.prefix) + k, nil
		})
		if err != nil {
			return op, history.Definite(err) // nothing was sent
		}
		op.Value = value
	}
	result, err := p.Client.Invoke(ctx, op)
	result.Key = key
	if err != nil || !txn {
		return result, err
	}
	// The client has held the steps against those that it was given.
	result.Value, err = mapKeys(result.Value, func(k history.Key) (history.Key, error) {
		if len(k) < len(p.prefix) || string(k[:len(p.prefix)]) != p.prefix {
			return k, fmt.Errorf("a step about key %s, which this run does not have", k)
		}
		return k[len(p.prefix):], nil
	})
	return result, err
}

// mapKeys changes the keys of a transaction's steps.
func mapKeys(
	v history.Value, change func(history.Key) (history.Key, error),
) (history.Value, error) {
	steps, err := history.ParseSteps(v)
	if err != nil {
		return v, err
	}
	for i := range steps {
		if steps[i].Key, err = change(steps[i].Key); err != nil {
			return v, err
		}
	}
	return history.Steps(steps...), nil
}
