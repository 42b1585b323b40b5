package commit

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TxnID names a transaction, for ever.
type TxnID struct {
	_ struct{} `cbor:",toarray"`
	// Home is the node where it began, Epoch that node's boot epoch.
	Home  protocol.NodeID
	Epoch protocol.Epoch
	// N rises within an epoch. It is above every N that the home had seen before,
	// so that it tells the age, roughly.
	N uint64
}

// compare orders transactions, the oldest first.
func (t TxnID) compare(u TxnID) int {
	return cmp.Or(cmp.Compare(t.N, u.N), cmp.Compare(t.Home, u.Home),
		cmp.Compare(t.Epoch, u.Epoch))
}

// String returns "n1/3/17": home, epoch and number.
func (t TxnID) String() string { return fmt.Sprintf("%s/%d/%d", t.Home, t.Epoch, t.N) }

// life is one start of a node.
type life struct {
	_     struct{} `cbor:",toarray"`
	Home  protocol.NodeID
	Epoch protocol.Epoch
}

func (t TxnID) life() life { return life{Home: t.Home, Epoch: t.Epoch} }

// parseTxnID reads what String wrote.
func parseTxnID(s string) (TxnID, error) {
	rest, number, _ := cutLast(s)
	home, epoch, found := cutLast(rest)
	e, err := strconv.ParseUint(epoch, 10, 64)
	if err != nil || !found || home == "" {
		return TxnID{}, fmt.Errorf("transaction %q: want home/epoch/number", s)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return TxnID{}, fmt.Errorf("transaction %q: %w", s, err)
	}
	return TxnID{Home: protocol.NodeID(home), Epoch: protocol.Epoch(e), N: n}, nil
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// handleBits is how many bits of a client's handle are the number.
const handleBits = 32

// handle is the integer by which a client knows a transaction of this node: no
// two lives of the node give out the same.
func handle(t TxnID) uint64 { return uint64(t.Epoch)<<handleBits | t.N }
