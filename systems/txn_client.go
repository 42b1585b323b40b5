package systems

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// txnClient sends a transaction as one request.
type txnClient struct{ referenceClient }

// Invoke runs a transaction, value [[f, key, value], …], and returns it with what
// its reads found.
func (c *txnClient) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	req := request{Object: "txn", F: "run", Value: &op.Value}
	if history.ReadOnly(op.Value) {
		ans, err := c.call(ctx, req)
		if err != nil {
			return op, history.Definite(err) // it had no effect, whatever became of it
		}
		op.Value = ans.Value
		return op, nil
	}
	ans, err := c.command(ctx, req)
	if err != nil {
		return op, err
	}
	if !ans.Value.IsNil() {
		op.Value = ans.Value
	}
	return op, nil
}

// interactiveClient sends a transaction as several requests to one node: begin, a
// request for each step, commit. Until it has sent commit, a transaction cannot
// take effect any more once the client gives it up, so everything that goes wrong
// before is a definite failure. From then on the answer to commit alone decides.
type interactiveClient struct {
	referenceClient
	// kind is the kind of object that a step "r" reads.
	kind string
	// pause is the longest time that a slow transaction rests between requests.
	pause time.Duration
}

// Invoke runs a transaction, value [[f, key, value], …], and returns it with what
// its reads found. A step "add" reads a register and writes the sum, and gives the
// transaction up rather than write a negative one.
func (c *interactiveClient) Invoke(
	ctx context.Context, op history.Event,
) (history.Event, error) {
	steps, err := history.ParseSteps(op.Value)
	if err != nil {
		return op, history.Definite(fmt.Errorf("transaction: %w", err))
	}
	ans, err := c.call(ctx, request{Object: "txn", F: "begin"})
	if err != nil {
		return op, history.Definite(fmt.Errorf("begin: %w", err))
	}
	id, ok := ans.Value.AsInt()
	if !ok || id == 0 {
		return op, history.Definite(fmt.Errorf("begin: transaction id is %s", ans.Value))
	}
	rest := c.restsBefore(op, len(steps))
	if ctx.Value(restless{}) != nil {
		rest = -1
	}
	for i := range steps {
		if i == rest {
			c.sleep(ctx)
		}
		if err := c.step(ctx, id, &steps[i]); err != nil {
			c.abort(ctx, id)
			return op, history.Definite(fmt.Errorf("step %d: %w", i, err))
		}
	}
	if _, err := c.call(ctx, request{Object: "txn", F: "commit", Txn: id}); err != nil {
		err = fmt.Errorf("commit: %w", err)
		if history.ReadOnly(op.Value) {
			err = history.Definite(err)
		}
		return op, err
	}
	op.Value = history.Steps(steps...)
	return op, nil
}

// errOverdraft is why a client gives a transaction up by itself.
var errOverdraft = errors.New("overdraft: the balance would be negative")

func (c *interactiveClient) step(ctx context.Context, id int64, s *history.Step) error {
	switch s.F {
	case history.StepRead:
		ans, err := c.call(ctx, request{Object: c.kind, F: "read", Key: s.Key, Txn: id})
		s.Value = ans.Value
		return err
	case history.StepWrite:
		return c.put(ctx, id, "register", "write", s.Key, s.Value)
	case history.StepAppend:
		return c.put(ctx, id, "list", "append", s.Key, s.Value)
	case history.StepAdd:
		ans, err := c.call(ctx, request{Object: "register", F: "read", Key: s.Key, Txn: id})
		if err != nil {
			return err
		}
		have, isInt := ans.Value.AsInt()
		if !isInt && !ans.Value.IsNil() {
			return fmt.Errorf("add to %s: it holds %s", s.Key, ans.Value)
		}
		n, _ := s.Value.AsInt()
		if n < 0 && have+n < 0 {
			return errOverdraft
		}
		return c.put(ctx, id, "register", "write", s.Key, history.Int(have+n))
	default:
		return fmt.Errorf("there is no step %q", s.F)
	}
}

func (c *interactiveClient) put(
	ctx context.Context, id int64, object string, f history.F, key history.Key, v history.Value,
) error {
	_, err := c.call(ctx, request{Object: object, F: f, Key: key, Value: &v, Txn: id})
	return err
}

// abort tells the node, if there is time left: it will find out without, too.
func (c *interactiveClient) abort(ctx context.Context, id int64) {
	if ctx.Err() == nil {
		_, _ = c.call(ctx, request{Object: "txn", F: "abort", Txn: id})
	}
}

// restsBefore returns the step before which a transaction rests, -1 for most. The
// transaction itself decides, so that a test can be repeated.
func (c *interactiveClient) restsBefore(op history.Event, steps int) int {
	if c.pause <= 0 || steps == 0 {
		return -1
	}
	n := draw(op)
	if n%4 != 0 {
		return -1
	}
	return int(n / 4 % uint64(steps))
}

// restless is the key of what WithoutRests returns.
type restless struct{}

// WithoutRests returns a context in which no transaction rests, whatever Options.TxnPause
// says.
func WithoutRests(ctx context.Context) context.Context {
	return context.WithValue(ctx, restless{}, true)
}

func (c *interactiveClient) sleep(ctx context.Context) { vtime.Sleep(ctx, c.pause) }

// draw returns a number that depends on the operation alone.
func draw(op history.Event) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %s %s", op.Process, op.F, op.Key, op.Value)
	n := h.Sum64()
	return n ^ n>>32
}
