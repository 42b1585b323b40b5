package bug

// Bugs of the central database with copies.
const (
	PBAckBeforeCopy             ID = "pb-ack-before-copy"
	PBOldPrimaryServesReads     ID = "pb-old-primary-serves-reads"
	PBOldPrimaryWritesAccepted  ID = "pb-old-primary-writes-accepted"
	PBPingFailover              ID = "pb-ping-failover"
	PBCopyAppliesInArrivalOrder ID = "pb-copy-applies-in-arrival-order"
	PBCountSyncingCopy          ID = "pb-count-syncing-copy"
	PBFirstUpLeads              ID = "pb-first-up-leads"
	PBTruncateToCommitMark      ID = "pb-truncate-to-commit-mark"
)

func primaryCopies() []Info {
	only := []string{"primary"}
	return []Info{
		{
			ID: PBAckBeforeCopy, Protocols: only, Class: Easy, Smoke: true,
			Correct: "the primary acknowledges what a majority has logged",
			Wrong:   "it acknowledges what it has logged itself; the copies follow later",
		},
		{
			ID: PBOldPrimaryServesReads, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a primary confirms its view with a majority before it answers a read",
			Wrong:   "it answers until a message says that it is primary no longer",
		},
		{
			ID: PBOldPrimaryWritesAccepted, Protocols: only, Class: Medium,
			Correct: "a copy refuses entries of a view below its own",
			Wrong:   "it takes entries from whoever calls itself primary",
		},
		{
			ID: PBPingFailover, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a new view needs a majority of the configured members",
			Wrong:   "a copy that does not hear the primary makes itself primary",
		},
		{
			ID: PBCopyAppliesInArrivalOrder, Protocols: only, Class: Medium,
			Correct: "a copy logs an entry behind the one before it",
			Wrong:   "it logs entries in the order in which they arrive",
		},
		{
			ID: PBCountSyncingCopy, Protocols: only, Class: Hard,
			Correct: "a copy that is catching up counts when it has everything",
			Wrong:   "it counts at once; its log has a hole below its newest entry",
		},
		{
			ID: PBFirstUpLeads, Protocols: only, Class: Medium,
			Correct: "after an outage nobody leads before a majority has compared logs",
			Wrong:   "the first node that is up leads with what it has",
		},
		{
			ID: PBTruncateToCommitMark, Protocols: only, Class: Hard,
			Correct: "a restarted copy keeps its whole log",
			Wrong:   "it drops what it does not know to be committed",
		},
	}
}
