package bug

// Bugs of two-phase commit.
const (
	TwoPCVoteBeforeLog       ID = "2pc-vote-before-log"
	TwoPCDecideBeforeLog     ID = "2pc-decide-before-log"
	TwoPCTimeoutAbort        ID = "2pc-timeout-abort-after-yes"
	TwoPCLocksLost           ID = "2pc-locks-lost-on-restart"
	TwoPCPresumeAbort        ID = "2pc-presume-abort-while-voting"
	TwoPCForgetAfterFirstAck ID = "2pc-forget-after-first-ack"
	TwoPCCommitNotIdempotent ID = "2pc-commit-not-idempotent"
	TwoPCReadThroughPrepared ID = "2pc-read-through-prepared"
	TwoPCUnlockAtPrepare     ID = "2pc-unlock-at-prepare"
	TwoPCTwoCoordinators     ID = "2pc-two-coordinators"
	TwoPCNeverResolves       ID = "2pc-never-resolves"
	TwoPCOrphanPrepare       ID = "2pc-orphan-prepare"
	TwoPCLateOp              ID = "2pc-late-op-joins-next-txn"
)

func twoPhaseCommit() []Info {
	only := []string{"2pc"}
	return []Info{
		{
			ID: TwoPCVoteBeforeLog, Protocols: only, Class: Medium,
			Correct: "a shard makes writes and locks durable before it votes yes",
			Wrong:   "it votes first: after a restart it does not know the transaction",
		},
		{
			ID: TwoPCDecideBeforeLog, Protocols: only, Class: Medium,
			Correct: "the decision is chosen by the group before any participant hears it",
			Wrong:   "the participants hear it first: after a crash the rest aborts",
		},
		{
			ID: TwoPCTimeoutAbort, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a shard that has voted yes waits for the decision, however long",
			Wrong:   "it aborts after a timeout",
		},
		{
			ID: TwoPCLocksLost, Protocols: only, Class: Hard,
			Correct: "a restarted shard has the locks of prepared transactions before it serves",
			Wrong:   "prepared writes are restored, their locks are not",
		},
		{
			ID: TwoPCPresumeAbort, Protocols: only, Class: Hard,
			Correct: "while votes come in, the answer to a shard in doubt is to wait",
			Wrong:   "it is \"aborted\", not logged; then the last vote comes and it commits",
		},
		{
			ID: TwoPCForgetAfterFirstAck, Protocols: only, Class: Medium,
			Correct: "a decision is kept until all participants have acknowledged it",
			Wrong:   "it is dropped after the first one; who asks later is told \"aborted\"",
		},
		{
			ID: TwoPCCommitNotIdempotent, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a repeated commit of a finished transaction is acknowledged, no more",
			Wrong:   "its writes are applied again",
		},
		{
			ID: TwoPCReadThroughPrepared, Protocols: only, Class: Easy,
			Correct: "a reader that meets a prepared key waits",
			Wrong:   "it reads the value before: old at one shard, new at another",
		},
		{
			ID: TwoPCUnlockAtPrepare, Protocols: only, Class: Easy,
			Correct: "locks are held to the end of the transaction",
			Wrong:   "they are released with the yes vote",
		},
		{
			ID: TwoPCTwoCoordinators, Protocols: only, Class: Hard,
			Correct: "the first entry in the group's log decides, whoever proposed it",
			Wrong:   "a coordinator tells its own decision, though a successor has made another",
		},
		{
			ID: TwoPCNeverResolves, Protocols: only, Class: Easy, Smoke: true,
			Correct: "shards in doubt ask, and the group's leader drives decisions on",
			Wrong:   "nobody does: what a restarted coordinator has forgotten stays locked",
		},
		{
			ID: TwoPCOrphanPrepare, Protocols: only, Class: Medium,
			Correct: "the abort of an unknown transaction leaves a tombstone for its late prepare",
			Wrong:   "it is ignored: the late prepare locks its keys for ever",
		},
		{
			ID: TwoPCLateOp, Protocols: only, Class: Needle,
			Correct: "an operation names its transaction, and joins no other",
			Wrong:   "it names the session: one that comes late joins the session's next transaction",
		},
	}
}

// Bugs of three-phase commit.
const (
	ThreePCNoQuorum          ID = "3pc-termination-no-quorum"
	ThreePCLoneTimeout       ID = "3pc-lone-timeout-rules"
	ThreePCPrecommitInMemory ID = "3pc-precommit-in-memory"
	ThreePCLatePrecommit     ID = "3pc-late-precommit-from-dead-coordinator"
	ThreePCSkipsReprepare    ID = "3pc-backup-skips-reprepare"
)

func threePhaseCommit() []Info {
	only := []string{"3pc"}
	return []Info{
		{
			ID: ThreePCNoQuorum, Protocols: only, Class: Medium, Smoke: true,
			Correct: "a side of a partition decides only with a majority of the sites",
			Wrong:   "each side decides by what it sees: any precommitted, commit; else abort",
		},
		{
			ID: ThreePCLoneTimeout, Protocols: only, Class: Medium,
			Correct: "a site that hears nothing works out the outcome with the others",
			Wrong:   "it decides alone: waiting, abort; precommitted, commit",
		},
		{
			ID: ThreePCPrecommitInMemory, Protocols: only, Class: Hard,
			Correct: "a precommit is durable before it is acknowledged",
			Wrong:   "a site that restarts has forgotten it",
		},
		{
			ID: ThreePCLatePrecommit, Protocols: only, Class: Hard,
			Correct: "a site that has joined an election refuses what earlier ones ask",
			Wrong:   "a late precommit of the first coordinator moves it after it was asked",
		},
		{
			ID: ThreePCSkipsReprepare, Protocols: only, Class: Needle,
			Correct: "a backup that finds a precommit brings a majority there before it commits",
			Wrong:   "it commits at once",
		},
	}
}
