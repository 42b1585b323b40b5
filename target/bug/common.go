package bug

import "slices"

// Bugs of sessions, requests and storage, which several protocols can have.
const (
	NoDedup       ID = "cli-no-dedup"
	TimeoutAsFail ID = "cli-timeout-as-fail"
	ErrorAsOK     ID = "cli-error-as-ok"
	NoFsync       ID = "stor-no-fsync"

	FsyncRetryOK   ID = "stor-fsync-retry-ok"
	CompactFirst   ID = "stor-compact-before-snapshot-durable"
	TornReplayed   ID = "stor-torn-tail-replayed"
	FullAck        ID = "stor-enospc-ack"
	TruncateMiddle ID = "stor-truncate-corrupt-middle"

	DedupNotInSnapshot ID = "cli-dedup-not-in-snapshot"
	ReplyFIFOMismatch  ID = "cli-reply-fifo-mismatch"
)

func common() []Info {
	copies := []string{"primary", "primary-all", "primary-copy-reads"}
	logs := slices.Concat([]string{"paxos", "lease-read", "lock"}, copies)
	// A primary that acknowledges alone may lose what it acknowledged: what shows as
	// a loss is no bug there.
	all := slices.Clip(slices.Concat([]string{"quorum", "cache", "2pc", "3pc"}, logs,
		mvccModes(), dmvccModes()))
	disks := []string{"quorum", "paxos"}
	// Others find what a full disk has left, and rejoin, unless they die at the first refusal.
	strict := slices.Concat(copies, []string{"lease-read", "lock"})
	return []Info{
		{
			ID: NoDedup, Protocols: slices.Concat(logs, []string{"primary-async"}, mvccModes()),
			Class: Easy, Smoke: true,
			Correct: "a repeated command is answered from the session table without being applied",
			Wrong:   "the session table is written but never consulted: a repeat is applied again",
		},
		{
			ID: TimeoutAsFail, Protocols: append(all, "decide"), Class: Easy, Smoke: true,
			Correct: "a command that was handed to replication and timed out is answered unknown",
			Wrong:   "it is answered with a definite failure, though it may still take effect",
		},
		{
			ID: ErrorAsOK, Protocols: append(all, "appendlog"), Class: Easy, Smoke: true,
			Correct: "a replication error reaches the client",
			Wrong:   "the error is dropped and the client is told ok",
		},
		{
			ID: NoFsync, Protocols: append(all, "decide", "appendlog"),
			Class: Medium, Smoke: true,
			Correct: "a record is synced before the message or reply that reveals it leaves",
			Wrong:   "it is written but never synced: a power cut forgets it",
		},
		{
			ID: FsyncRetryOK, Protocols: disks, Class: Hard,
			Correct: "the first error of a sync stops the node",
			Wrong:   "the sync is tried again and succeeds, although the kernel dropped the pages",
		},
		{
			ID: CompactFirst, Protocols: disks, Class: Hard,
			Correct: "a checkpoint is durable before the log that it replaces is removed",
			Wrong:   "the log goes first: a power cut leaves neither, and the node starts anyway",
		},
		{
			ID: TornReplayed, Protocols: disks, Class: Medium,
			Correct: "recovery stops at a record whose checksum is wrong",
			Wrong:   "there are no checksums: a torn last record is read with what follows it",
		},
		{
			ID: FullAck, Protocols: strict, Class: Medium,
			Correct: "a write that a full disk refuses stops the node",
			Wrong:   "the answer goes out, and what the disk took of the record stays in the log",
		},
		{
			ID: TruncateMiddle, Protocols: disks, Class: Needle,
			Correct: "a bad record with others behind it is lost data: the node does not vote",
			Wrong:   "the log is cut there, and the node votes as if the rest had never been",
		},
		{
			ID: DedupNotInSnapshot, Protocols: []string{"paxos"}, Class: Hard,
			Correct: "a snapshot has the data and the tables that tell repeats, as of one slot",
			Wrong:   "it has the data only: who was restored from it applies a repeat that others skip",
		},
		{
			ID: ReplyFIFOMismatch, Protocols: []string{"paxos"}, Class: Medium,
			Correct: "a node that forwards requests matches the answers by the requests' ids",
			Wrong:   "it matches them in order: after a time-out the late answer goes to the next request",
		},
	}
}
