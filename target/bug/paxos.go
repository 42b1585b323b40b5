package bug

// Bugs of the Multi-Paxos log.
const (
	MPReadLocalLeader ID = "mp-read-local-leader"
	MPApplyOverHole   ID = "mp-apply-over-hole"
	MPCASAtPropose    ID = "mp-cas-at-propose"
	MPNoCheckQuorum   ID = "mp-no-check-quorum"
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
