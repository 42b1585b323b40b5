package decide

import (
	"cmp"
	"fmt"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Ballot numbers an attempt to have a value chosen. The zero Ballot is below all
// others and means none.
type Ballot struct {
	_     struct{} `cbor:",toarray"`
	Round uint64
	Node  protocol.NodeID
	// Epoch tells the lives of a proposer apart: rounds are counted in memory.
	Epoch protocol.Epoch
}

// Less orders ballots by round, then node, then epoch.
func (b Ballot) Less(o Ballot) bool {
	return cmp.Or(
		cmp.Compare(b.Round, o.Round),
		cmp.Compare(b.Node, o.Node),
		cmp.Compare(b.Epoch, o.Epoch),
	) < 0
}

// String returns "round.node.epoch", or "-" for none.
func (b Ballot) String() string {
	if b == (Ballot{}) {
		return "-"
	}
	return fmt.Sprintf("%d.%s.%d", b.Round, b.Node, b.Epoch)
}

// Vote is a value with the ballot in which it was voted for. The zero Vote is
// none.
type Vote struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
	Value  string // compact JSON
}

// String returns "value@ballot", or "-" for none.
func (v Vote) String() string {
	if v == (Vote{}) {
		return "-"
	}
	return v.Value + "@" + v.Ballot.String()
}
