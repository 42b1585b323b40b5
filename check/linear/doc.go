// Package linear decides linearizability in nearly linear time for objects whose
// histories say more than a search needs: a register whose written values are all
// different, a log whose offsets are told, a lock with owners, …
//
// The general problem is NP-complete (Gibbons and Korach, "Testing shared
// memories", 1997), because nobody says which write a read saw. Where values are
// unique it is known, and operations that speak of one value form a cluster. An
// operation of one cluster that returned before one of another was called forces
// an order between the clusters, and for the objects of this package the forced
// orders contradict each other only if two of them do. That pair is the
// counterexample, of at most four operations.
//
// Every engine is sound and complete, also for operations of unknown outcome
// (they return at history.Never: they may take effect at any time after their
// call, or never), or it says that it is not applicable and why. Intervals are
// closed: a call at the same time as a return is concurrent with it.
//
// The engines are [Register] and [RegisterMonitor], [CAS] and [CASMonitor], [Revisions],
// [Locks], [Sets], [Members], [Logs], [Counters], [Queues] and [Bags]. With each there is a
// function that returns a legal order, a certificate for whoever does not trust the
// engine. [Staleness] measures by how much the reads of a register were stale.
//
// Engines know neither models nor values of a history. Values are numbers that
// the caller gives out, counting from 1; operations are told by their position in
// the slice that was handed in, which should be sorted by call (it is the order
// of a history) and need not be.
package linear
