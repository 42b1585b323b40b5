package bug

// Bugs of locks with fencing tokens.
const (
	LockTokenReset           ID = "lock-token-reset"
	LockResourceIgnoresToken ID = "lock-resource-ignores-token"
	LockGrantToExpired       ID = "lock-grant-to-expired-waiter"
	LockDeposedLeaderRevokes ID = "lock-deposed-leader-revokes"
	LockLateRelease          ID = "lock-late-release-frees-next-tenure"
)

func locks() []Info {
	only := []string{"lock"}
	return []Info{
		{
			ID: LockTokenReset, Protocols: only, Class: Easy, Smoke: true,
			Correct: "the fencing token is the log slot of the acquire",
			Wrong:   "it is a counter in the leader's memory, which the next leader starts anew",
		},
		{
			ID: LockResourceIgnoresToken, Protocols: only, Class: Easy, Smoke: true,
			Correct: "the guarded resource refuses tokens below the greatest it has seen",
			Wrong:   "it does not compare them",
		},
		{
			ID: LockGrantToExpired, Protocols: only, Class: Medium,
			Correct: "a waiter is granted the lock only if its own time has not run out",
			Wrong:   "nobody looks: the lock goes to one that is taken for dead, and on to the next",
		},
		{
			ID: LockDeposedLeaderRevokes, Protocols: only, Class: Hard,
			Correct: "only a leader that is confirmed revokes, and a renewal since then counts",
			Wrong:   "one that led before revokes by its own clock, and renewals are not looked at",
		},
		{
			ID: LockLateRelease, Protocols: only, Class: Hard,
			Correct: "a release names the token of its tenure",
			Wrong:   "it names the client: a late copy ends that client's next tenure",
		},
	}
}
