package run

import (
	"context"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// echo is a client that remembers the operation and answers by its value.
type echo struct{ got *history.Event }

func (e echo) Invoke(_ context.Context, op history.Event) (history.Event, error) {
	*e.got = op
	return op, nil
}

func (echo) Close() error { return nil }

// TestPrefixed: the system sees the run's own keys, the history those of the workload.
func TestPrefixed(t *testing.T) {
	var got history.Event
	client := prefixed{Client: echo{&got}, prefix: "run1-"}
	for _, c := range []struct {
		f           history.F
		value, sent history.Value
	}{
		{"write", history.Int(3), history.Int(3)},
		{"cas", history.Pair(1, 2), history.Pair(1, 2)},
		{"txn",
			history.Steps(history.Step{F: "r", Key: "e1.x"}, history.Step{
				F: "w", Key: "e1.y", Value: history.Int(3)}),
			history.Steps(history.Step{F: "r", Key: "run1-e1.x"}, history.Step{
				F: "w", Key: "run1-e1.y", Value: history.Int(3)})},
	} {
		op, err := client.Invoke(t.Context(), history.Event{F: c.f, Key: "e1", Value: c.value})
		if err != nil || got.Key != "run1-e1" || !got.Value.Equal(c.sent) {
			t.Errorf("%s: the system saw %s %s, %v", c.f, got.Key, got.Value, err)
		}
		if op.Key != "e1" || !op.Value.Equal(c.value) {
			t.Errorf("%s: the history sees %s %s", c.f, op.Key, op.Value)
		}
	}
	_, err := client.Invoke(t.Context(), history.Event{F: "txn", Value: history.Int(1)})
	if err == nil {
		t.Error("a transaction without steps")
	}
	a := keyPrefix(time.UnixMicro(1), 7)
	if a == keyPrefix(time.UnixMicro(2), 7) || a == keyPrefix(time.UnixMicro(1), 8) {
		t.Error("two runs have one prefix")
	}
}
