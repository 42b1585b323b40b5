package bug

// Bugs of sessions, requests and storage, which several protocols can have.
const (
	NoDedup       ID = "cli-no-dedup"
	TimeoutAsFail ID = "cli-timeout-as-fail"
	ErrorAsOK     ID = "cli-error-as-ok"
	NoFsync       ID = "stor-no-fsync"
)

func common() []Info {
	both := []string{"quorum", "paxos"}
	return []Info{
		{
			ID: NoDedup, Protocols: []string{"paxos"}, Class: Easy, Smoke: true,
			Correct: "a repeated command is answered from the session table without being applied",
			Wrong:   "the session table is written but never consulted: a repeat is applied again",
		},
		{
			ID: TimeoutAsFail, Protocols: both, Class: Easy, Smoke: true,
			Correct: "a command that was handed to replication and timed out is answered unknown",
			Wrong:   "it is answered with a definite failure, though it may still take effect",
		},
		{
			ID: ErrorAsOK, Protocols: both, Class: Easy, Smoke: true,
			Correct: "a replication error reaches the client",
			Wrong:   "the error is dropped and the client is told ok",
		},
		{
			ID: NoFsync, Protocols: both, Class: Medium, Smoke: true,
			Correct: "a record is synced before the message or reply that reveals it leaves",
			Wrong:   "it is written but never synced: a power cut forgets it",
		},
	}
}
