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

// The planted bugs.
const (
	NoDedup       ID = "cli-no-dedup"
	TimeoutAsFail ID = "cli-timeout-as-fail"
	ErrorAsOK     ID = "cli-error-as-ok"
	NoFsync       ID = "stor-no-fsync"

	ABDNoWriteBack  ID = "abd-no-write-back"
	ABDSloppyQuorum ID = "abd-sloppy-quorum"

	MPReadLocalLeader ID = "mp-read-local-leader"
	MPApplyOverHole   ID = "mp-apply-over-hole"
	MPCASAtPropose    ID = "mp-cas-at-propose"
	MPNoCheckQuorum   ID = "mp-no-check-quorum"
)

// Info describes a planted bug.
type Info struct {
	ID ID `json:"id"`
	// Protocols are those that the bug can be planted in.
	Protocols []string `json:"protocols"`
	// Correct is what the protocol does, Wrong what it does with the bug.
	Correct string `json:"correct"`
	Wrong   string `json:"wrong"`
}

// All lists the planted bugs, in the order of the documentation.
func All() []Info {
	both := []string{"quorum", "paxos"}
	return []Info{
		{
			ID: NoDedup, Protocols: []string{"paxos"},
			Correct: "a repeated command is answered from the session table without being applied",
			Wrong:   "the session table is written but never consulted: a repeat is applied again",
		},
		{
			ID: TimeoutAsFail, Protocols: both,
			Correct: "a command that was handed to replication and timed out is answered unknown",
			Wrong:   "it is answered with a definite failure, though it may still take effect",
		},
		{
			ID: ErrorAsOK, Protocols: both,
			Correct: "a replication error reaches the client",
			Wrong:   "the error is dropped and the client is told ok",
		},
		{
			ID: NoFsync, Protocols: both,
			Correct: "a record is synced before the message or reply that reveals it leaves",
			Wrong:   "it is written but never synced: a power cut forgets it",
		},
		{
			ID: ABDNoWriteBack, Protocols: []string{"quorum"},
			Correct: "a read stores what it returns at a majority before it returns",
			Wrong:   "it returns after asking: a later read may see an older value",
		},
		{
			ID: ABDSloppyQuorum, Protocols: []string{"quorum"},
			Correct: "a quorum is a majority of the configured members",
			Wrong:   "a quorum is a majority of the members believed alive",
		},
		{
			ID: MPReadLocalLeader, Protocols: []string{"paxos"},
			Correct: "a read confirms the leader with a majority first (read-index)",
			Wrong:   "whoever believes to lead answers from its own state",
		},
		{
			ID: MPApplyOverHole, Protocols: []string{"paxos"},
			Correct: "a slot is applied when every slot before it has been applied",
			Wrong:   "whatever is chosen is applied at once, also over a hole",
		},
		{
			ID: MPCASAtPropose, Protocols: []string{"paxos"},
			Correct: "compare-and-set is evaluated when it is applied",
			Wrong:   "the leader evaluates it when proposing and logs a plain write",
		},
		{
			ID: MPNoCheckQuorum, Protocols: []string{"paxos"},
			Correct: "a leader that has not heard a majority for an election timeout steps down",
			Wrong:   "it leads on: under one-way loss it stops elections and commits nothing",
		},
	}
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
