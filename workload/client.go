package workload

import (
	"context"

	"github.com/ordeal-dev/ordeal/history"
)

// Client is one connection to the system under test. It is used by one goroutine
// at a time.
type Client interface {
	// Invoke performs op once, never twice: a retry hides what happened. The
	// returned event's Value is the result; its other fields are ignored. No
	// error means ok. An error wrapped by history.Definite means fail: the
	// operation had no effect and never will have one. Any other error means
	// info: nobody knows. Invoke ends soon after ctx does.
	Invoke(ctx context.Context, op history.Event) (history.Event, error)
	// Close releases the connection. It may be called while the system is down.
	Close() error
}

// Opener opens a new client for a worker thread. By convention thread t talks to
// node t mod n and stays there, even when that node is cut off: that is where
// stale answers come from. An error is recorded as a failed operation, because
// without a client nothing was sent.
type Opener func(ctx context.Context, thread int) (Client, error)
