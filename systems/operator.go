package systems

import (
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

var _ Operator = (*reference)(nil)

// Orders implements Operator.
func (r *reference) Orders() []string { return slices.Clone(r.protocol.Admin) }

// Transfer implements Operator.
func (r *reference) Transfer(ctx context.Context, endpoint, to string) error {
	return r.order(ctx, endpoint, "transfer", history.Str(to))
}

// Remove implements Operator.
func (r *reference) Remove(ctx context.Context, endpoint, node string) error {
	return r.order(ctx, endpoint, "remove-member", history.Str(node))
}

// Add implements Operator.
func (r *reference) Add(ctx context.Context, endpoint, node string) error {
	return r.order(ctx, endpoint, "add-member", history.Str(node))
}

// Move implements Operator.
func (r *reference) Move(ctx context.Context, endpoint string, shard int, to string) error {
	return r.order(ctx, endpoint, "move", history.Map(
		history.Field{Name: "shard", Value: history.Int(int64(shard))},
		history.Field{Name: "to", Value: history.Str(to)},
	))
}

// order posts an operation on the object admin.
func (r *reference) order(
	ctx context.Context, endpoint string, f history.F, value history.Value,
) error {
	if !slices.Contains(r.protocol.Admin, string(f)) {
		return history.Definite(fmt.Errorf("protocol %s cannot be told to do %s",
			r.protocol.Name, f))
	}
	client := r.newClient(opURL(endpoint), "admin")
	defer client.transport.CloseIdleConnections()
	_, err := client.call(ctx, request{Object: "admin", F: f, Value: &value})
	return err
}
