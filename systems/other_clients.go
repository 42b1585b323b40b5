package systems

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// fencedClient uses a lock and the register that it guards, under one key.
type fencedClient struct{ referenceClient }

// Invoke acquires the lock (value: ttl in milliseconds), or writes the register
// (value: [token, value]) or reads it.
func (c *fencedClient) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	c.object = "fenced"
	if op.F == "acquire" || op.F == "release" {
		c.object = "lock"
	}
	return c.referenceClient.Invoke(ctx, op)
}

// lockIDs gives out the fencing tokens of a lock: acquire, then release.
type lockIDs struct{ referenceClient }

// idLockMillis is for how long a lock is asked that is given back at once.
const idLockMillis = 1000

// Invoke generates an id. What becomes of the release does not matter to it.
func (c *lockIDs) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	ttl := history.Int(idLockMillis)
	// A lock for each process, so that none waits for another.
	key := history.Key(fmt.Sprintf("%s-%d", op.Key, op.Process))
	ans, err := c.command(ctx, request{Object: "lock", F: "acquire", Key: key, Value: &ttl})
	if err != nil {
		return op, err
	}
	token := ans.Value.Get("token")
	_, _ = c.command(ctx, request{Object: "lock", F: "release", Key: key, Value: &token})
	op.Value = token
	return op, nil
}

// counterIDs gives out what a counter holds after one has been added to it in the
// same transaction.
type counterIDs struct{ referenceClient }

// Invoke generates an id.
func (c *counterIDs) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	steps := history.Steps(
		history.Step{F: history.StepAdd, Key: op.Key, Value: history.Int(1)},
		history.Step{F: history.StepRead, Key: op.Key},
	)
	ans, err := c.command(ctx, request{Object: "txn", F: "run", Value: &steps})
	if err != nil {
		return op, err
	}
	got, err := history.ParseSteps(ans.Value)
	if err != nil || len(got) != 2 {
		return op, fmt.Errorf("transaction answered %s", ans.Value)
	}
	op.Value = got[1].Value
	return op, nil
}

// movingClient is a session of a client that goes from node to node and takes along
// what it has seen, as a token.
type movingClient struct {
	referenceClient
	urls  []string
	token string
	moves uint64
}

// Turn is which of its nodes such a client asks with its n-th operation, counted from 1: nothing
// but the operations decides that, so that a report can tell.
func Turn(op history.Event, n uint64, nodes int) int {
	return int((draw(op) + n) % uint64(nodes))
}

// Invoke writes or reads at some node, "write" being an append where the object is
// a log.
func (c *movingClient) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	c.moves++
	c.url = c.urls[Turn(op, c.moves, len(c.urls))]
	req := request{Object: c.object, F: op.F, Key: op.Key, Token: c.token}
	send := c.call
	if op.F != "read" {
		if c.object == "log" {
			req.F = "append"
		}
		req.Value = &op.Value
		send = c.command
	}
	ans, err := send(ctx, req)
	if err != nil {
		if op.F == "read" {
			err = history.Definite(err)
		}
		return op, err
	}
	if ans.Token != "" {
		c.token = ans.Token
	}
	if op.F == "read" {
		op.Value = ans.Value
	}
	return op, nil
}
