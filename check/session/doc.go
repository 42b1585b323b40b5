// Package session decides session guarantees: what a client may rely on although it
// goes from one replica to another (Terry, Demers, Petersen, Spreitzer, Theimer and
// Welch, "Session guarantees for weakly consistent replicated data", 1994).
//
// A history is sessions, each a sequence of reads and writes. Every read sees some set
// of writes, that which had come to the replica that answered, and there is one order
// of all writes, the same for all replicas. A read of a register returns, of the writes
// to it that it sees, the last in that order; a read of a collection returns exactly
// those that it sees, a list in that order, a set in any. The guarantees say what must
// be seen:
//
//   - read your writes: a read sees what its session wrote before;
//   - monotonic reads: a read sees what the reads of its session returned before;
//   - monotonic writes: who sees a write sees what its session wrote before, and the
//     order of writes keeps that of the session;
//   - writes follow reads: who sees a write sees what its session's reads had returned
//     before, and the order of writes has that before it.
//
// The first three together are PRAM (pipelined memory), all four causal consistency
// (Brzeziński, Sobaniec and Wawrzyniak, "From session causality to causal consistency",
// 2004). Time does not matter: a read may be of any age, and even of the future.
//
// Every value is written once, so it is known which writes a read returned. What a read
// must see at least is a closure: what it returned, what its own session adds, and what
// these bring along. A set of guarantees holds if and only if
//
//   - no read of a collection misses something of that, and
//   - there is an order of the writes: that which the guarantees ask for, with, for each
//     read of a register, everything of its key that it must see before what it
//     returned, has no cycle.
//
// For a read that sees just the closure then returns what it did, in any order that has
// all of that; and no read may see less. So the answer is exact. The closure is a pair of
// vector clocks: how far into each session its writes and its reads are seen.
//
// A write of unknown outcome took effect if it was read. It follows what its session did
// before; nothing follows it, as it may have happened at any later time. A read of
// unknown outcome says nothing.
package session
