// Package sequential decides in linear time whether one register is sequentially
// consistent: whether there is one order of all its operations that keeps the order
// of each process and in which every read returns what was written last (Lamport,
// "How to make a multiprocessor computer that correctly executes multiprocess
// programs", 1979). Real time does not matter: all may be old, and a read may even
// return what is only written later.
//
// For any values that is NP-complete (Gibbons and Korach, "Testing shared memories",
// 1997; Cantin, Lipasti and Smith, "The complexity of verifying memory coherence and
// consistency", 2005). With every value written once it is known which write a read
// saw, and a single register is easy:
//
//   - The write of a value and the reads that returned it stand together in every
//     legal order, the write first: nothing else is written between them, and so
//     nothing else is read. A compare-and-set that replaced the value comes right
//     behind them, and all of its own value behind that. So the history falls into
//     chains: a plain write (or the register as it was at first, which comes before
//     everything), what was read of it, the compare-and-set that replaced it, what was
//     read of that, and so on. A value that nobody wrote, two that replaced one value
//     and a chain that bites its tail have no legal order.
//   - Chains follow each other whole. If a process did something of one chain before
//     something of another, the one chain comes first. Within a chain it must not have
//     done later things first.
//   - If no process contradicts the order within a chain and the order between chains
//     has no cycle, then any order of the chains that keeps it, each chain in its own
//     order, is legal. Otherwise there is none. So the answer is exact.
//
// An operation of unknown outcome took effect if its value was read, or replaced by
// one that took effect; then it comes after what its process did before, and before
// nothing, as it may have happened at any later time. Otherwise it may be left out,
// which makes no order worse, as it adds only to what has to be obeyed.
//
// A refused compare-and-set says what was not there. It changes nothing, so without a
// legal order of the rest there is none; with one it is put into that order where it
// is true. Where that fails another order might do: the answer is unknown.
package sequential
