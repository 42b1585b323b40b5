// Package paxos is a replicated log by Multi-Paxos, and on top of it the
// key-value store of package kv: linearizable, each command exactly once.
//
// # The protocol
//
// The log is a row of slots, each filled once by a consensus of its own (Lamport,
// "The part-time parliament", 1998; "Paxos made simple", 2001). A ballot numbers
// an attempt to lead. Whoever wants to lead asks the members, in a ballot of its
// own, to promise that they will accept nothing below it, and to tell what they
// have voted for so far (phase 1). One promise covers all slots, also those that
// nobody has touched. With the answers of a majority it proposes in each slot
// the command that was voted for in the greatest ballot, and a no-op where there
// is none; then a no-op that opens its ballot; then new commands, many at a time
// (phase 2). A command is chosen when a majority voted for it in one ballot. It
// is applied when everything below it has been applied.
//
// Around this stand things that safety does not need: a pre-vote, heartbeats and
// check-quorum (Ongaro, "Consensus: bridging theory and practice", 2014, sections
// 6.2 and 9.6) decide who tries to lead and when one stops; members that see each
// other better take over (package mesh); those who lag are sent chosen commands or a
// snapshot (catchup.go). Reads take no slot (reads.go, Ongaro, section 6.4), and
// sessions make repeated commands harmless (package kv, Ongaro, section 6.3).
//
// # Where the safety sits
//
//   - acceptor.go, onPrepare and obey: a ballot below the promise is refused,
//     whatever the slot. Every promise and vote is a record before its answer
//     leaves; a batch of votes and its ballot are one record.
//   - leader.go, adopt: the vote of the greatest ballot wins, slot by slot.
//   - leader.go, count: a majority of members, as a set, in one ballot.
//   - acceptor.go, verify: what a follower takes for chosen on the leader's word.
//   - acceptor.go, applyChosen: no slot before its predecessors.
//   - reads.go, startRound and confirmReads: the index after the own no-op, the
//     nonce after the read.
//   - requests.go, timedOut: what went out and was not answered is unknown.
//   - package kv, repeated: no copy of a command is applied.
//
// # Pureness
//
// Machine does no I/O and knows no clock. What happens in Step, Submit and Tick
// gathers until Ready, where a leader turns all commands of the moment into one
// record and one datagram. The driver makes the records durable before anything
// else of a Ready leaves, so one sync serves the whole batch.
package paxos
