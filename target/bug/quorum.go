package bug

// Bugs of the quorum protocol.
const (
	ABDNoWriteBack  ID = "abd-no-write-back"
	ABDSloppyQuorum ID = "abd-sloppy-quorum"
	ABDSkipsQuery   ID = "abd-write-skips-query"
	ABDWallClock    ID = "abd-wall-clock-tag"
	ABDCollision    ID = "abd-tag-collision-same-node"
	ABDTagReuse     ID = "abd-tag-reuse-after-crash"
	ABDEvenQuorum   ID = "abd-even-quorum"
	ABDDupAck       ID = "abd-dup-ack-counted"
	ABDWipedVotes   ID = "abd-wiped-replica-votes"
)

func quorum() []Info {
	only := []string{"quorum"}
	return []Info{
		{
			ID: ABDNoWriteBack, Protocols: only, Class: Medium, Smoke: true,
			Correct: "a read stores what it returns at a majority before it returns",
			Wrong:   "it returns after asking: a later read may see an older value",
		},
		{
			ID: ABDSloppyQuorum, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a quorum is a majority of the configured members",
			Wrong:   "a quorum is a majority of the members believed alive",
		},
		{
			ID: ABDSkipsQuery, Protocols: only, Class: Easy,
			Correct: "a writer asks a majority for the greatest tag and uses a greater one",
			Wrong:   "it counts its own writes: who has written less is ignored",
		},
		{
			ID: ABDWallClock, Protocols: only, Class: Easy,
			Correct: "a tag is greater than those of a majority, whatever the clocks say",
			Wrong:   "a tag is the time of day: the last clock wins, not the last write",
		},
		{
			ID: ABDCollision, Protocols: only, Class: Medium,
			Correct: "a tag names the operation: node, boot epoch and number",
			Wrong:   "it names the node only: two writes at once through one node share a tag",
		},
		{
			ID: ABDTagReuse, Protocols: only, Class: Needle,
			Correct: "a tag holds the boot epoch, so that none is used again after a crash",
			Wrong:   "the epoch is missing, and peers get a store before it is durable at home",
		},
		{
			ID: ABDEvenQuorum, Protocols: only, Class: Medium,
			Correct: "a quorum is more than half of the members",
			Wrong:   "half of an even number is enough: two quorums need not meet",
		},
		{
			ID: ABDDupAck, Protocols: only, Class: Medium,
			Correct: "acknowledgments are a set of members",
			Wrong:   "they are counted: one that arrives twice counts for two members",
		},
		{
			ID: ABDWipedVotes, Protocols: only, Class: Hard,
			Correct: "a replica with an empty disk counts once all others have sent what they hold",
			Wrong:   "it answers at once that nothing was ever stored",
		},
	}
}
