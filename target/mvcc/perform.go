package mvcc

import (
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// The codes that only transactions have; the others are those of package kv.
const (
	codeConflict = "conflict"
	codeNoTxn    = "no-such-txn"
	codeAborted  = "aborted"
)

// perform carries out one operation, which versions.Check has let through, inside
// a transaction. One that fails changes nothing, and the transaction stays open.
func (d *database) perform(t *txn, r protocol.Request) kv.Result {
	res, us := d.read(t, r.Key).Perform(r)
	d.write(t, r.Key, us)
	return res
}

// step carries out one step of a transaction that came in one request.
func (d *database) stepOf(t *txn, s *kv.Step) kv.Result {
	res, us := d.read(t, s.Key).Step(s)
	d.write(t, s.Key, us)
	return res
}

// maxData bounds key and value, so that a request fits one datagram.
const maxData = versions.MaxData
