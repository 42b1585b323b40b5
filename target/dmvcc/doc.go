// Package dmvcc keeps many versions on many nodes, with the metadata of transactions
// in one replicated log.
//
// Every transaction that writes has a number. What it does is kept as <number,
// operation> on every node, or on a majority that the others catch up with.
// The numbers are given by a group that runs Multi-Paxos (target/paxos, embedded,
// with package kv's Extension for the metadata), which also records when a number
// is closed: completed, by all nodes or by a quorum of them, or aborted. The
// watermark is the greatest number at or below which none is open. Readers use it
// as their snapshot.
//
//	begin     ask the group for the watermark (read-index): the snapshot
//	steps     read at the snapshot, keep what is written
//	commit    ask the group for a number; refused if a key has been written above
//	          the snapshot: the first committer wins
//	          send the operations to all nodes, which make them durable
//	          tell the group when enough nodes have all of them
//	          acknowledge when the watermark has reached the number
//
// In mode All a number is complete when all nodes have it, and any node answers
// from what it has. In mode Quorum a majority is enough, and keys belong to shards,
// which belong to nodes, for the time being: a coordinator asks the owner of a shard
// what a key holds at the snapshot, and the owner answers when it has fetched what it
// lacks of the shard up to there. See owner.go.
//
// A number whose coordinator is silent is closed by the others: they fence it, so
// that what comes late of it is refused, and then complete it, if all of it is
// there, or abort it. The first entry for a number in the group's log wins.
//
// The safety sits here, and each of the planted bugs changes a line of it:
//
//   - contiguity: the watermark has no open number below it (meta.close)
//   - it is computed in the log and read through the log (meta.close, machine.begin)
//   - first committer wins, against open numbers, too (meta.alloc)
//   - complete means durable at all, or at a majority (coordinator.have, meta.complete)
//   - a quorum's reader waits for what it lacks (machine.readable), and nobody takes
//     its word for a shard that it did not own when it gave it (machine.sure)
//   - nothing is folded that a transaction of another node may read (machine.oldest)
//   - the fence comes before the abort (recovery.go, machine.onOp)
//   - a commit is acknowledged at the watermark (machine.settle)
//
// The claim: strong snapshot isolation. Time decides when to give up and when to
// close the numbers of others, never what is seen.
package dmvcc
