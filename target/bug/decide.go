package bug

// Bugs of single-decree Paxos.
const (
	PXAdoptOwnValue           ID = "px-adopt-own-value"
	PXAdoptAnyNotHighest      ID = "px-adopt-any-not-highest"
	PXAcceptBelowPromise      ID = "px-accept-below-promise"
	PXAcceptKeepsOldPromise   ID = "px-accept-keeps-old-promise"
	PXSingleBallotVar         ID = "px-single-ballot-var"
	PXPromiseInMemory         ID = "px-promise-in-memory"
	PXAcceptedInMemory        ID = "px-accepted-in-memory"
	PXBallotReuseAfterRestart ID = "px-ballot-reuse-after-restart"
	PXSkipPhase1OnRetry       ID = "px-skip-phase1-on-retry"
	PXLatePromiseCounted      ID = "px-late-promise-counted"
	PXDupReplyCounted         ID = "px-dup-reply-counted"
	PXLearnMixedBallots       ID = "px-learn-mixed-ballots"
	PXAcceptsOnlyFirst        ID = "px-accepts-only-first"
)

func decide() []Info {
	infos := decideBugs()
	for i := range infos {
		infos[i].Protocols = []string{"decide"}
	}
	return infos
}

func decideBugs() []Info {
	return []Info{
		{
			ID: PXAdoptOwnValue, Class: Easy, Smoke: true,
			Correct: "phase 2 asks votes for the value of the greatest vote reported in phase 1",
			Wrong:   "a proposer always asks votes for its own value",
		},
		{
			ID: PXAdoptAnyNotHighest, Class: Hard,
			Correct: "of the votes reported, the one with the greatest ballot is adopted",
			Wrong:   "the first one reported is adopted",
		},
		{
			ID: PXAcceptBelowPromise, Class: Medium, Smoke: true,
			Correct: "an acceptor votes only in ballots not below its promise",
			Wrong:   "it compares with its last vote: promises do not bind",
		},
		{
			ID: PXAcceptKeepsOldPromise, Class: Hard,
			Correct: "a vote in ballot n is also a promise of n",
			Wrong:   "a vote leaves the promise as it was; a late lower ballot overwrites it",
		},
		{
			ID: PXSingleBallotVar, Class: Needle,
			Correct: "the promise and the ballot of the last vote are two variables",
			Wrong:   "one variable: a promise makes the old vote look as if cast in the new ballot",
		},
		{
			ID: PXPromiseInMemory, Class: Hard,
			Correct: "a promise is durable before it is given",
			Wrong:   "only votes are: a restarted acceptor votes below its promise",
		},
		{
			ID: PXAcceptedInMemory, Class: Easy, Smoke: true,
			Correct: "a vote is durable before it is reported",
			Wrong:   "it is kept in memory: a restart forgets it",
		},
		{
			ID: PXBallotReuseAfterRestart, Class: Hard, Smoke: true,
			Correct: "a proposer never uses a ballot twice: its boot epoch is part of it",
			Wrong:   "rounds begin at 1 after a restart: the same ballot comes with another value",
		},
		{
			ID: PXSkipPhase1OnRetry, Class: Easy, Smoke: true,
			Correct: "after a refusal a proposer begins again with phase 1",
			Wrong:   "it takes a greater ballot and asks votes for its own value at once",
		},
		{
			ID: PXLatePromiseCounted, Class: Medium,
			Correct: "a promise counts for the ballot that it names",
			Wrong:   "a late promise of an earlier ballot counts for the present one",
		},
		{
			ID: PXDupReplyCounted, Class: Medium,
			Correct: "promises and votes are sets of acceptors",
			Wrong:   "they are counters: a doubled datagram counts twice",
		},
		{
			ID: PXLearnMixedBallots, Class: Hard,
			Correct: "chosen is what a majority voted for in one ballot",
			Wrong:   "chosen is what a majority voted for, in any ballots",
		},
		{
			ID: PXAcceptsOnlyFirst, Class: Easy, Smoke: true,
			Correct: "an acceptor votes again in greater ballots",
			Wrong:   "its first vote is its last: split votes are never decided",
		},
	}
}
