// Package primary is a central database with copies: one node, the primary,
// orders all commands and answers all reads, and the others keep its log. It runs
// the key-value store of package kv.
//
// # The protocol
//
// Viewstamped replication (Oki and Liskov, "Viewstamped replication: a new primary
// copy method to support highly-available distributed systems", 1988; Liskov and
// Cowling, "Viewstamped replication revisited", 2012). Time is divided into views,
// each with one primary, which the number of the view gives away. The primary
// numbers commands, logs them and sends them to the copies; a copy logs command s
// only behind command s-1 and says how far its log agrees with the primary's. What a
// majority has logged is committed: it is applied and its client answered.
//
// Who misses the primary asks the members to join a greater view, its own. A member
// that joins takes part in no lower view any more and tells how its log ends: in
// which view its last entry was made, and how many entries there are. With the
// answers of a majority of the configured members, the new primary takes over the
// log that ends in the greatest view, and of several the longest, and opens its
// view by a no-op. Nothing that was logged before counts as committed until that
// no-op is; by it, a log that ends in a view has the whole of what that view
// inherited. This stands in the place of stamping everything inherited anew.
//
// Around this stand things that safety does not need: members are asked first
// whether they miss the primary, too; a primary that hears no majority steps down,
// and hands over to a member that is better linked than itself (package mesh); copies
// that lag get entries or, if the primary has forgotten those, its state in parts
// (transfer.go). Reads take no entry: the primary answers them from its own state
// once a majority has confirmed its view (reads.go).
//
// # Modes
//
// Commands are acknowledged when a majority has logged them ("primary"), when all
// members of the view have ("primary-all"; a member that falls silent is left out by
// a new view), or when the primary itself has ("primary-async", which may lose what
// it acknowledged). In "primary-copy-reads" every node answers reads from its own
// copy, which may be behind.
//
// # Where the safety sits
//
//   - views.go, join and obey: a member that joined a view refuses all below. The
//     view and every entry are records before the message that reveals them leaves.
//   - views.go, best: the log that ends in the greatest view, out of a majority.
//   - copy.go, take: no entry without the one before it; what contradicts the
//     primary is dropped before anything is acknowledged.
//   - normal.go, agreed and commitAgreed: members are counted once, in this view, and
//     not before the view's own no-op.
//   - reads.go, startRound and confirmReads: the nonce is made after the read arrived.
//   - transfer.go, install: entries above a state that was fetched stay.
//   - requests.go, timedOut: what went out and was not answered is unknown.
//   - package kv: no copy of a command is applied.
//
// # Pureness
//
// Machine does no I/O and knows no clock. What happens in Step, Submit and Tick
// gathers until Ready, where a primary turns all commands of the moment into one
// record and one datagram.
package primary
