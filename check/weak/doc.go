// Package weak decides the isolation levels below snapshot isolation for transactions
// on registers whose every value is written once, when nobody knows in which order
// the values of a key were installed.
//
// A history is a set of sessions, each a sequence of transactions. Which transaction a
// read saw is known, because values are unique. Every level here asks whether there is
// an order of all transactions in which the reads make sense, and has one rule: if a
// transaction saw t2 in the way that the level speaks of, and read another t1 where t2
// had written too, then t2 came before t1. The rule is applied once to every read; the
// level holds if and only if what it gives, with "reads from" and the order of sessions,
// has no cycle (Biswas and Enea, "On the complexity of checking transactional
// consistency", 2019). How to apply it in O(n·√n) and O(n·k) steps is from Møldrup and
// Pavlogiannis, "AWDIT: an optimal weak database isolation tester", 2025; that no rule
// is needed where the transactions are ordered already leaves few edges of many.
//
// Everything stands in flat arrays, and nothing recurses.
package weak
