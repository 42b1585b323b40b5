package paxos

import (
	"cmp"
	"fmt"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Ballot numbers an attempt to lead. Ballots are totally ordered and no two
// proposers, nor two lives of one, ever share one: the node and its boot epoch
// are part of it. The zero Ballot is below all others and means none.
type Ballot struct {
	_     struct{} `cbor:",toarray"`
	Round uint64
	Node  protocol.NodeID
	Epoch protocol.Epoch
}

// Compare orders ballots by round, then node, then epoch.
func (b Ballot) Compare(o Ballot) int {
	return cmp.Or(
		cmp.Compare(b.Round, o.Round),
		cmp.Compare(b.Node, o.Node),
		cmp.Compare(b.Epoch, o.Epoch),
	)
}

// Less reports whether b is below o.
func (b Ballot) Less(o Ballot) bool { return b.Compare(o) < 0 }

// String returns "round.node.epoch", or "-" for none.
func (b Ballot) String() string {
	if b.Round == 0 {
		return "-"
	}
	return fmt.Sprintf("%d.%s.%d", b.Round, b.Node, b.Epoch)
}
