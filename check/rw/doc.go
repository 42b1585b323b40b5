// Package rw decides isolation levels for transactions on registers whose every value is
// written once, when the order of versions is not known: snapshot isolation and
// everything stronger, in all their variants, which is NP-complete, and what is weaker
// with the help of check/weak.
//
// It guesses first. A scheduler replays the transactions, one version of each key at a
// time, and overwrites none that somebody has still to read; of all that could be next it
// takes the one that time presses most. Where it comes to the end, its order is the
// certificate, and Replay verifies it without any search. Sound histories nearly always
// come to the end, in time linear but for a heap.
//
// Where it does not, the dependencies that are certain are collected: who read from whom,
// that nothing is before the initial state, and that whoever reads a version and writes
// the key follows it. A cycle of these refutes, and check/graph names it. Then every pair
// of versions whose one order would close a cycle gets the other, until nothing changes.
// What remains is a choice for each pair and one demand, that there be no cycle: a search
// with conflict-driven learning over choices and an order of the graph that is kept up to
// date (Pearce and Kelly, 2006). It has a budget. When that ends the level is undecided.
//
// Polygraphs are from Papadimitriou, "The serializability of concurrent database updates"
// (1979); Tan et al., "Cobra: making transactional key-value stores verifiably
// serializable" (2020), and Huang et al., "Efficient black-box checking of snapshot
// isolation in databases" (2023), solve them with solvers; that a search for acyclicity
// should begin with a guess is from VeriStrong (2025).
package rw
