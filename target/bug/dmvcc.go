package bug

// Bugs of the distributed multi-version store.
const (
	DMVWatermarkSkipsGap        ID = "dmv-watermark-skips-gap"
	DMVPublishAfterFirstNode    ID = "dmv-publish-after-first-node"
	DMVQuorumPublishAnyNodeRead ID = "dmv-quorum-publish-any-node-read"
	DMVStaleMetadataRead        ID = "dmv-stale-metadata-read"
	DMVNumberFromClock          ID = "dmv-number-from-clock"
	DMVNumberNeverClosed        ID = "dmv-number-never-closed"
	DMVAbortThenLateOp          ID = "dmv-abort-then-late-op"
	DMVWatermarkOverwrite       ID = "dmv-watermark-overwrite"
	DMVAckBeforeWatermark       ID = "dmv-ack-before-watermark"
	DMVObservedMarkAfterMove    ID = "dmv-observed-watermark-after-move"
)

// dmvccModes are the protocols of the distributed multi-version store.
func dmvccModes() []string { return []string{"dmvcc-all", "dmvcc-quorum"} }

func dmvcc() []Info {
	all, quorum := dmvccModes()[:1], dmvccModes()[1:]
	return []Info{
		{
			ID: DMVWatermarkSkipsGap, Protocols: dmvccModes(), Class: Easy, Smoke: true,
			Correct: "readers use the greatest number with none open at or below it",
			Wrong:   "they use the greatest number recorded, with lower ones still open",
		},
		{
			ID: DMVPublishAfterFirstNode, Protocols: all, Class: Medium,
			Correct: "a number is recorded once all nodes have completed it",
			Wrong:   "it is recorded once the first has",
		},
		{
			ID: DMVQuorumPublishAnyNodeRead, Protocols: quorum, Class: Medium,
			Correct: "a node answers when it holds every operation up to the snapshot",
			Wrong:   "it answers with what it has",
		},
		{
			ID: DMVStaleMetadataRead, Protocols: dmvccModes(), Class: Medium, Smoke: true,
			Correct: "the watermark is read through the group's read-index",
			Wrong:   "it is the node's own, looked at once a second",
		},
		{
			ID: DMVNumberFromClock, Protocols: all, Class: Medium,
			Correct: "numbers come from the group",
			Wrong:   "they come from the coordinator's clock, also below the watermark",
		},
		{
			ID: DMVNumberNeverClosed, Protocols: dmvccModes(), Class: Easy,
			Correct: "a number whose coordinator is silent is closed by the others",
			Wrong:   "it stays open, and the watermark stands still",
		},
		{
			ID: DMVAbortThenLateOp, Protocols: dmvccModes(), Class: Hard,
			Correct: "a number is fenced at the nodes before it is aborted",
			Wrong:   "it is aborted in the metadata only: late operations land and are visible",
		},
		{
			ID: DMVWatermarkOverwrite, Protocols: dmvccModes(), Class: Medium,
			Correct: "the watermark is computed in the metadata log",
			Wrong:   "whoever completes a number writes the watermark that it has computed",
		},
		{
			ID: DMVAckBeforeWatermark, Protocols: dmvccModes(), Class: Medium,
			Correct: "a commit is acknowledged when the watermark has reached its number",
			Wrong:   "it is acknowledged when its own number is recorded",
		},
		{
			ID: DMVObservedMarkAfterMove, Protocols: quorum, Class: Needle,
			Correct: "up to where a node holds everything is said of the shards that it owned then",
			Wrong:   "it is believed of a shard, too, that has moved to the node since",
		},
	}
}
