// Package bug lists the bugs that can be planted in the reference cluster, one
// at a time, to see whether the harness finds them. With none switched on every
// protocol is correct.
package bug

import (
	"fmt"
	"slices"
	"strings"
)

// ID names a planted bug.
type ID string

// Class says how hard a bug is to find from outside.
type Class string

// The classes.
const (
	Easy   Class = "easy"   // by any harness, within a minute
	Medium Class = "medium" // needs the right fault or overlap; minutes
	Hard   Class = "hard"   // needs an aimed combination; tens of minutes
	Needle Class = "needle" // a specific rare combination; tells good schedulers from poor ones
)

// Info describes a planted bug.
type Info struct {
	ID ID `json:"id"`
	// Protocols are those that the bug can be planted in.
	Protocols []string `json:"protocols"`
	Class     Class    `json:"class"`
	// Smoke bugs are found by every run of the harness's own evaluation.
	Smoke bool `json:"smoke"`
	// Correct is what the protocol does, Wrong what it does with the bug.
	Correct string `json:"correct"`
	Wrong   string `json:"wrong"`
}

// All lists the planted bugs, in the order of the documentation.
func All() []Info {
	return slices.Concat(common(), primaryCopies(), quorum(), leases(), caches(), locks(), decide(),
		multiPaxos(), multiPaxosElections(), twoPhaseCommit(), threePhaseCommit(),
		mvcc(), dmvcc(), appendLog())
}

// Set is the planted bugs of one node.
type Set map[ID]bool

// Has reports whether the bug is switched on.
func (s Set) Has(id ID) bool { return s[id] }

// Parse returns the set with the one bug named, or none for "". It fails when
// the bug is unknown or cannot be planted in the protocol.
func Parse(name, protocol string) (Set, error) {
	if name == "" {
		return Set{}, nil
	}
	var fit []string
	for _, info := range All() {
		if string(info.ID) == name {
			if !slices.Contains(info.Protocols, protocol) {
				return nil, fmt.Errorf("bug %s: belongs to %s, not to protocol %s",
					name, strings.Join(info.Protocols, " and "), protocol)
			}
			return Set{info.ID: true}, nil
		}
		if slices.Contains(info.Protocols, protocol) {
			fit = append(fit, string(info.ID))
		}
	}
	return nil, fmt.Errorf("bug %q: unknown; protocol %s has %s",
		name, protocol, strings.Join(fit, ", "))
}
