package etcd

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
)

// Status implements native.Informant by the maintenance status of the node, and what it
// knows of the members.
func (c *client) Status(ctx context.Context, endpoint string) (native.Status, error) {
	n, err := dial(endpoint)
	if err != nil {
		return native.Status{}, err
	}
	defer n.conn.Close()
	if err := n.connect(ctx); err != nil {
		return native.Status{}, err
	}
	status, err := pb.NewMaintenanceClient(n.conn).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return native.Status{}, err
	}
	list, err := pb.NewClusterClient(n.conn).MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return native.Status{}, err
	}
	s := native.Status{Leads: status.Leader != 0 && status.Leader == status.Header.MemberId}
	for _, m := range list.Members {
		s.Members = append(s.Members, m.Name)
	}
	return s, nil
}

// Orders implements native.Operator.
func (c *client) Orders() []string { return []string{"transfer"} }

// Order implements native.Operator: leadership is moved by the node that has it.
func (c *client) Order(ctx context.Context, endpoint, order, to string) error {
	if order != "transfer" {
		return history.Definite(fmt.Errorf("there is no order %s", order))
	}
	n, err := dial(endpoint)
	if err != nil {
		return history.Definite(err)
	}
	defer n.conn.Close()
	if err := n.connect(ctx); err != nil {
		return err
	}
	list, err := pb.NewClusterClient(n.conn).MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return history.Definite(fmt.Errorf("list members: %w", err))
	}
	for _, m := range list.Members {
		if m.Name != to {
			continue
		}
		_, err := pb.NewMaintenanceClient(n.conn).MoveLeader(ctx,
			&pb.MoveLeaderRequest{TargetID: m.ID})
		return outcome(err)
	}
	return history.Definite(fmt.Errorf("%s is no member", to))
}
