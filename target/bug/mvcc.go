package bug

// Bugs of the multi-version store on one machine.
const (
	MVCCNoConflictCheck      ID = "mvcc-no-conflict-check"
	MVCCConflictByValue      ID = "mvcc-conflict-by-value"
	MVCCSnapshotPerRead      ID = "mvcc-snapshot-per-read"
	MVCCCommitOrderInversion ID = "mvcc-commit-order-inversion"
	MVCCDirtyRead            ID = "mvcc-dirty-read"
	MVCCAbortLeavesVersion   ID = "mvcc-abort-leaves-version"
	MVCCWriteSkew            ID = "mvcc-write-skew"
	MVCCSSIMissesAbsentKeys  ID = "mvcc-ssi-misses-absent-keys"
	MVCCSSIExemptsReadonly   ID = "mvcc-ssi-exempts-readonly"
	MVCCGCLiveSnapshot       ID = "mvcc-gc-live-snapshot"
	MVCCCompactionLeaks      ID = "mvcc-compaction-leaks-future"
	MVCCMergeWrongBase       ID = "mvcc-merge-wrong-base"
	MVCCBlindAutoRetry       ID = "mvcc-blind-auto-retry"
	MVCCCrashHalfCommit      ID = "mvcc-crash-half-commit"
)

// mvccModes are the protocols of the multi-version store: the rule of commit,
// and, with -log, versions as a base and a log of updates instead of copies.
func mvccModes() []string {
	return []string{
		"mvcc-si", "mvcc-si-log", "mvcc-serializable", "mvcc-serializable-log",
		"mvcc-merge", "mvcc-merge-log",
	}
}

func mvcc() []Info { return append(mvccCommit(), mvccRest()...) }

// mvccCommit are the bugs of who may commit. Three are those of snapshot isolation
// alone: the search for rw-conflicts finds what they let through.
func mvccCommit() []Info {
	si, checked := mvccModes()[:2], mvccModes()[:4]
	serializable := []string{"mvcc-serializable", "mvcc-serializable-log"}
	return []Info{
		{
			ID: MVCCNoConflictCheck, Protocols: si, Class: Easy, Smoke: true,
			Correct: "a commit fails if a written key has a version newer than the snapshot",
			Wrong:   "nothing is checked: the last committer wins",
		},
		{
			ID: MVCCConflictByValue, Protocols: si, Class: Hard,
			Correct: "conflicts compare version numbers",
			Wrong:   "they compare values: a key that went from a to b and back passes",
		},
		{
			ID: MVCCSnapshotPerRead, Protocols: mvccModes(), Class: Easy, Smoke: true,
			Correct: "a transaction reads from one snapshot",
			Wrong:   "each read takes the newest committed version",
		},
		{
			ID: MVCCCommitOrderInversion, Protocols: checked, Class: Medium,
			Correct: "transactions become visible in the order of their numbers",
			Wrong:   "they are installed key by key, and a small one overtakes a large one",
		},
		{
			ID: MVCCDirtyRead, Protocols: mvccModes(), Class: Easy,
			Correct: "uncommitted writes are invisible to others",
			Wrong:   "a read sees what other open transactions have written",
		},
		{
			ID: MVCCAbortLeavesVersion, Protocols: checked, Class: Medium,
			Correct: "an abort removes every version that it has installed",
			Wrong:   "the clean-up returns at its first error and leaves the other keys",
		},
		{
			ID: MVCCWriteSkew, Protocols: serializable, Class: Easy, Smoke: true,
			Correct: "a transaction with conflicts in and out is aborted",
			Wrong:   "only written keys are checked: snapshot isolation under another name",
		},
		{
			ID: MVCCSSIMissesAbsentKeys, Protocols: serializable, Class: Medium,
			Correct: "reading an absent key is a read",
			Wrong:   "only existing versions enter the read set",
		},
		{
			ID: MVCCSSIExemptsReadonly, Protocols: serializable, Class: Hard,
			Correct: "read-only transactions take part in the search for conflicts",
			Wrong:   "they are exempt",
		},
	}
}

// mvccRest are the bugs of versions, of the merge, and of what is done afterwards.
func mvccRest() []Info {
	return []Info{
		{
			ID: MVCCGCLiveSnapshot, Class: Medium,
			Protocols: []string{"mvcc-si", "mvcc-serializable", "mvcc-merge"},
			Correct:   "versions are kept back to the oldest active snapshot",
			Wrong:     "they are kept for 5 s",
		},
		{
			ID: MVCCCompactionLeaks, Class: Medium,
			Protocols: []string{"mvcc-si-log", "mvcc-serializable-log", "mvcc-merge-log"},
			Correct:   "updates are folded into the base up to the oldest active snapshot",
			Wrong:     "all are folded: an older snapshot sees the future in the base",
		},
		{
			ID: MVCCMergeWrongBase, Protocols: []string{"mvcc-merge", "mvcc-merge-log"}, Class: Easy,
			Correct: "a branch is merged three-way against the common ancestor",
			Wrong:   "it is merged against the head: what others committed is reverted",
		},
		{
			ID: MVCCBlindAutoRetry, Protocols: mvccModes()[:2], Class: Easy,
			Correct: "a transaction with a conflict is aborted",
			Wrong:   "its writes are applied again to the newest versions, without its reads",
		},
		{
			ID: MVCCCrashHalfCommit, Protocols: mvccModes(), Class: Medium,
			Correct: "a transaction is one record",
			Wrong:   "it is one record for each key, and recovery replays a part of them",
		},
	}
}
