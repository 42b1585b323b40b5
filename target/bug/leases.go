package bug

// Bugs of the lease under which a leader answers reads.
const (
	LeaseFromReplyTime     ID = "lease-from-reply-time"
	LeaseResendExtends     ID = "lease-resend-extends"
	LeaseLastMessageWins   ID = "lease-last-message-wins"
	LeaseAssumeOnSend      ID = "lease-assume-on-send"
	LeaseForgetOnRestart   ID = "lease-forget-on-restart"
	LeaseNoDriftMargin     ID = "lease-no-drift-margin"
	LeaseWallClock         ID = "lease-wall-clock"
	LeaseWriteNoEpoch      ID = "lease-write-no-epoch"
	LeaseKeptAfterTransfer ID = "lease-kept-after-transfer"
)

func leases() []Info {
	only := []string{"lease-read"}
	return []Info{
		{
			ID: LeaseFromReplyTime, Protocols: only, Class: Medium,
			Correct: "the holder counts the lease from when it sent its request",
			Wrong:   "it counts from when the grant arrived, and outlives the promise by the delay",
		},
		{
			ID: LeaseResendExtends, Protocols: only, Class: Medium, Smoke: true,
			Correct: "a copy of a grant gives the same end as the first",
			Wrong:   "every copy of a grant that arrives sets the end to now plus the length",
		},
		{
			ID: LeaseLastMessageWins, Protocols: only, Class: Hard, Smoke: true,
			Correct: "a grantor keeps the greatest end that it has promised",
			Wrong:   "the end is that of the last message: an older renewal takes promises back",
		},
		{
			ID: LeaseAssumeOnSend, Protocols: only, Class: Medium, Smoke: true,
			Correct: "a request that no majority has answered gives no lease",
			Wrong:   "the holder extends its lease when it sends the request",
		},
		{
			ID: LeaseForgetOnRestart, Protocols: only, Class: Hard, Smoke: true,
			Correct: "a grantor that was restarted helps nobody to lead for one interval",
			Wrong:   "its promises were in memory: it votes at once",
		},
		{
			ID: LeaseNoDriftMargin, Protocols: only, Class: Needle,
			Correct: "the holder relies on L(1-ρ)/(1+ρ) of a promise of L",
			Wrong:   "it relies on all of it: a slow holder outlives the promise of fast grantors",
		},
		{
			ID: LeaseWallClock, Protocols: only, Class: Easy, Smoke: true,
			Correct: "leases go by a monotonic clock",
			Wrong:   "they go by the time of day: setting it back makes a holder immortal",
		},
		{
			ID: LeaseWriteNoEpoch, Protocols: only, Class: Medium,
			Correct: "a lease licenses reads; writes carry the ballot and older ones are refused",
			Wrong:   "members accept writes of whoever has held the lease, in any ballot",
		},
		{
			ID: LeaseKeptAfterTransfer, Protocols: only, Class: Medium,
			Correct: "a leader gives its lease up before it asks another to take over",
			Wrong:   "it answers reads until the lease ends, while the other already commits",
		},
	}
}
