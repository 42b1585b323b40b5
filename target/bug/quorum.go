package bug

// Bugs of the quorum protocol.
const (
	ABDNoWriteBack  ID = "abd-no-write-back"
	ABDSloppyQuorum ID = "abd-sloppy-quorum"
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
	}
}
