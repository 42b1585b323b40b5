// Package appendlog replicates data that only grows: logs and sets to which
// elements are added, never changed and never removed.
//
// Such data has no conflicts. Every element has an identity of its own, the state
// of a node is the set of elements that it holds, and merging two states is their
// union, which does not depend on order or repetition: a grow-only set in the
// sense of Shapiro, Preguiça, Baquero and Zawirski ("Conflict-free replicated data
// types", SSS 2011). Every node takes appends, whatever it can reach; missing
// elements are found by anti-entropy, as in Demers and others ("Epidemic
// algorithms for replicated database maintenance", PODC 1987); what a client has
// seen travels with it as a version vector, as in Terry and others ("Session
// guarantees for weakly consistent replicated data", PDIS 1994).
//
// The safety sits in few places, and each planted bug changes one:
//
//   - identity: (node, boot epoch, number), so that a restart begins a new series
//     and no two elements ever share one. (Machine.nextID)
//   - acknowledgment: an append is ok when it is durable at two nodes, so that one
//     lost disk loses nothing that was acknowledged. (Machine.kept)
//   - union: what is held is never replaced or dropped. (store.add)
//   - anti-entropy: nodes tell the exact ranges that they hold of each series, not
//     how many elements. (Machine.tellHave)
//   - compaction: what is appended while the log is being rewritten is part of
//     the new log. (Machine.finishCompaction)
//   - sessions: a read with a token waits until the node holds all that the
//     session has seen. (Machine.covered)
//
// The claim: strong eventual consistency. Every element acknowledged is at every
// node in the end, and nodes that hold the same elements show the same; with
// tokens also read-your-writes and monotonic reads. A read without a token may
// miss any recent element. Time is used to repeat and to give up only.
package appendlog
