package bug

// Bugs of the Multi-Paxos log.
const (
	MPReadLocalLeader ID = "mp-read-local-leader"
	MPApplyOverHole   ID = "mp-apply-over-hole"
	MPCASAtPropose    ID = "mp-cas-at-propose"
	MPNoCheckQuorum   ID = "mp-no-check-quorum"

	MPReadIndexBeforeNoop   ID = "mp-read-index-before-noop"
	MPReadIndexDupCtx       ID = "mp-read-index-dup-ctx"
	MPHoleNeverFilled       ID = "mp-hole-never-filled"
	MPRecoverLongestLog     ID = "mp-recover-longest-log"
	MPCommitMixedBallots    ID = "mp-commit-mixed-ballots"
	MPPromisePerSlotOnly    ID = "mp-promise-per-slot-only"
	MPReplyBySlot           ID = "mp-reply-by-slot"
	MPAppliedIndexNotAtomic ID = "mp-applied-index-not-atomic"
	MPRestampBeforeValues   ID = "mp-restamp-before-values"
	MPReconfigTwoAtOnce     ID = "mp-reconfig-two-at-once"
	MPReconfigNoNoopGuard   ID = "mp-reconfig-no-noop-guard"
)

func multiPaxos() []Info {
	only := []string{"paxos"}
	return []Info{
		{
			ID: MPReadLocalLeader, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a read confirms the leader with a majority first (read-index)",
			Wrong:   "whoever believes to lead answers from its own state",
		},
		{
			ID: MPApplyOverHole, Protocols: only, Class: Medium, Smoke: true,
			Correct: "a slot is applied when every slot before it has been applied",
			Wrong:   "whatever is chosen is applied at once, also over a hole",
		},
		{
			ID: MPCASAtPropose, Protocols: only, Class: Easy, Smoke: true,
			Correct: "compare-and-set is evaluated when it is applied",
			Wrong:   "the leader evaluates it when proposing and logs a plain write",
		},
		{
			ID: MPNoCheckQuorum, Protocols: only, Class: Medium, Smoke: true,
			Correct: "a leader that has not heard a majority for an election timeout steps down",
			Wrong:   "it leads on: under one-way loss it stops elections and commits nothing",
		},
	}
}

// multiPaxosElections are those that take a change of the leader, or of the members.
func multiPaxosElections() []Info {
	only := []string{"paxos"}
	return []Info{
		{
			ID: MPReadIndexBeforeNoop, Protocols: only, Class: Medium,
			Correct: "a new leader gives read indexes after a no-op of its own ballot is chosen",
			Wrong:   "it gives its commit index at once, which may trail what was acknowledged",
		},
		{
			ID: MPReadIndexDupCtx, Protocols: only, Class: Needle,
			Correct: "a read is confirmed by heartbeats with a nonce of the leader's, never used twice",
			Wrong:   "by the asker's own number: late answers to its first question confirm the repeat",
		},
		{
			ID: MPHoleNeverFilled, Protocols: only, Class: Medium,
			Correct: "a new leader proposes no-ops in the slots for which nobody has voted",
			Wrong:   "it leaves them: nothing above is ever applied",
		},
		{
			ID: MPRecoverLongestLog, Protocols: only, Class: Medium,
			Correct: "a new leader takes the vote of the greatest ballot, slot by slot",
			Wrong:   "it takes the longest log as a whole",
		},
		{
			ID: MPCommitMixedBallots, Protocols: only, Class: Needle,
			Correct: "a new leader proposes inherited commands in its own ballot and counts its votes",
			Wrong:   "it spreads them under their old ballots, and counts whoever has them",
		},
		{
			ID: MPPromisePerSlotOnly, Protocols: only, Class: Medium,
			Correct: "a promise covers all slots, also those that nobody has touched",
			Wrong:   "it covers those that exist: a deposed leader gets votes in new ones",
		},
		{
			ID: MPReplyBySlot, Protocols: only, Class: Medium,
			Correct: "a client is told ok when its own command has been applied",
			Wrong:   "when anything has been applied in the slot in which it was proposed",
		},
		{
			ID: MPAppliedIndexNotAtomic, Protocols: only, Class: Hard,
			Correct: "a checkpoint holds the data and the applied index as of one slot",
			Wrong:   "the data are flushed by a timer: after a crash, commands in between are missing",
		},
		{
			ID: MPRestampBeforeValues, Protocols: only, Class: Needle,
			Correct: "votes and their ballot become durable together",
			Wrong:   "the ballot comes first: a crash leaves old commands with the new ballot",
		},
		{
			ID: MPReconfigTwoAtOnce, Protocols: only, Class: Hard,
			Correct: "membership changes by one node, and the change before is chosen",
			Wrong:   "the next change does not wait: majorities before and after need not meet",
		},
		{
			ID: MPReconfigNoNoopGuard, Protocols: only, Class: Needle,
			Correct: "a leader changes membership after an entry of its own ballot is chosen",
			Wrong:   "at once, by the latest configuration alone: two leaders each make their own",
		},
	}
}
