package primary

import (
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// acks tells whose logs a command must be in before it is acknowledged.
type acks uint8

const (
	ackMajority acks = iota
	ackAll           // all members of the view
	ackSelf          // the primary's own
)

// mode is a variant of the protocol.
type mode struct {
	name string
	acks acks
	// copyReads lets every node answer reads from its own copy.
	copyReads bool
}

// New returns a member in the mode "primary", which goes on from what it had made
// durable: strictly serializable.
func New(cfg protocol.Config) (*Machine, error) {
	return newMachine(cfg, mode{name: "primary"})
}

// NewAll is New with the mode "primary-all".
func NewAll(cfg protocol.Config) (*Machine, error) {
	return newMachine(cfg, mode{name: "primary-all", acks: ackAll})
}

// NewAsync is New with the mode "primary-async": acknowledged commands may be lost
// when the primary changes.
func NewAsync(cfg protocol.Config) (*Machine, error) {
	return newMachine(cfg, mode{name: "primary-async", acks: ackSelf})
}

// NewCopyReads is New with the mode "primary-copy-reads": reads are sequentially
// consistent for who stays at one node, and for who passes tokens on.
func NewCopyReads(cfg protocol.Config) (*Machine, error) {
	return newMachine(cfg, mode{name: "primary-copy-reads", copyReads: true})
}

// hasty reports whether commands are acknowledged and applied when the primary has
// logged them, before anybody else has.
func (m *Machine) hasty() bool {
	// Planted: copies are sent to in the background.
	return m.mode.acks == ackSelf || m.bugs.Has(bug.PBAckBeforeCopy)
}
