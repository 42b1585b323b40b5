package etcd

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordeal-dev/ordeal/history"
)

// errChanged says that a transaction compared and found something else.
var errChanged = errors.New("changed meanwhile: a comparison of the transaction failed")

// refusals are answers after which nothing was proposed to the cluster, with the reason why
// that is certain. docs/systems/etcd.md has this table, too.
//
// What is not here is unknown. In particular "database space exceeded": a node applies a
// write that exceeds the quota, and then answers so.
func refusals() []refusal {
	return []refusal{
		{rpctypes.ErrGRPCNoLeader, "asked for by WithRequireLeader; looked at before the request"},
		{rpctypes.ErrGRPCEmptyKey, "the request is looked at first"},
		{rpctypes.ErrGRPCTooManyOps, "the request is looked at first"},
		{rpctypes.ErrGRPCDuplicateKey, "the request is looked at first"},
		{rpctypes.ErrGRPCRequestTooLarge, "measured before it is proposed"},
		{rpctypes.ErrGRPCRequestTooManyRequests, "the node is behind; looked at before the proposal"},
		{rpctypes.ErrGRPCLeaseNotFound, "a write of a lease that is gone does not happen"},
		{rpctypes.ErrGRPCNotLeader, "of orders: another one leads"},
		{rpctypes.ErrGRPCBadLeaderTransferee, "of orders: that one cannot lead"},
		{status.Error(codes.Unimplemented, ""), "no such call in this version"},
		{
			status.Error(codes.Unknown, "mutex: session is expired"),
			"of a lock: its key went with its lease, so nobody holds it by that",
		},
	}
}

// refusal is an answer that proves that there was no effect.
type refusal struct {
	answer error // by its gRPC status
	why    string
}

// is reports whether the answer was this one. An empty message stands for any.
func (r refusal) is(got *status.Status) bool {
	want := status.Convert(r.answer)
	return want.Code() == got.Code() && (want.Message() == "" || want.Message() == got.Message())
}

// outcome makes an error of a call a definite one where the answer proves it.
func outcome(err error) error {
	if err == nil || history.IsDefinite(err) {
		return err
	}
	for _, r := range refusals() {
		if r.is(statusOf(err)) {
			return history.Definite(err)
		}
	}
	return err
}

// statusOf is the gRPC status of an error, that of clientv3 included, which has taken it out.
func statusOf(err error) *status.Status {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return status.New(known.Code(), known.Error())
	}
	// status.FromError would put the words of whoever wrapped the error into the message.
	var from interface{ GRPCStatus() *status.Status }
	if errors.As(err, &from) {
		return from.GRPCStatus()
	}
	return status.New(codes.Unknown, err.Error())
}
