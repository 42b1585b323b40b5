// Package commit is atomic commit across shards: two-phase commit with its
// decisions in a replicated log, and three-phase commit.
//
// # The parts of a node
//
// Each node is three things. It is a shard (shard.go): it keeps the data of some
// keys, on its own disk only, and locks on them. It is a home (home.go), where
// clients begin transactions, send their operations and ask to commit. And it is a
// member of the coordinator group (group.go, decisions.go), a Multi-Paxos log of
// package paxos that keeps the decisions.
//
// # Two-phase commit
//
// Operations go from the home to the shards, which carry them out under strict
// two-phase locking with wait-die (locks.go). To commit, the home asks all shards
// involved to prepare; each makes writes and locks durable and votes yes, or no.
// If all say yes the home proposes "commit t" to the group, else "abort t". The
// first entry for t in the group's log is the decision, whoever proposed it. Only
// then the client hears of it, and the shards, until all have acknowledged; then
// "done t" lets the group forget it. (Gray, "Notes on data base operating systems",
// 1978; Mohan, Lindsay and Obermarck, 1986; Bernstein, Hadzilacos and Goodman,
// 1987, chapter 7. With the decision in a consensus of its own it is the simple
// half of Gray and Lamport, "Consensus on transaction commit", 2006.)
//
// The home coordinates, not the group's leader: the home has the client and knows
// which shards took part, so that a commit needs one proposal and no hand-over.
// What only a home can do, to propose a commit, dies with it; what must be done all
// the same can be done by anybody who can reach the group. A shard that has voted
// yes and hears nothing proposes "abort t" itself: it gets the decision if there is
// one, and makes one if there is none. And the group's leader tells every decision
// that is not done to its participants, when its home does not.
//
// # Three-phase commit
//
// Instead of the group there is terms.go. When all have voted yes, the home asks all
// members to precommit, and a majority of them is the decision. Whoever is in doubt
// asks a majority in an election of its own, and brings a majority to the side that
// may have been decided before (Keidar and Dolev, "Increasing the resilience of
// distributed and replicated database systems", 1998). The plain protocol does
// without majorities (Skeen, "Nonblocking commit protocols", 1981).
//
// # Where the safety sits
//
//   - decisions.go, Apply: the first entry for a transaction counts.
//   - home.go, onVote: a commit is proposed only after a yes of every shard.
//   - shard.go, voteYes: writes and locks are durable before the vote.
//   - shard.go, tick and doubt: after a yes nothing is decided here.
//   - shardlog.go, restorePrepared: the locks of what is in doubt come back first.
//   - shard.go, onDecision and refused: outcomes are carried out once, and a late
//     prepare finds a tombstone or a fence.
//   - shard.go, onOperate: an operation belongs to the transaction that it names,
//     in one life of its shard.
//   - terms.go, obeys: nothing below the greatest election joined is obeyed; choose:
//     the greatest attempt of a majority decides which side may have won.
//   - locks.go: locks are held until the outcome is durable.
//
// # Pureness
//
// Machine does no I/O and knows no clock, see package protocol. Messages, records
// and checkpoints of the group are carried beside the shard's own, each behind a
// byte that tells whose they are.
package commit
