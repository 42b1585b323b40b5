package bug

// Bugs of append-only data.
const (
	LogIDReuseAfterRestart   ID = "log-id-reuse-after-restart"
	LogCountMeansPrefix      ID = "log-count-means-prefix"
	LogNewestCopyReplaces    ID = "log-newest-copy-replaces"
	LogPositionAsIdentity    ID = "log-position-as-identity"
	LogSessionTokenIgnored   ID = "log-session-token-ignored"
	LogCompactionDropsAppend ID = "log-compaction-drops-append"
)

func appendLog() []Info {
	only := []string{"appendlog"}
	return []Info{
		{
			ID: LogIDReuseAfterRestart, Protocols: only, Class: Easy,
			Correct: "an element's identity is node, boot epoch and number",
			Wrong:   "node and number, from 1 after a restart: what is new counts as known",
		},
		{
			ID: LogCountMeansPrefix, Protocols: only, Class: Medium,
			Correct: "nodes tell each other the exact ranges of elements that they hold",
			Wrong:   "n elements are taken for the first n: a gap is never filled",
		},
		{
			ID: LogNewestCopyReplaces, Protocols: only, Class: Easy, Smoke: true,
			Correct: "two copies are merged to their union",
			Wrong:   "the longer copy replaces the other",
		},
		{
			ID: LogPositionAsIdentity, Protocols: only, Class: Easy,
			Correct: "elements have identities; positions are a matter of showing them",
			Wrong:   "the position is the identity: of two elements at one, the later wins",
		},
		{
			ID: LogSessionTokenIgnored, Protocols: only, Class: Easy, Smoke: true,
			Correct: "a read waits until the node holds all that the session has seen",
			Wrong:   "it is answered at once from what is there",
		},
		{
			ID: LogCompactionDropsAppend, Protocols: only, Class: Hard,
			Correct: "what is appended while the log is rewritten is part of the new log",
			Wrong:   "it went to the old one and is lost with it",
		},
	}
}
